import assert from "node:assert/strict";
import { afterEach, describe, test } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { StartError } from "../../base/process.ts";
import { GrpcClient } from "../../net/grpc-client.ts";
import { Code, type GrpcError } from "../../net/grpc-error.ts";
import {
  ClusterService,
  KVService,
  LeaseService,
  MaintenanceService,
  WatchService,
} from "../../proto/generated/etcdserverpb.ts";
import { startTestCluster, type TestCluster } from "./testing.ts";

/** Members that come and go, in this process over real sockets. */
let cluster: TestCluster;
let clients: GrpcClient[] = [];
afterEach(async () => {
  for (const client of clients) client.close();
  clients = [];
  await cluster?.close();
});

const timeout = { timeoutMs: 10_000 };
const etcdError = (code: Code, text: string) => ({ code, message: `etcdserver: ${text}` });
const b = (text: string) => Buffer.from(text);

function clientOf(i: number): GrpcClient {
  const client = new GrpcClient(cluster.endpoints[i]!.replace("http://", ""));
  clients.push(client);
  return client;
}

const idOf = (i: number) => cluster.members[i]!.member.id;

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!holds()) {
    assert.ok(performance.now() < deadline, `in time: ${what}`);
    await new Promise((resolve) => void systemClock.after(5, () => resolve(undefined)));
  }
}

const eager = { flags: ["--strict-reconfig-check=false"] };

/** Through member `at`; the newcomer is started and has caught up. */
async function grow(at: number, isLearner = false): Promise<number> {
  const i = await cluster.reserve();
  const added = await clientOf(at).unary(
    ClusterService.MemberAdd,
    { peerURLs: [cluster.peerURL(i)], isLearner },
    timeout,
  );
  await cluster.start(i);
  assert.equal(idOf(i), added.member!.ID, "it takes the id that the cluster gave it");
  const { member } = cluster.members[i]!;
  await until("the newcomer is in service", () => member.published);
  return i;
}

/** Through member `at`; it stops by itself. As a client does, asks again when a change of leaders left the answer open. */
async function shrink(at: number, gone: number): Promise<void> {
  const running = cluster.members[gone]!;
  const remove = () => clientOf(at).unary(ClusterService.MemberRemove, { ID: running.member.id }, timeout);
  await remove().catch(async (error: GrpcError) => {
    if (error.code !== Code.Unavailable) throw error;
    await remove().catch((second: GrpcError) => assert.equal(second.code, Code.NotFound, second.message));
  });
  await running.removed;
  await cluster.stop(gone);
}

describe("under writes", () => {
  test("one member becomes three, five, seven, and one again; nothing that was acknowledged is lost", async () => {
    cluster = await startTestCluster(1, {
      flags: [...eager.flags, "--snapshot-count=200", "--snapshot-catchup-entries=50"],
    });
    await cluster.leader();
    const acknowledged: string[] = [];
    let stopped = false;
    const writer = async (name: string) => {
      for (let n = 0; !stopped; n++) {
        const running = cluster.members.filter((m) => m !== undefined && !m.member.isLearner);
        const { member } = running[n % running.length]!;
        const key = `${name}-${n}`;
        const written = await member.write({ put: { key: b(key), value: b(key) } }).then(
          () => true,
          () => false, // who knows
        );
        if (written) acknowledged.push(key);
        else await new Promise(setImmediate);
      }
    };
    const writers = ["x", "y", "z"].map(writer);
    const up = [0];
    for (let n = 0; n < 6; n++) {
      const learner = n % 2 === 1;
      const i = await grow(up[n % up.length]!, learner);
      if (learner) {
        await until("it has caught up", () => cluster.members[i]!.member.runner.raft.log.committed > 0);
        await retried(() => clientOf(up[0]!).unary(ClusterService.MemberPromote, { ID: idOf(i) }, timeout));
        await until("it knows that it votes", () => !cluster.members[i]!.member.isLearner);
      }
      up.push(i);
      const { members } = await clientOf(i).unary(ClusterService.MemberList, { linearizable: true }, timeout);
      assert.equal(members.length, n + 2);
    }
    while (up.length > 1) {
      // The leader itself in every second round.
      const leader = await cluster.leader();
      const gone = up.length % 2 === 0 ? leader : up.find((i) => i !== leader)!;
      const at = up.find((i) => i !== gone)!;
      await shrink(at, gone);
      up.splice(up.indexOf(gone), 1);
    }
    stopped = true;
    await Promise.all(writers);
    assert.ok(acknowledged.length > 100, `${acknowledged.length} writes`);
    const { kvs } = await clientOf(up[0]!).unary(KVService.Range, { key: b("\0"), rangeEnd: b("\0") }, timeout);
    const there = new Set(kvs.map(({ key }) => key.toString()));
    assert.deepEqual(
      acknowledged.filter((key) => !there.has(key)),
      [],
    );
  }, 120_000);
});

