import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "vitest";
import { askFaults } from "../../base/faults.ts";
import { type ProcessCluster, startProcessCluster } from "./testing.ts";

/** Watchers of a follower that is cut off for so long that the leader sends it the whole state (etcd #15271). */
describe("watchers while their member is given a new state", () => {
  let cluster: ProcessCluster;
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "etcd-raft-"));
  });
  afterEach(async () => {
    await cluster?.close();
    rmSync(dir, { recursive: true, force: true });
  });

  interface Seen {
    /** `modRevision key` of each event. */
    events: string[];
    closed: { compactRevision: number } | undefined;
  }
  const waitFor = async (what: string, done: () => boolean | Promise<boolean>) => {
    const deadline = performance.now() + 60_000;
    while (!(await done())) {
      if (performance.now() > deadline) throw new Error(`never: ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };

  /** Two watchers at a follower, which then hears nothing for 3000 writes and comes back. */
  async function away(meanwhile: () => Promise<unknown>): Promise<{ all: Seen; one: Seen; from: number; to: number }> {
    const socket = (i: number) => join(dir, `faults-${i}`);
    const flags = (i: number) => [
      "--snapshot-count=200",
      "--snapshot-catchup-entries=50",
      `--fault-socket=${socket(i)}`,
    ];
    cluster = await startProcessCluster(3, { flags });
    const leader = await cluster.leader();
    const follower = (leader + 1) % 3;
    const from = (await cluster.client.put({ key: "k0", value: "before" })).header!.revision;
    const watch = (request: { key: string; rangeEnd?: string }): Seen => {
      const seen: Seen = { events: [], closed: undefined };
      cluster.clientOf(follower).watch(
        { ...request, startRevision: from, prevKv: true },
        {
          onEvents: (events) =>
            seen.events.push(...events.map(({ kv }) => `${kv!.modRevision} ${Buffer.from(kv!.key)}`)),
          onClosed: (error) => {
            seen.closed = error;
          },
        },
      );
      return seen;
    };
    const all = watch({ key: "k", rangeEnd: "l" });
    const one = watch({ key: "k7" });
    await waitFor("the watcher hears", () => all.events.length === 1);
    await askFaults(socket(follower), { set: "cut", fault: { type: "block", peer: "*", direction: "both" } });
    const writer = cluster.clientOf(leader);
    for (let i = 0; i < 3000; i += 50) {
      await Promise.all(
        Array.from({ length: 50 }, (_, k) => writer.put({ key: `k${(i + k) % 100}`, value: `${i + k}` })),
      );
    }
    await meanwhile();
    await askFaults(socket(follower), { clear: "*" });
    const to = (await writer.put({ key: "k7", value: "after" })).header!.revision;
    await waitFor("the state is received", () =>
      cluster.logs[follower]!.some((line) => line.includes("Received snapshot")),
    );
    await cluster.clientOf(follower).range({ key: "k7" });
    return { all, one, from, to };
  }

  test("they hear every change once, in order, over the new state", async () => {
    const { all, one, from, to } = await away(async () => {});
    await waitFor("the last event", () => Boolean(all.events.at(-1)?.startsWith(`${to} `)));
    const revisions = all.events.map((event) => Number(event.split(" ")[0]));
    assert.deepEqual(
      revisions,
      Array.from({ length: to - from + 1 }, (_, i) => from + i),
      "one change a revision",
    );
    await waitFor("the last event of one key", () => Boolean(one.events.at(-1)?.startsWith(`${to} `)));
    assert.deepEqual(
      one.events,
      all.events.filter((event) => event.endsWith(" k7")),
    );
    assert.deepEqual([all.closed, one.closed], [undefined, undefined]);
  });

  test("what was compacted meanwhile they are told of, rather than left with a gap", async () => {
    let compacted = 0;
    const { all, from } = await away(async () => {
      const leader = await cluster.leader();
      const { header } = await cluster.clientOf(leader).range({ key: "k0" });
      compacted = header!.revision - 10;
      await cluster.clientOf(leader).compact({ revision: compacted, physical: true });
      // The state is of after the compaction.
      for (let i = 0; i < 500; i++) await cluster.clientOf(leader).put({ key: "other", value: `${i}` });
    });
    await waitFor("the end of the watch", () => all.closed !== undefined);
    assert.equal(all.closed!.compactRevision, compacted);
    const revisions = all.events.map((event) => Number(event.split(" ")[0]));
    assert.deepEqual(
      revisions,
      revisions.map((_, i) => from + i),
      "no gap before the end",
    );
  });
});
