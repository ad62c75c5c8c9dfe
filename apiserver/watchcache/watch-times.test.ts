import assert from "node:assert/strict";
import { test } from "vitest";
import { VirtualClock } from "../../lab/sim/virtual-clock.ts";
import { WatchTimes } from "./watch-times.ts";
import { Watcher, type WatchSink } from "./watcher.ts";

test("ten thousand idle watches have one timer, are told how far they are, and end in time", async () => {
  const clock = new VirtualClock();
  let [made, cancelled] = [0, 0];
  const counting = {
    now: () => clock.now(),
    monotonic: () => clock.monotonic(),
    after: () => assert.fail("no timer of its own"),
    every(ms: number, fn: () => void) {
      made++;
      const cancel = clock.every(ms, fn);
      return () => {
        cancelled++;
        cancel();
      };
    },
  };
  const times = new WatchTimes(counting);
  let [told, ended] = [0, 0];
  const open = (timeoutMs: number) => {
    const sink: WatchSink = { send: () => true, end: () => ended++ };
    times.add(new Watcher({ prefix: "/", exact: false }, undefined, sink, 0), timeoutMs, () => told++);
    return sink;
  };
  const sinks = Array.from({ length: 10_000 }, () => open(150_000));
  assert.deepEqual([made, cancelled], [1, 0]);
  await clock.run(61_000);
  assert.deepEqual([told, ended], [10_000, 0]);
  sinks[0]!.onClose!(); // its reader has gone
  await clock.run(151_000);
  assert.deepEqual([told, ended], [10_000 + 9999 * 2, 9999], "after a minute again, and at the end");
  assert.deepEqual([made, cancelled], [1, 1]);
  open(1000);
  assert.equal(made, 2);
});
