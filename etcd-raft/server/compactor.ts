import type { Clock } from "../../base/clock.ts";
import type { Store } from "../mvcc/store.ts";

/** Does a scheduled compaction in slices with pauses, so that requests go between (etcd: 1,000 keys, then 10 ms). */
export class Compactor {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #batch: number;
  #running = false;
  #waiters: (() => void)[] = [];

  constructor(store: Store, clock: Clock, batch = 1000) {
    this.#batch = batch;
    this.#store = store;
    this.#clock = clock;
  }

  /** The state machine moved on: there may be something to do. */
  applied(): void {
    if (this.#running || !this.#store.compactPending) return;
    this.#running = true;
    this.#slice();
  }

  /** Resolves when what was scheduled has given its memory back. */
  finished(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#running) this.#waiters.push(resolve);
      else resolve();
    });
  }

  #slice(): void {
    if (this.#store.compactStep(this.#batch)) {
      this.#clock.after(pauseMs, () => this.#slice());
      return;
    }
    this.#running = false;
    for (const resolve of this.#waiters.splice(0)) resolve();
  }
}

const pauseMs = 10;
