import assert from "node:assert/strict";
import { test } from "vitest";
import type { Clock } from "../../base/clock.ts";
import { silentLogger } from "../../base/logger.ts";
import { EtcdClient } from "../../etcd-raft/client/client.ts";
import { startTestMember } from "../../etcd-raft/server/testing.ts";
import { runCompactor } from "./compactor.ts";
import { eventLease } from "./event-lease.ts";

/** Each `after` waits for the test to say that the time has come. */
function manualClock() {
  const waiting: (() => void)[] = [];
  let wake: (() => void) | undefined;
  let time = 0;
  const clock: Clock = {
    now: () => time,
    monotonic: () => time,
    after: (_ms, fn) => {
      waiting.push(fn);
      wake?.();
      return () => {};
    },
    every: () => () => {},
  };
  return {
    clock,
    advance: (ms: number) => {
      time += ms;
    },
    /** Lets the round that waits run, and resolves when it waits again. */
    async round(): Promise<void> {
      while (waiting.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      waiting.shift()!();
      while (waiting.length === 0) await new Promise<void>((resolve) => (wake = resolve));
    },
  };
}

test("two compactors share the rounds: each round one of them compacts to the revision of the round before", async () => {
  const store = await startTestMember();
  const etcd = new EtcdClient({ endpoints: [store.endpoint] });
  const stop = new AbortController();
  const compacted: number[] = [];
  const spy = {
    txn: etcd.txn.bind(etcd),
    compact: (request: { revision?: number }) => {
      compacted.push(request.revision!);
      return etcd.compact(request);
    },
  };
  try {
    const [one, two] = [manualClock(), manualClock()];
    for (const { clock } of [one, two]) void runCompactor(spy, { clock, log: silentLogger }, stop.signal);
    const write = async () => (await etcd.put({ key: "a", value: "b" })).header!.revision;
    await one.round();
    await two.round();
    assert.deepEqual(compacted, [], "the first round has no round before it");
    const before = await write();
    await one.round();
    await two.round();
    await write();
    await two.round();
    await one.round();
    assert.ok(compacted.length >= 1 && compacted.at(-1)! <= before + 1, String(compacted));
    assert.deepEqual(
      compacted,
      [...new Set(compacted)].sort((a, b) => a - b),
    );
    await assert.rejects(etcd.range({ key: "a", revision: 1 }), /compacted/);
    assert.equal(
      (await etcd.range({ key: "a", revision: before + 1 })).kvs.length,
      1,
      "the last round's state is there",
    );
  } finally {
    stop.abort();
    etcd.close();
    await store.close();
  }
});

test("one lease serves the Events of a minute, at most a thousand", async () => {
  const time = manualClock();
  let granted = 0n;
  const lease = eventLease({ leaseGrant: async () => ({ ID: ++granted }) as never }, time.clock);
  assert.deepEqual([await lease(), await lease()], [1n, 1n]);
  time.advance(60_001);
  assert.equal(await lease(), 2n);
  for (let i = 0; i < 999; i++) await lease();
  assert.equal(await lease(), 3n);
});