/** A learner is ready when it has nearly all of the log, which it may not have yet. */
async function retried<R>(call: () => Promise<R>): Promise<R> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!(error as Error).message.includes("in sync with leader")) throw error;
      await new Promise((resolve) => void systemClock.after(20, () => resolve(undefined)));
    }
  }
}

describe("a learner", () => {
  test("serves Status, Snapshot and serializable reads, and nothing else; it never leads; then it is promoted", async () => {
    cluster = await startTestCluster(3, eager);
    await cluster.client.put({ key: "a", value: "1" });
    const i = await grow(0, true);
    const learner = clientOf(i);
    const refused = etcdError(Code.FailedPrecondition, "rpc not supported for learner");
    const { member } = cluster.members[i]!;
    await until("it has caught up", () => member.applier.store.revision >= 2);
    const { kvs } = await learner.unary(KVService.Range, { key: b("a"), serializable: true }, timeout);
    assert.equal(kvs.length, 1);
    assert.equal((await learner.unary(MaintenanceService.Status, {}, timeout)).isLearner, true);
    const snapshot = learner.serverStream(MaintenanceService.Snapshot, {}, timeout);
    for await (const { blob } of snapshot) {
      assert.ok(blob.length > 0);
      break;
    }
    snapshot.cancel();
    await assert.rejects(learner.unary(KVService.Range, { key: b("a") }, timeout), refused);
    await assert.rejects(learner.unary(KVService.Put, { key: b("a") }, timeout), refused);
    await assert.rejects(learner.unary(LeaseService.LeaseLeases, {}, timeout), refused);
    await assert.rejects(learner.unary(ClusterService.MemberList, {}, timeout), refused);
    const watch = learner.bidi(WatchService.Watch, timeout);
    await assert.rejects(async () => {
      for await (const _ of watch);
    }, refused);

    const leader = await cluster.leader();
    const bad = etcdError(Code.FailedPrecondition, "bad leader transferee");
    const move = (targetID: bigint) => clientOf(leader).unary(MaintenanceService.MoveLeader, { targetID }, timeout);
    await assert.rejects(move(idOf(i)), bad);
    await assert.rejects(move(1n), bad);
    await assert.rejects(
      clientOf((leader + 1) % 3).unary(MaintenanceService.MoveLeader, { targetID: idOf(leader) }, timeout),
      etcdError(Code.FailedPrecondition, "not leader"),
    );

    // A second one is one too many; a restart leaves it a learner; new addresses do, too.
    const another = await cluster.reserve();
    const peerURLs = [cluster.peerURL(another)];
    await assert.rejects(
      clientOf(0).unary(ClusterService.MemberAdd, { peerURLs, isLearner: true }, timeout),
      etcdError(Code.FailedPrecondition, "too many learner members in cluster"),
    );
    await cluster.stop(i);
    await cluster.start(i);
    assert.equal(cluster.members[i]!.member.isLearner, true);
    await clientOf(0).unary(
      ClusterService.MemberUpdate,
      { ID: idOf(i), peerURLs: [cluster.peerURL(i), ...peerURLs] },
      timeout,
    );
    const listed = async (at: number) =>
      (await clientOf(at).unary(ClusterService.MemberList, { linearizable: true }, timeout)).members;
    assert.deepEqual(
      (await listed(0)).filter(({ isLearner }) => isLearner).map(({ ID, peerURLs: urls }) => [ID, urls]),
      [[idOf(i), [cluster.peerURL(i), ...peerURLs].sort()]],
    );

    // Asked at a follower, which asks the leader.
    const follower = ((await cluster.leader()) + 1) % 3;
    await retried(() => clientOf(follower).unary(ClusterService.MemberPromote, { ID: idOf(i) }, timeout));
    assert.deepEqual(
      (await listed(follower)).map(({ isLearner }) => isLearner),
      [false, false, false, false],
    );
    await assert.rejects(
      clientOf(follower).unary(ClusterService.MemberPromote, { ID: idOf(i) }, timeout),
      etcdError(Code.FailedPrecondition, "can only promote a learner member"),
    );
    await until("it has heard of its promotion", () => !cluster.members[i]!.member.isLearner);
    await clientOf(i).unary(KVService.Put, { key: b("b") }, timeout);
    await cluster.stop(i);
    await cluster.start(i);
    await until("what is in its log is applied", () => cluster.members[i]!.member.published);
    assert.equal(cluster.members[i]!.member.isLearner, false, "promotion is on disk");
    assert.equal((await listed(i)).length, 4);
  }, 60_000);
});

