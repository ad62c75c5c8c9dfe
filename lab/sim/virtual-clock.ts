import type { Cancel, Clock } from "../../base/clock.ts";

/**
 * Time that stands still while code runs and jumps to the next thing that is due. After each, all that it set off
 * (promises, one round of setImmediate) runs to its end; nothing else in the process may be under way.
 */
export class VirtualClock implements Clock {
  #now = 0;
  #sequence = 0;
  readonly #heap: Due[] = []; // binary heap: earliest first, then first come

  now(): number {
    return 1_700_000_000_000 + Math.floor(this.#now);
  }

  monotonic(): number {
    return this.#now;
  }

  after(ms: number, fn: () => void): Cancel {
    const due: Due = { at: this.#now + Math.max(0, ms), sequence: this.#sequence++, fn };
    push(this.#heap, due);
    return () => {
      due.fn = undefined;
    };
  }

  every(ms: number, fn: () => void): Cancel {
    let cancelled = false;
    const again = () => {
      if (cancelled) return;
      this.after(ms, again);
      fn();
    };
    this.after(ms, again);
    return () => {
      cancelled = true;
    };
  }

  /** Runs until `end` (virtual milliseconds), or until `done` says so. */
  async run(end: number, done: () => boolean = () => false): Promise<void> {
    for (let next = this.#heap[0]; next !== undefined && next.at <= end && !done(); next = this.#heap[0]) {
      pop(this.#heap);
      if (next.fn === undefined) continue;
      this.#now = next.at;
      next.fn();
      await settled();
    }
    if (!done()) this.#now = Math.max(this.#now, end);
  }
}

interface Due {
  at: number;
  sequence: number;
  fn: (() => void) | undefined;
}

function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function before(a: Due, b: Due): boolean {
  return a.at < b.at || (a.at === b.at && a.sequence < b.sequence);
}

function push(heap: Due[], due: Due): void {
  let i = heap.push(due) - 1;
  while (i > 0) {
    const parent = (i - 1) >> 1;
    if (!before(due, heap[parent]!)) break;
    heap[i] = heap[parent]!;
    i = parent;
  }
  heap[i] = due;
}

function pop(heap: Due[]): void {
  const last = heap.pop()!;
  if (heap.length === 0) return;
  let i = 0;
  for (;;) {
    let child = 2 * i + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
    if (!before(heap[child]!, last)) break;
    heap[i] = heap[child]!;
    i = child;
  }
  heap[i] = last;
}
