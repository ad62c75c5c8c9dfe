import assert from "node:assert/strict";
import { afterEach, describe, test } from "vitest";
import { type ProcessCluster, startProcessCluster } from "./testing.ts";

/** Small thresholds, so that snapshots are taken and sent all the time. */
const flags = ["--snapshot-count=200", "--snapshot-catchup-entries=50"];

describe("snapshots of running members", () => {
  let cluster: ProcessCluster;
  afterEach(() => cluster?.close());

  async function write(from: number, to: number, client = cluster.client): Promise<void> {
    for (let i = from; i < to; i += 50)
      await Promise.all(
        Array.from({ length: 50 }, (_, k) =>
          client.put({ key: `key-${(i + k) % 1000}`, value: `${i + k} ${"x".repeat((i + k) % 300)}` }),
        ),
      );
  }

  /** All members, at the revision of the last write. */
  async function hashes(): Promise<number[]> {
    const { header } = await cluster.client.put({ key: "last", value: "1" });
    return Promise.all(
      cluster.endpoints.map(async (_, i) => {
        await cluster.clientOf(i).range({ key: "last" }); // linearizable: it has applied everything
        return (await cluster.clientOf(i).hashKV(header!.revision)).hash;
      }),
    );
  }

  const said = (index: number, what: string) => cluster.logs[index]!.filter((line) => line.includes(what)).length;

  test("kill -9 of all members under small snapshots: each starts from its own and has everything", async () => {
    cluster = await startProcessCluster(3, { flags });
    await cluster.client.leaseGrant({ ID: 7n, TTL: 600 });
    await cluster.client.put({ key: "leased", value: "1", lease: 7n });
    await write(0, 3000);
    const before = await hashes();
    assert.equal(new Set(before).size, 1);
    for (const i of [0, 1, 2]) assert.ok(said(i, "Saved snapshot") >= 2, `member ${i} took snapshots`);
    const { kvs } = await cluster.client.range({ key: "key-999" });

    await Promise.all([0, 1, 2].map((i) => cluster.kill(i, "SIGKILL")));
    await Promise.all([0, 1, 2].map((i) => cluster.start(i)));
    assert.deepEqual((await cluster.client.range({ key: "key-999" })).kvs, kvs);
    assert.deepEqual((await cluster.client.leaseTimeToLive(7n, true)).keys.map(String), ["leased"]);
    await write(3000, 3500);
    assert.equal(new Set(await hashes()).size, 1);
  });

  test("a member that missed more than the log still holds catches up by a snapshot, under writes", async () => {
    cluster = await startProcessCluster(3, { flags });
    await write(0, 500);
    const leader = await cluster.leader();
    const away = (leader + 1) % 3;
    await cluster.kill(away, "SIGKILL");
    const there = cluster.clientOf(leader); // one who was with the killed member may lose a write
    await write(500, 3000, there);
    await there.compact({ revision: 2000 });
    const writing = write(3000, 4000, there);
    await cluster.start(away);
    await writing;
    assert.equal(new Set(await hashes()).size, 1);
    assert.ok(said(away, "Received snapshot") >= 1, cluster.logs[away]!.slice(-20).join("\n"));

    await cluster.kill(away, "SIGKILL"); // and from what it received it starts again
    await cluster.start(away);
    assert.equal(new Set(await hashes()).size, 1);
  });
});