describe("a change is refused", () => {
  test("with etcd's codes and texts", async () => {
    cluster = await startTestCluster(1);
    await cluster.leader();
    const client = clientOf(0);
    const add = (peerURLs: string[]) => client.unary(ClusterService.MemberAdd, { peerURLs }, timeout);
    const badURLs = etcdError(Code.InvalidArgument, "given member URLs are invalid");
    for (const urls of [[], ["127.0.0.1:2380"], ["http://127.0.0.1"], ["http://127.0.0.1:1/path"]])
      await assert.rejects(add(urls), badURLs);
    await assert.rejects(add([cluster.peerURL(0)]), etcdError(Code.FailedPrecondition, "Peer URLs already exists"));
    const notFound = etcdError(Code.NotFound, "member not found");
    await assert.rejects(client.unary(ClusterService.MemberRemove, { ID: 1n }, timeout), notFound);
    await assert.rejects(client.unary(ClusterService.MemberPromote, { ID: 1n }, timeout), notFound);
    const update = (ID: bigint, peerURLs: string[]) =>
      client.unary(ClusterService.MemberUpdate, { ID, peerURLs }, timeout);
    for (const urls of [["http://127.0.0.1:1"], ["x"]]) await assert.rejects(update(1n, urls), notFound);
    const tooFew = etcdError(Code.Unknown, "re-configuration failed due to not enough started members");
    await assert.rejects(client.unary(ClusterService.MemberRemove, { ID: idOf(0) }, timeout), tooFew);
    await assert.rejects(update(idOf(0), []), badURLs);
    // The second of two may come, although two need both; before it runs, a third would stop everything.
    const { member, header } = await add(["http://127.0.0.1:1"]);
    assert.equal(header!.revision, 0);
    assert.ok(member!.ID > 0n);
  });

  test("a removed id is never used again, whatever the order of a log", async () => {
    cluster = await startTestCluster(3, eager);
    const leader = await cluster.leader();
    const gone = (leader + 1) % 3;
    const id = idOf(gone);
    await shrink(leader, gone);
    const { member } = cluster.members[leader]!;
    await assert.rejects(
      member.reconfigure({ type: 0, nodeId: id, context: b(`{"id":${id},"peerURLs":["http://127.0.0.1:1"]}`) }),
      etcdError(Code.NotFound, "member not found"),
    );
  });
});

describe("a removed member", () => {
  test("that was down learns of it from the others when it is back, and stops", async () => {
    cluster = await startTestCluster(3, eager);
    const leader = await cluster.leader();
    const gone = (leader + 1) % 3;
    const id = idOf(gone);
    await cluster.stop(gone);
    await clientOf(leader).unary(ClusterService.MemberRemove, { ID: id }, timeout);
    await cluster.start(gone);
    await cluster.members[gone]!.removed;
  });

  test("that has applied its removal does not start again", async () => {
    cluster = await startTestCluster(3, eager);
    const leader = await cluster.leader();
    await shrink((leader + 1) % 3, leader);
    await assert.rejects(cluster.start(leader), (error: Error) => {
      return (
        error instanceof StartError &&
        /has been permanently removed from the cluster: remove the directory/.test(error.message)
      );
    });
  });
});

describe("a newcomer", () => {
  test("catches up by a snapshot when the log does not go back to the beginning", async () => {
    cluster = await startTestCluster(3, {
      flags: [...eager.flags, "--snapshot-count=50", "--snapshot-catchup-entries=10"],
    });
    for (let n = 0; n < 300; n++) await cluster.client.put({ key: `k${n}`, value: "x" });
    const leader = await cluster.leader();
    await until("the log is cut", () => cluster.members[leader]!.member.runner.raft.log.start.index > 0);
    const i = await grow(leader);
    const { kvs } = await clientOf(i).unary(KVService.Range, { key: b("k"), rangeEnd: b("l") }, timeout);
    assert.equal(kvs.length, 300);
    assert.equal((await clientOf(i).unary(ClusterService.MemberList, {}, timeout)).members.length, 4);
    // Its state on disk knows who is in, too.
    await cluster.stop(i);
    await cluster.start(i);
    assert.equal(
      (await clientOf(i).unary(ClusterService.MemberList, { linearizable: true }, timeout)).members.length,
      4,
    );
  });

  test("that was not added is refused in one line, and leaves nothing behind that says otherwise", async () => {
    cluster = await startTestCluster(3, eager);
    await cluster.leader();
    const i = await cluster.reserve();
    const refused = (pattern: RegExp) => (error: Error) => error instanceof StartError && pattern.test(error.message);
    await assert.rejects(cluster.start(i), refused(/couldn't find local name "m3"/));
    const other = await cluster.reserve();
    await clientOf(0).unary(ClusterService.MemberAdd, { peerURLs: [cluster.peerURL(other)] }, timeout);
    await cluster.start(other);
    await until("it serves", () => cluster.members[other]!.member.published);
  });
});

test("a member whose address cannot even be dialled is one that is down, at once and after a restart", async () => {
  cluster = await startTestCluster(3, eager);
  await cluster.leader();
  const request = { peerURLs: ["https://127.0.0.1:1"], isLearner: true }; // no member has certificates
  const { member: added } = await clientOf(0).unary(ClusterService.MemberAdd, request, timeout);
  await cluster.client.put({ key: "a", value: "1" });
  await cluster.stop(0);
  await cluster.start(0);
  await clientOf(0).unary(ClusterService.MemberRemove, { ID: added!.ID }, timeout);
});
