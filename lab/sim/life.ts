import type { Clock } from "../../base/clock.ts";
import type { Rand } from "../../base/rand.ts";

/**
 * One life of a process: whatever happens in it enters here, so that it can be stalled (SIGSTOP: everything waits, and then
 * comes in any order, since its sockets and timers are many) and ended between any two events (kill -9).
 */
export class Life {
  alive = true;
  readonly #rand: Rand;
  readonly #die: (error: Error) => void;
  #stalled = false;
  #inbox: (() => void)[] = [];
  readonly #atEnd = new Set<() => void>();

  /** `die`: called with what the process does not survive. */
  constructor(rand: Rand, die: (error: Error) => void) {
    this.#rand = rand;
    this.#die = die;
  }

  enter(fn: () => void): void {
    if (!this.alive) return;
    if (this.#stalled) {
      this.#inbox.push(fn);
      return;
    }
    try {
      fn();
    } catch (error) {
      this.#die(error as Error);
    }
  }

  /** Runs `fn` in this life; rejects when that ends before it is done. */
  run<R>(fn: () => R | Promise<R>): Promise<R> {
    return new Promise((resolve, reject) => {
      const ended = () => reject(new Error("connection reset by peer"));
      if (!this.alive) return ended();
      this.#atEnd.add(ended);
      const done = (settle: () => void) => {
        this.#atEnd.delete(ended);
        settle();
      };
      this.enter(
        () =>
          void (async () => fn())().then(
            (result) => done(() => resolve(result)),
            (error: Error) => done(() => reject(error)),
          ),
      );
    });
  }

  atEnd(fn: () => void): void {
    this.#atEnd.add(fn);
  }

  stall(on: boolean): void {
    this.#stalled = on;
    while (!this.#stalled && this.alive && this.#inbox.length > 0) {
      const [fn] = this.#inbox.splice(this.#rand.below(this.#inbox.length), 1);
      this.enter(fn!);
    }
  }

  end(): void {
    this.alive = false;
    this.#inbox = [];
    for (const fn of [...this.#atEnd]) fn();
  }

  /** A clock whose monotonic time goes `rate` times as slow, whose wall time is off by `offset()`; silent when life is over. */
  clock(real: Clock, rate: number, offset: () => number): Clock {
    return {
      now: () => real.now() + offset(),
      monotonic: () => real.monotonic() / rate,
      after: (ms, fn) => real.after(ms * rate, () => this.enter(fn)),
      every: (ms, fn) => {
        let late = false; // a timer that is due many times while nothing runs fires once
        return real.every(ms * rate, () => {
          if (late) return;
          late = true;
          this.enter(() => {
            late = false;
            fn();
          });
        });
      },
    };
  }
}
