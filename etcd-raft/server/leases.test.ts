import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { GrpcClient } from "../../net/grpc-client.ts";
import { LeaseService } from "../../proto/generated/etcdserverpb.ts";
import { Code } from "../client/client.ts";
import { callersOf } from "./access.ts";
import { leaseHandlers } from "./lease-service.ts";
import { startTestCluster, type TestCluster } from "./testing.ts";

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await startTestCluster(3);
  await cluster.leader();
});
afterAll(() => cluster?.close());

const refused = (code: Code, text: string) => ({ code, message: `etcdserver: ${text}` });
const member = (i: number) => cluster.members[i]!.member;
/** Until `done` is not undefined. */
async function eventually<R>(what: string, done: () => Promise<R | undefined> | R | undefined): Promise<R> {
  const deadline = performance.now() + 30_000;
  for (;;) {
    const found = await done();
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error(`never: ${what}`);
  }
}

describe("granting", () => {
  test("without an id the server picks a positive one; a short TTL is raised", async () => {
    const { ID, TTL, header } = await cluster.client.leaseGrant({ TTL: -5 });
    assert.ok(ID > 0n);
    assert.equal(TTL, 1); // 1.5 election timeouts of 200 ms
    assert.ok(header!.raftTerm > 0);
  });

  test("refuses an id in use, and a TTL beyond 9,000,000,000", async () => {
    await cluster.client.leaseGrant({ ID: 5n, TTL: 600 });
    await assert.rejects(
      cluster.client.leaseGrant({ ID: 5n, TTL: 600 }),
      refused(Code.FailedPrecondition, "lease already exists"),
    );
    await assert.rejects(
      cluster.client.leaseGrant({ ID: 6n, TTL: 9_000_000_001 }),
      refused(Code.OutOfRange, "too large lease TTL"),
    );
    assert.equal((await cluster.client.leaseGrant({ ID: 6n, TTL: 9_000_000_000 })).TTL, 9_000_000_000);
  });
});

test("revoking takes the keys, sorted, in one revision, on every member; what is not there is NotFound", async () => {
  await cluster.client.leaseGrant({ ID: 20n, TTL: 600 });
  for (const key of ["r/b", "r/c", "r/a"]) await cluster.client.put({ key, value: "1", lease: 20n });
  const before = (await cluster.client.range({ key: "x" })).header!.revision;
  const { header } = await cluster.client.leaseRevoke(20n);
  assert.equal(header!.revision, before + 1);
  const events: string[] = [];
  const watch = cluster.clientOf(1).watch(
    { key: "r/", rangeEnd: "r0", startRevision: before + 1 },
    {
      onEvents: (all) => events.push(...all.map(({ kv }) => `${kv!.modRevision - before} ${Buffer.from(kv!.key)}`)),
      onClosed: (error) => events.push(`${error}`),
    },
  );
  await eventually("the deletions", () =>
    events.length > 0 ? true : new Promise((done) => setImmediate(() => done(undefined))),
  );
  watch.cancel();
  assert.deepEqual(events, ["1 r/a", "1 r/b", "1 r/c"]);
  await assert.rejects(cluster.client.leaseRevoke(20n), refused(Code.NotFound, "requested lease not found"));
});

describe("at every member, leading or not", () => {
  test.each([0, 1, 2])(
    "member %i: keep-alive, time to live with keys, and what of a lease that is not there",
    async (i) => {
      const id = BigInt(30 + i);
      const client = cluster.clientOf(i);
      await client.leaseGrant({ ID: id, TTL: 600 });
      assert.equal((await client.leaseKeepAlive(id)).TTL, 600, "a fresh one is found at once");
      await client.put({ key: `k${i}`, lease: id });
      const { TTL, grantedTTL, keys, ID } = await client.leaseTimeToLive(id, true);
      assert.deepEqual([ID, grantedTTL, keys.map(String)], [id, 600, [`k${i}`]]);
      assert.ok(TTL > 590 && TTL <= 600);
      assert.deepEqual((await client.leaseTimeToLive(id)).keys, []);
      assert.ok((await client.leaseLeases()).leases.some(({ ID }) => ID === id));
      assert.equal((await client.leaseKeepAlive(999n)).TTL, 0);
      const missing = await client.leaseTimeToLive(999n);
      assert.deepEqual([missing.ID, missing.TTL, missing.grantedTTL], [999n, -1, 0]);
    },
  );

  test("a put that has no lease any more takes the key off it; another lease takes it over", async () => {
    for (const ID of [40n, 41n]) await cluster.client.leaseGrant({ ID, TTL: 600 });
    const keysOf = async (id: bigint) => (await cluster.client.leaseTimeToLive(id, true)).keys.map(String);
    await cluster.client.put({ key: "moving", lease: 40n });
    await cluster.client.put({ key: "moving", lease: 41n });
    assert.deepEqual([await keysOf(40n), await keysOf(41n)], [[], ["moving"]]);
    await cluster.client.put({ key: "moving" });
    assert.deepEqual(await keysOf(41n), []);
  });
});

