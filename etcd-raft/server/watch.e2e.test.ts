import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "vitest";
import { askFaults } from "../../base/faults.ts";
import type { Event } from "../../proto/generated/mvccpb.ts";
import { type ProcessCluster, startProcessCluster, within } from "./testing.ts";

class Seen {
  /** `modRevision key` of each event. */
  readonly events: string[] = [];
  closed: { compactRevision: number } | undefined;
  #look = () => {};

  note(events: Event[], closed?: { compactRevision: number }): void {
    this.events.push(...events.map(({ kv }) => `${kv!.modRevision} ${Buffer.from(kv!.key)}`));
    this.closed = closed;
    this.#look();
  }

  until = (what: string, done: (seen: Seen) => boolean) =>
    within<void>(60_000, what, (found) => {
      this.#look = () => done(this) && found();
      this.#look();
    });
}

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
      const seen = new Seen();
      cluster
        .clientOf(follower)
        .watch(
          { ...request, startRevision: from, prevKv: true },
          { onEvents: (events) => seen.note(events), onClosed: (error) => seen.note([], error) },
        );
      return seen;
    };
    const all = watch({ key: "k", rangeEnd: "l" });
    const one = watch({ key: "k7" });
    await all.until("the watcher hears", ({ events }) => events.length === 1);
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
    await cluster.event(follower, "SnapshotInstalled");
    await cluster.clientOf(follower).range({ key: "k7" });
    return { all, one, from, to };
  }

  test("they hear every change once, in order, over the new state", async () => {
    const { all, one, from, to } = await away(async () => {});
    const last = ({ events }: Seen) => Boolean(events.at(-1)?.startsWith(`${to} `));
    await all.until("the last event", last);
    const revisions = all.events.map((event) => Number(event.split(" ")[0]));
    assert.deepEqual(
      revisions,
      Array.from({ length: to - from + 1 }, (_, i) => from + i),
      "one change a revision",
    );
    await one.until("the last event of one key", last);
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
    await all.until("the end of the watch", ({ closed }) => closed !== undefined);
    assert.equal(all.closed!.compactRevision, compacted);
    const revisions = all.events.map((event) => Number(event.split(" ")[0]));
    assert.deepEqual(
      revisions,
      revisions.map((_, i) => from + i),
      "no gap before the end",
    );
  });
});
