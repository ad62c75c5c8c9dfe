import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { GrpcClient } from "../../net/grpc-client.ts";
import * as pb from "../../proto/generated/etcdserverpb.ts";
import type { Event } from "../../proto/generated/mvccpb.ts";
import type { Method } from "../../proto/wire.ts";
import { Code, type EtcdClient, type GrpcError } from "../client/client.ts";
import { type Disk, nodeDisk } from "../wal/disk.ts";
import { startTestCluster, startTestMember, type TestCluster } from "./testing.ts";

const { KVService, WatchService } = pb;

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

test("a request beyond 1.5 MiB is too large, and the connection goes on", async () => {
  const store = await startTestCluster(1);
  try {
    const value = "x".repeat(1.5 * 1024 * 1024);
    await assert.rejects(
      store.client.put({ key: "a", value }),
      (e: GrpcError) => e.code === Code.InvalidArgument && e.message === "etcdserver: request is too large",
    );
    await store.client.put({ key: "a", value: value.slice(0, 1024 * 1024) });
    assert.equal((await store.client.range({ key: "a" })).kvs[0]!.value.length, 1024 * 1024);
  } finally {
    await store.close();
  }
});

test("a disk that fails ends the member; nothing is acknowledged after that", async () => {
  let broken = false;
  const disk: Disk = {
    ...nodeDisk,
    async open(path, mode) {
      const file = await nodeDisk.open(path, mode);
      const intact = () => (broken ? Promise.reject(new Error("EIO: i/o error, fdatasync")) : Promise.resolve());
      return {
        ...file,
        sync: () => intact().then(() => file.sync()),
        writeThrough: (at, bytes) => intact().then(() => file.writeThrough(at, bytes)),
      };
    },
  };
  let fatal: Error | undefined;
  const store = await startTestCluster(1, { disk, onFatal: (error) => (fatal = error) });
  try {
    await store.client.put({ key: "a", value: "1" });
    broken = true;
    await assert.rejects(store.client.put({ key: "a", value: "2" }, { timeoutMs: 500 }));
    assert.match(fatal!.message, /EIO/);
    const { kvs } = await store.client.range({ key: "a", serializable: true });
    assert.equal(text(kvs[0]!.value), "1");
  } finally {
    await store.close();
  }
});

describe("one member of three alone", () => {
  let cluster: TestCluster;
  let alone: EtcdClient;
  let index: number;
  beforeAll(async () => {
    cluster = await startTestCluster(3);
    await cluster.client.put({ key: "a", value: "1" });
    index = await cluster.leader();
    alone = cluster.clientOf(index);
    await alone.range({ key: "a" });
    await Promise.all([0, 1, 2].filter((i) => i !== index).map((i) => cluster.stop(i)));
    await new Promise<void>((resolve) => {
      const { member } = cluster.members[index]!;
      const cancel = systemClock.every(10, () => {
        if (member.leader !== 0n) return;
        cancel();
        resolve();
      });
    });
  });
  afterAll(() => cluster?.close());

  test("still serves serializable reads and says in its status that there is no leader", async () => {
    assert.equal((await alone.range({ key: "a", serializable: true })).count, 1);
    const status = await alone.status();
    assert.deepEqual([status.leader, status.errors], [0n, ["etcdserver: no leader"]]);
  });

  test("fails who asks for a leader at once, and a write after the request timeout", async () => {
    const client = new GrpcClient(cluster.endpoints[index]!.replace("http://", ""));
    try {
      const metadata = { hasleader: "true" };
      const noLeader = (e: GrpcError) => e.code === Code.Unavailable && e.message === "etcdserver: no leader";
      for (const service of [pb.KVService, pb.LeaseService, pb.ClusterService, pb.MaintenanceService, pb.AuthService]) {
        for (const method of Object.values(service) as Method<object, object>[]) {
          if (method.kind === "unary")
            await assert.rejects(client.unary(method, {}, { metadata }), noLeader, method.path);
        }
      }
      for (const method of [WatchService.Watch, pb.LeaseService.LeaseKeepAlive] as unknown as Method<
        object,
        object
      >[]) {
        await assert.rejects(client.bidi(method, { metadata })[Symbol.asyncIterator]().next(), noLeader);
      }
      await assert.rejects(
        client.unary(KVService.Put, { key: Buffer.from("a") }),
        (e: GrpcError) => e.code === Code.Unavailable && e.message === "etcdserver: request timed out",
      );
    } finally {
      client.close();
    }
  });
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

  test("a lease granted, renewed and asked for at a follower lives by the leader's clock, and ends on all", async () => {
    const leader = await cluster.leader();
    const follower = cluster.clientOf((leader + 1) % 3);
    const { ID, TTL } = await follower.leaseGrant({ TTL: 60 });
    assert.equal(TTL, 60);
    await follower.put({ key: "leased", value: "1", lease: ID });
    assert.equal((await follower.leaseKeepAlive(ID)).TTL, 60);
    const asked = await follower.leaseTimeToLive(ID, true);
    assert.deepEqual([asked.grantedTTL, asked.TTL >= 58, asked.keys.map(text)], [60, true, ["leased"]]);
    assert.deepEqual((await cluster.clientOf(leader).leaseLeases()).leases, [{ ID }]);
    await follower.leaseRevoke(ID);
    assert.equal((await cluster.client.range({ key: "leased" })).count, 0);
    assert.equal((await follower.leaseKeepAlive(ID)).TTL, 0);
    assert.equal((await follower.leaseTimeToLive(ID)).TTL, -1);
    await assert.rejects(follower.put({ key: "leased", lease: ID }), /etcdserver: requested lease not found$/);
    await assert.rejects(follower.leaseRevoke(ID), /etcdserver: requested lease not found$/);
  });

  test("a lease that nobody renews takes its keys along, in one revision, also after the lead has moved", async () => {
    const { ID } = await etcd.leaseGrant({ TTL: 1 });
    const gone = new Promise<Event[]>((resolve, reject) => {
      const watch = etcd.watch(
        { key: "short/", rangeEnd: "short0", filters: [0] },
        {
          onEvents: (events) => {
            watch.cancel();
            resolve(events);
          },
          onClosed: reject,
        },
      );
    });
    for (const key of ["short/b", "short/a"]) await etcd.put({ key, value: "", lease: ID });
    const leader = await cluster.leader();
    await cluster.members[leader]!.member.transferTo(cluster.members[(leader + 1) % 3]!.member.id);
    const events = await gone;
    assert.deepEqual(
      events.map(({ type, kv }) => [type, text(kv!.key)]),
      [
        [1, "short/a"],
        [1, "short/b"],
      ],
    );
    assert.equal(new Set(events.map(({ kv }) => kv!.modRevision)).size, 1);
    assert.equal((await etcd.leaseTimeToLive(ID)).TTL, -1);
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
