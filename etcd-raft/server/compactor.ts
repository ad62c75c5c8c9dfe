import type { Cancel, Clock } from "../../base/clock.ts";
import type { Store } from "../mvcc/store.ts";

/**
 * Does a scheduled compaction in slices with pauses, so that requests go between (etcd: 1,000 keys, then 10 ms). A slice
 * ends after `sliceMs`, and waits while entries wait to be applied; but not for ever: under a load that never ends it still
 * comes forward.
 */
export class Compactor {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #batch: number;
  readonly #busy: () => boolean;
  #running = false;
  #waited = 0;
  #waiters: (() => void)[] = [];
  #cancel: Cancel = () => {};

  constructor(store: Store, clock: Clock, batch = 1000, busy: () => boolean = () => false) {
    this.#batch = batch;
    this.#store = store;
    this.#clock = clock;
    this.#busy = busy;
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

  /** What is left is done at the next start. */
  close(): void {
    this.#cancel();
  }

  #pause(): void {
    this.#cancel = this.#clock.after(pauseMs, () => this.#slice());
  }

  #slice(): void {
    if (this.#busy() && this.#waited < maxWaits) {
      this.#waited++;
      return this.#pause();
    }
    this.#waited = 0;
    const end = this.#clock.monotonic() + sliceMs;
    let left = this.#batch;
    let more = true;
    while (more && left > 0 && this.#clock.monotonic() < end) {
      more = this.#store.compactStep(Math.min(stepKeys, left));
      left -= stepKeys;
    }
    if (more) return this.#pause();
    this.#running = false;
    for (const resolve of this.#waiters.splice(0)) resolve();
  }
}

const pauseMs = 10;
const sliceMs = 3;
/** Between two looks at the clock. */
const stepKeys = 100;
const maxWaits = 20;
