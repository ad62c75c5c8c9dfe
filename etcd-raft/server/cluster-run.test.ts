import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import type { EtcdClient } from "../client/client.ts";
import { startTestCluster, startTestMember, type TestCluster } from "./testing.ts";

const text = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString();

/** What all members say, once they agree; throws with their answers when they do not within the deadline. */
async function equalHashes(cluster: TestCluster): Promise<number> {
  const deadline = performance.now() + 20_000;
  for (;;) {
    const { header } = await cluster.client.range({ key: "x" }); // linearizable: how far all must come
    const hashes = await Promise.all(
      cluster.endpoints.map(async (_, i) => {
        const client = cluster.clientOf(i);
        await client.range({ key: "x" });
        return client.hashKV(header!.revision);
      }),
    );
    const values = new Set(hashes.map(({ hash }) => hash));
    if (values.size === 1) return hashes[0]!.hash;
    if (performance.now() > deadline) throw new Error(`hashes differ: ${hashes.map(({ hash }) => hash).join(" ")}`);
  }
}

test("a member alone serves at once, starting at revision 1", async () => {
  const store = await startTestCluster(1);
  try {
    const empty = await store.client.range({ key: "a" });
    assert.equal(empty.header!.revision, 1);
    const put = await store.client.put({ key: "a", value: "1" });
    assert.equal(put.header!.revision, 2);
    assert.equal(put.header!.memberId, store.members[0]!.member.id);
    assert.ok(put.header!.raftTerm > 0);
  } finally {
    await store.close();
  }
});

test("startTestMember gives an endpoint for the tests of others", async () => {
  const { endpoint, close } = await startTestMember();
  assert.match(endpoint, /^http:\/\/127\.0\.0\.1:\d+$/);
  await close();
});

describe("three members", () => {
  let cluster: TestCluster;
  let etcd: EtcdClient;
  beforeAll(async () => {
    cluster = await startTestCluster(3);
    etcd = cluster.client;
  });
  afterAll(() => cluster?.close());

  test("a write at any member is read at every member", async () => {
    for (const [i] of cluster.endpoints.entries()) {
      await cluster.clientOf(i).put({ key: `from-${i}`, value: `${i}` });
      for (const [j] of cluster.endpoints.entries()) {
        const { kvs } = await cluster.clientOf(j).range({ key: `from-${i}` });
        assert.equal(text(kvs[0]?.value), `${i}`);
      }
    }
    await equalHashes(cluster);
  });

  test("many writes at once are all done, each at its own revision", async () => {
    const before = (await etcd.range({ key: "x" })).header!.revision;
    const puts = await Promise.all(
      Array.from({ length: 500 }, (_, i) => etcd.put({ key: `many/${i % 50}`, value: `${i}` })),
    );
    const revisions = puts.map(({ header }) => header!.revision).sort((a, b) => a - b);
    assert.deepEqual(
      revisions,
      Array.from({ length: 500 }, (_, i) => before + 1 + i),
    );
  });

  test("the lead passes on when its holder stops, nothing is lost, and the stopped member catches up", async () => {
    const leader = await cluster.leader();
    await etcd.put({ key: "before", value: "1" });
    await cluster.stop(leader);
    const done: number[] = [];
    for (let i = 0; i < 20; i++) {
      await etcd.put({ key: `during/${i}`, value: "1" }, { timeoutMs: 5000 }).then(
        () => done.push(i),
        () => {},
      );
    }
    assert.ok(done.length > 0, "no write succeeded without the old leader");
    assert.notEqual(await cluster.leader(), leader);
    await cluster.start(leader);
    const again = cluster.clientOf(leader);
    assert.equal(text((await again.range({ key: "before" })).kvs[0]?.value), "1");
    for (const i of done) assert.equal((await again.range({ key: `during/${i}` })).count, 1);
    await equalHashes(cluster);
  });

  test("all stop and start again: everything is still there", async () => {
    const revision = (await etcd.put({ key: "kept", value: "1" })).header!.revision;
    const hash = await equalHashes(cluster);
    await Promise.all(cluster.endpoints.map((_, i) => cluster.stop(i)));
    await Promise.all(cluster.endpoints.map((_, i) => cluster.start(i)));
    const { header, kvs } = await etcd.range({ key: "kept" });
    assert.equal(header!.revision, revision);
    assert.equal(text(kvs[0]?.value), "1");
    assert.equal(await equalHashes(cluster), hash);
  });
});
