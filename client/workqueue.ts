import type { Cancel, Clock } from "../base/clock.ts";

/**
 * The queue between events and a controller's workers, after client-go's `util/workqueue`.
 *
 * Promises, per key:
 * - Added many times before a worker takes it, it is handed out once (`dirty` is a set).
 * - Never with two workers at once: a key added while it is `processing` is handed out again after `done`.
 * - First come, first served among waiting keys.
 * - `addRateLimited` waits 5 ms, then twice that, up to `maxDelayMs`, until `forget`: a failing key never starves others.
 * - `addAfter` keeps the earliest of several pending times.
 */
export class Workqueue {
  readonly #clock: Clock;
  readonly #maxDelayMs: number;
  readonly #queue = new Set<string>();
  readonly #processing = new Set<string>();
  readonly #again = new Set<string>(); // added while processing: queued again by `done`
  readonly #failures = new Map<string, number>();
  readonly #delayed = new Map<string, { at: number; cancel: Cancel }>();
  readonly #waiters: ((key: string | undefined) => void)[] = [];
  #shutDown = false;

  /** Differs: the longest wait is 30 s where client-go has 1000 s; a lab's world changes faster. */
  constructor(clock: Clock, { maxDelayMs = 30_000 } = {}) {
    this.#clock = clock;
    this.#maxDelayMs = maxDelayMs;
  }

  add(key: string): void {
    if (this.#shutDown) return;
    if (this.#processing.has(key)) {
      this.#again.add(key);
      return;
    }
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) {
      this.#processing.add(key);
      waiter(key);
    } else {
      this.#queue.add(key);
    }
  }

  addAfter(key: string, ms: number): void {
    if (this.#shutDown) return;
    if (ms <= 0) {
      this.add(key);
      return;
    }
    const at = this.#clock.monotonic() + ms;
    const pending = this.#delayed.get(key);
    if (pending !== undefined && pending.at <= at) return;
    pending?.cancel();
    const cancel = this.#clock.after(ms, () => {
      this.#delayed.delete(key);
      this.add(key);
    });
    this.#delayed.set(key, { at, cancel });
  }

  addRateLimited(key: string): void {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    this.addAfter(key, Math.min(baseDelayMs * 2 ** failures, this.#maxDelayMs));
  }

  /** The key has succeeded: its next failure starts from the base delay again. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** The next key, owned by the caller until `done`; undefined after `shutDown`. */
  get(): Promise<string | undefined> {
    if (this.#shutDown) return Promise.resolve(undefined);
    for (const key of this.#queue) {
      this.#queue.delete(key);
      this.#processing.add(key);
      return Promise.resolve(key);
    }
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  done(key: string): void {
    this.#processing.delete(key);
    if (this.#again.delete(key)) this.add(key);
  }

  /** Keys that wait for a worker. */
  get length(): number {
    return this.#queue.size;
  }

  shutDown(): void {
    this.#shutDown = true;
    this.#queue.clear();
    this.#again.clear();
    for (const { cancel } of this.#delayed.values()) cancel();
    this.#delayed.clear();
    for (const waiter of this.#waiters.splice(0)) waiter(undefined);
  }
}

const baseDelayMs = 5;
