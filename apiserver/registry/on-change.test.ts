import assert from "node:assert/strict";
import { test } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { silentLogger } from "../../base/logger.ts";
import type { WatchSink } from "../watchcache/watcher.ts";
import { onChange } from "./on-change.ts";

test("its watches end when it is told to stop, also those begun anew", async () => {
  const sinks: WatchSink[] = [];
  const closed: number[] = [];
  const cache = {
    watch(_prefix: string, { sink }: { sink: WatchSink }) {
      const number = sinks.push(sink);
      sink.onClose = () => void closed.push(number);
    },
  };
  const after = (ms: number, fn: () => void) => {
    if (ms < 1000) fn();
    return () => {};
  };
  const clock = { ...systemClock, after };
  const stop = new AbortController();
  let synced = () => {};
  const once = new Promise<void>((resolve) => (synced = resolve));
  const sync = async () => void synced() as undefined;
  const context = { cache: cache as never, clock: clock as never };
  const done = onChange(context, { prefixes: ["a", "b"], log: silentLogger, what: "things" }, sync, stop.signal);
  await once;
  sinks[0]!.end(); // the cache lost its store: followed anew
  stop.abort();
  await done;
  assert.deepEqual([sinks.length, closed.sort()], [3, [2, 3]]);
  sinks[2]!.end();
  assert.equal(sinks.length, 3);
});
