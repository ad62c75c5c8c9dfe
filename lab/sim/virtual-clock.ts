import type { Cancel, Clock } from "../../base/clock.ts";

/**
 * Time that stands still while code runs and jumps to the next thing that is due. After each, all that it set off
 * (promises, one round of setImmediate) runs to its end; nothing else in the process may be under way.
 */
export class VirtualClock implements Clock {
  #now = 0;
  readonly #due: Due[] = []; // earliest last; of one time first come last

  now(): number {
    return 1_700_000_000_000 + Math.floor(this.#now);
  }

  monotonic(): number {
    return this.#now;
  }

  after(ms: number, fn: () => void): Cancel {
    const due: Due = { at: this.#now + Math.max(0, ms), fn };
    let [low, high] = [0, this.#due.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#due[middle]!.at > due.at) low = middle + 1;
      else high = middle;
    }
    this.#due.splice(low, 0, due);
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
    for (let next = this.#due.at(-1); next !== undefined && next.at <= end && !done(); next = this.#due.at(-1)) {
      this.#due.pop();
      if (next.fn === undefined) continue;
      this.#now = next.at;
      next.fn();
      await settled();
    }
    if (!done()) this.#now = Math.max(this.#now, end);
  }
}

type Due = { at: number; fn: (() => void) | undefined };

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
