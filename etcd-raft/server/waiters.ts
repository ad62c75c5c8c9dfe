import type { Cancel, Clock } from "../../base/clock.ts";
import { type EtcdError, etcdError } from "../errors.ts";

/** Those who wait until something is so; they are asked when it may have changed. */
export class Waiters {
  readonly #clock: Clock;
  readonly #all = new Set<{ fits(): boolean; done(): void }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves once it is so; throws `error` after `timeoutMs`. */
  until(fits: () => boolean, timeoutMs: number, error: EtcdError): Promise<void> {
    if (fits()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const end = (settle: () => void) => {
        cancel();
        this.#all.delete(waiter);
        settle();
      };
      const waiter = { fits, done: () => end(resolve) };
      const cancel = this.#clock.after(timeoutMs, () => end(() => reject(etcdError(error))));
      this.#all.add(waiter);
    });
  }

  wake(): void {
    for (const waiter of this.#all) if (waiter.fits()) waiter.done();
  }
}

/** Again and again, each time `ms` after the last has ended, well or not. */
export function repeat(clock: Clock, ms: number, work: () => Promise<unknown>): Cancel {
  let cancel: Cancel = () => {};
  let stopped = false;
  const next = () => {
    if (!stopped) cancel = clock.after(ms, () => void work().then(next, next));
  };
  next();
  return () => {
    stopped = true;
    cancel();
  };
}
