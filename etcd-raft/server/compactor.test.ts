import assert from "node:assert/strict";
import { test } from "vitest";
import type { Clock } from "../../base/clock.ts";
import { Store } from "../mvcc/store.ts";
import { createCompactor } from "./compactor.ts";

/** A store with a compaction to do, and a clock that goes on by `lookMs` with each look at it. */
function scheduled(lookMs: number, batch: number, busy: () => boolean) {
  const store = new Store();
  for (let i = 0; i < 5000; i++) {
    const write = store.begin();
    write.put(`k${i % 10}`, Buffer.from("v"), 0n);
    write.end();
  }
  store.compact(store.revision);
  const due: { ms: number; fn: () => void }[] = [];
  const steps: number[] = [];
  let now = 0;
  const clock = {
    monotonic: () => {
      now += lookMs;
      return now;
    },
    after(ms: number, fn: () => void) {
      const one = { ms, fn };
      due.push(one);
      return () => void due.splice(due.indexOf(one), 1);
    },
  };
  const compactStep = store.compactStep.bind(store);
  store.compactStep = (limit) => {
    steps.push(limit);
    return compactStep(limit);
  };
  const compactor = createCompactor(store, clock as unknown as Clock, batch, busy);
  return { store, compactor, due, steps };
}

test("a slice ends after its batch, or after 3 ms; then comes a pause of 10 ms", () => {
  const quick = scheduled(0, 1000, () => false);
  quick.compactor.applied();
  assert.deepEqual([quick.steps, quick.due.map(({ ms }) => ms)], [Array.from({ length: 10 }, () => 100), [10]]);
  const slow = scheduled(1, 1000, () => false);
  slow.compactor.applied();
  assert.deepEqual([slow.steps, slow.due.map(({ ms }) => ms)], [[100, 100], [10]]);
});

test("it waits while entries wait to be applied, but not for ever; then it is done, and who asked for that is told", async () => {
  let busy = true;
  const { store, compactor, due, steps } = scheduled(0, 1000, () => busy);
  compactor.applied();
  for (let wait = 1; wait < 20; wait++) {
    assert.deepEqual(steps, [], `pause ${wait}`);
    due.shift()!.fn();
  }
  due.shift()!.fn();
  assert.ok(steps.length > 0);
  busy = false;
  let told = false;
  const finished = compactor.finished().then(() => {
    told = true;
  });
  while (due.length > 0) due.shift()!.fn();
  await finished;
  assert.deepEqual([told, store.compactPending], [true, false]);
  await compactor.finished(); // nothing to wait for
});

test("a member that stops leaves no pause behind", () => {
  const { compactor, due } = scheduled(1, 1000, () => false);
  compactor.applied();
  assert.equal(due.length, 1);
  compactor.close();
  assert.equal(due.length, 0);
});
