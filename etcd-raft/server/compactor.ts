import type { Cancel, Clock } from "../../base/clock.ts";
import type { Store } from "../mvcc/store.ts";

/**
 * Does a scheduled compaction in slices with pauses, so that requests go between (etcd: 1,000 keys, then 10 ms). A slice
 * ends after `sliceMs`, and waits while entries wait to be applied; but not for ever: under a load that never ends it still
 * comes forward.
 */
export function createCompactor(store: Store, clock: Clock, batch: number, busy: () => boolean) {
  let running = false;
  let waited = 0;
  let cancel: Cancel = () => {};
  const waiters: (() => void)[] = [];

  function pause(): void {
    cancel = clock.after(pauseMs, slice);
  }

  function slice(): void {
    if (busy() && waited < maxWaits) {
      waited++;
      return pause();
    }
    waited = 0;
    const end = clock.monotonic() + sliceMs;
    let left = batch;
    let more = true;
    while (more && left > 0 && clock.monotonic() < end) {
      more = store.compactStep(Math.min(stepKeys, left));
      left -= stepKeys;
    }
    if (more) return pause();
    running = false;
    for (const resolve of waiters.splice(0)) resolve();
  }

  return {
    /** The state machine moved on: there may be something to do. */
    applied(): void {
      if (running || !store.compactPending) return;
      running = true;
      slice();
    },
    /** Resolves when what was scheduled has given its memory back. */
    finished: (): Promise<void> => (running ? new Promise((resolve) => waiters.push(resolve)) : Promise.resolve()),
    /** What is left is done at the next start. */
    close: () => cancel(),
  };
}

const pauseMs = 10;
const sliceMs = 3;
const stepKeys = 100; // between two looks at the clock
const maxWaits = 20;