test("a keep-alive's header is of before the renewal: of a lease that ends meanwhile it does not tell the end", async () => {
  const leader = await cluster.leader();
  const { applier } = member(leader);
  await cluster.client.leaseGrant({ ID: 50n, TTL: 600 });
  await cluster.client.put({ key: "fading", lease: 50n });
  const revision = applier.store.revision;
  const client = new GrpcClient(cluster.endpoints[leader]!.replace("http://", ""));
  try {
    // The lease has ended by the leader's clock and waits for its revocation.
    applier.lessor.promote(0, -600_000);
    const stream = client.bidi(LeaseService.LeaseKeepAlive, { timeoutMs: 20_000 });
    stream.send({ ID: 50n });
    for await (const { header, TTL, ID } of stream) {
      assert.deepEqual([ID, TTL], [50n, 0], "it is not revived");
      assert.ok(header!.revision <= revision, `${header!.revision} > ${revision}`);
      break;
    }
    assert.equal((await cluster.client.range({ key: "fading" })).count, 0, "the answer came when it was gone");
  } finally {
    client.close();
  }
});

test("five hundred that end at once are all revoked, few at a time", async () => {
  const leader = member(await cluster.leader());
  const { lessor } = leader.applier;
  const ids = Array.from({ length: 500 }, (_, i) => BigInt(1000 + i));
  await Promise.all(ids.map((ID) => cluster.client.leaseGrant({ ID, TTL: 600 })));
  let most = 0;
  lessor.promote(0, -600_000);
  await eventually("all revoked", async () => {
    most = Math.max(most, leader.pendingCount);
    await new Promise((done) => setImmediate(done));
    return ids.some((id) => lessor.has(id)) ? undefined : true;
  });
  assert.ok(most > 0 && most <= 17, `${most} at once`); // sixteen, and perhaps a note of what others have left
});

test("what was noted of a lease counts at the next leader and after a restart; a renewal gives all of it again", async () => {
  const first = await cluster.leader();
  await cluster.client.leaseGrant({ ID: 60n, TTL: 900 });
  await member(first).write({ leaseCheckpoint: { checkpoints: [{ ID: 60n, remainingTTL: 100 }] } });
  await cluster.stop(first);
  const second = await cluster.leader();
  const left = (await cluster.clientOf(second).leaseTimeToLive(60n)).TTL;
  assert.ok(left > 50 && left <= 101, `${left}`);
  await cluster.start(first);
  await member(first).linearizable(() => undefined);
  assert.equal(member(first).applier.lessor.isCheckpointed(60n), true);
  assert.equal((await cluster.clientOf(first).leaseKeepAlive(60n)).TTL, 900);
  await member(first).linearizable(() => undefined);
  for (const { member } of cluster.members.map((m) => m!)) {
    await member.linearizable(() => undefined);
    assert.equal(member.applier.lessor.isCheckpointed(60n), false);
  }
  assert.ok((await cluster.client.leaseTimeToLive(60n)).TTL > 800);
});

describe("a stream of keep-alives", () => {
  const stream = (i: number) => {
    const abort = new AbortController();
    const context = { metadata: {}, peer: undefined, signal: abort.signal };
    const { LeaseKeepAlive } = leaseHandlers(member(i), callersOf(member(i), { clientCertAuth: false }));
    const heard: unknown[] = [];
    const send = Object.assign((response: object) => heard.push(response) > 0, { drained: () => Promise.resolve() });
    const call = LeaseKeepAlive(context, { send, end: (error) => heard.push(error?.message) });
    return { ...call, heard, abort };
  };

  test("more than ten thousand that wait are too many", () => {
    const { onMessage, heard, abort } = stream(0);
    for (let i = 0; i < 10_000; i++) onMessage({ ID: 77n });
    assert.deepEqual(heard, []);
    onMessage({ ID: 77n });
    assert.deepEqual(heard, ["etcdserver: too many requests"]);
    abort.abort();
  });

  test("of a caller that has gone none is renewed any more", async () => {
    const leader = await cluster.leader();
    const { onMessage, onEnd, heard, abort } = stream(leader);
    const { renewed } = member(leader).leases;
    await cluster.client.leaseGrant({ ID: 78n, TTL: 600 });
    for (let i = 0; i < 100; i++) onMessage({ ID: 78n });
    abort.abort();
    onEnd();
    await eventually("its end", () => (heard.at(-1) === undefined && heard.length > 0) || undefined);
    assert.ok(member(leader).leases.renewed <= renewed + 1);
  });
});
