import assert from "node:assert/strict";
import http2 from "node:http2";
import { afterAll, beforeAll, describe, test } from "vitest";
import { type BidiStream, GrpcClient } from "../../net/grpc-client.ts";
import {
  AuthService,
  LeaseService,
  WatchRequest,
  WatchResponse,
  WatchService,
} from "../../proto/generated/etcdserverpb.ts";
import { Code, GrpcError } from "../client/client.ts";
import { startTestCluster, type TestCluster } from "./testing.ts";

let cluster: TestCluster;
let clients: GrpcClient[];
beforeAll(async () => {
  cluster = await startTestCluster(3, { flags: ["--bcrypt-cost=4", "--watch-progress-notify-interval=100ms"] });
  clients = cluster.endpoints.map((endpoint) => new GrpcClient(endpoint.replace("http://", "")));
  await cluster.leader();
});
afterAll(async () => {
  for (const client of clients) client.close();
  await cluster?.close();
});

const b = (text: string) => Buffer.from(text);

/** Reads a stream one response at a time; what ended it is thrown. */
function open(i: number, metadata: Record<string, string> = {}) {
  const stream: BidiStream<WatchRequest, WatchResponse> = clients[i]!.bidi(WatchService.Watch, { metadata });
  const responses = stream[Symbol.asyncIterator]();
  return {
    send: stream.send,
    async next(): Promise<WatchResponse> {
      const { value, done } = await responses.next();
      if (done) throw new Error("the stream ended");
      return value as WatchResponse;
    },
    close: () => stream.cancel(),
  };
}

test("creates are answered in the order in which they were asked, before any event of theirs", async () => {
  const { header } = await cluster.client.put({ key: "order", value: "1" });
  const stream = open(1);
  for (let i = 0; i < 50; i++) {
    stream.send({ createRequest: { key: b("order"), startRevision: header!.revision, watchId: i === 20 ? 100 : 0 } });
  }
  const created: number[] = [];
  const heard = new Set<number>();
  while (heard.size < 50) {
    const response = await stream.next();
    if (response.created) created.push(response.watchId);
    if (response.events.length === 0) continue;
    assert.ok(created.includes(response.watchId), "an event before `created`");
    assert.ok(!heard.has(response.watchId));
    heard.add(response.watchId);
  }
  assert.deepEqual(created, [
    ...Array.from({ length: 20 }, (_, i) => i),
    100,
    ...Array.from({ length: 29 }, (_, i) => 20 + i),
  ]);
  stream.close();
});

test("asked for progress, the answer comes after everything that was written before", async () => {
  const stream = open(2);
  stream.send({ createRequest: { key: b("p"), rangeEnd: b("q") } });
  assert.equal((await stream.next()).created, true);
  for (let round = 0; round < 20; round++) {
    const { header } = await cluster.clientOf(2).put({ key: "p", value: `${round}` });
    stream.send({ progressRequest: {} });
    const event = await stream.next();
    assert.deepEqual([event.events.length, event.header!.revision], [1, header!.revision]);
    const progress = await stream.next();
    assert.deepEqual([progress.watchId, progress.events.length, progress.header!.revision], [-1, 0, header!.revision]);
  }
  stream.close();
});

test("progress_notify speaks by itself, when nothing else was said", async () => {
  const stream = open(0);
  stream.send({ createRequest: { key: b("idle"), progressNotify: true } });
  assert.equal((await stream.next()).created, true);
  const { watchId, events, header } = await stream.next();
  assert.deepEqual([watchId, events.length], [0, 0]);
  assert.equal(header!.revision, (await cluster.clientOf(0).range({ key: "x" })).header!.revision);
  stream.close();
});

test("a reader that does not read holds up neither the others nor the member's memory", async () => {
  // Over a plain HTTP/2 client, whose windows stay closed while nobody reads.
  const session = http2.connect(cluster.endpoints[0]!);
  const slow = session.request({
    ":method": "POST",
    ":path": "/etcdserverpb.Watch/Watch",
    "content-type": "application/grpc",
    te: "trailers",
  });
  const request = WatchRequest.encode({ createRequest: { key: b("s") } });
  const frame = Buffer.alloc(5);
  frame.writeUInt32BE(request.length, 1);
  slow.write(Buffer.concat([frame, request]));
  const fast = open(0);
  fast.send({ createRequest: { key: b("s") } });
  assert.equal((await fast.next()).created, true);
  const { member } = cluster.members[0]!;
  while (member.hub.syncedCount < 2) await new Promise((resolve) => setImmediate(resolve));
  const value = "x".repeat(100_000);
  let revision = 0;
  for (let i = 0; i < 50; i++) {
    revision = (await cluster.clientOf(0).put({ key: "s", value })).header!.revision;
    assert.equal((await fast.next()).header!.revision, revision);
  }
  assert.equal(member.hub.syncedCount, 1, "the slow one has left the hub");
  // Having read on, it has everything, in order.
  const seen: number[] = [];
  let rest = Buffer.alloc(0);
  for await (const chunk of slow) {
    rest = Buffer.concat([rest, chunk as Buffer]);
    while (rest.length >= 5 && rest.length >= 5 + rest.readUInt32BE(1)) {
      const end = 5 + rest.readUInt32BE(1);
      seen.push(...WatchResponse.decode(rest.subarray(5, end)).events.map(({ kv }) => kv!.modRevision));
      rest = rest.subarray(end);
    }
    if (seen.at(-1) === revision) break;
  }
  assert.equal(seen.length, 50);
  for (let i = 1; i < seen.length; i++) assert.ok(seen[i]! > seen[i - 1]!);
  session.destroy();
  fast.close();
});

test("what is caught up comes in fragments of 2 MiB for those who allow it, whole for the others", async () => {
  const value = "x".repeat(700_000);
  const { header } = await cluster.client.put({ key: "f", value });
  for (let i = 0; i < 4; i++) await cluster.client.put({ key: "f", value });
  const stream = open(await cluster.leader());
  const create = { key: b("f"), startRevision: header!.revision };
  for (const fragment of [true, false]) stream.send({ createRequest: { ...create, fragment } });
  const events: [number, boolean][][] = [[], []];
  const count = (id: number) => events[id]!.reduce((sum, [n]) => sum + n, 0);
  while (count(0) < 5 || count(1) < 5) {
    const { watchId, events: some, fragment } = await stream.next();
    if (some.length > 0) events[watchId]!.push([some.length, fragment]);
  }
  assert.deepEqual(events, [
    [
      [2, true],
      [2, true],
      [1, false],
    ],
    [[5, false]],
  ]);
  stream.close();
});

describe("with auth", () => {
  const call = (method: keyof typeof AuthService, request: object, metadata: Record<string, string> = {}) =>
    // biome-ignore lint/suspicious/noExplicitAny: methods of different types
    clients[0]!.unary<any, any>(AuthService[method], request, { metadata, timeoutMs: 20_000 });

  test("who may not read is told in a response of the stream, which goes on", async () => {
    await call("UserAdd", { name: "root", password: "pw" });
    await call("RoleAdd", { name: "root" });
    await call("UserGrantRole", { user: "root", role: "root" });
    await call("UserAdd", { name: "ann", password: "pw" });
    await call("RoleAdd", { name: "r" });
    await call("RoleGrantPermission", { name: "r", perm: { permType: 0, key: b("mine") } });
    await call("UserGrantRole", { user: "ann", role: "r" });
    await call("AuthEnable", {});
    const tokenOf = async (name: string) => (await call("Authenticate", { name, password: "pw" })).token as string;
    try {
      const stream = open(0, { token: await tokenOf("ann") });
      stream.send({ createRequest: { key: b("other") } });
      stream.send({ createRequest: { key: b("mine"), rangeEnd: b("\0") } }); // a permission on one key is no open end
      stream.send({ createRequest: { key: b("mine") } });
      for (let i = 0; i < 2; i++) {
        const { watchId, created, canceled, cancelReason, events } = await stream.next();
        assert.deepEqual([watchId, created, canceled, events.length], [-1, true, true, 0]);
        assert.match(cancelReason, /permission denied/);
      }
      const { watchId, created, canceled } = await stream.next();
      assert.deepEqual([watchId, created, canceled], [0, true, false]);
      stream.close();
    } finally {
      await call("AuthDisable", {}, { token: await tokenOf("root") });
    }
  });
});

test("hasleader: an open stream ends after three election timeouts without a leader, a new one at once; others stay", async () => {
  const leader = await cluster.leader();
  const [at, third] = [0, 1, 2].filter((i) => i !== leader) as [number, number];
  const [careful, patient] = [open(at, { hasleader: "true" }), open(at)];
  const keepAlive = clients[at]!.bidi(LeaseService.LeaseKeepAlive, { metadata: { hasleader: "true" } });
  const renewals = keepAlive[Symbol.asyncIterator]();
  keepAlive.send({ ID: 1n });
  assert.equal((await renewals.next()).value!.TTL, 0);
  for (const stream of [careful, patient]) {
    stream.send({ createRequest: { key: b("a") } });
    assert.equal((await stream.next()).created, true);
  }
  await Promise.all([cluster.stop(leader), cluster.stop(third)]);
  const noLeader = (e: unknown) =>
    e instanceof GrpcError && e.code === Code.Unavailable && e.message === "etcdserver: no leader";
  await assert.rejects(careful.next(), noLeader);
  await assert.rejects(renewals.next(), noLeader);
  const { member } = cluster.members[at]!;
  assert.ok(member.leaderlessMs >= 3 * member.config.electionMs, `${member.leaderlessMs}`);
  await assert.rejects(open(at, { hasleader: "true" }).next(), noLeader);
  await Promise.all([cluster.start(leader), cluster.start(third)]);
  await cluster.leader();
  const { header } = await cluster.client.put({ key: "a", value: "1" });
  assert.equal((await patient.next()).events[0]!.kv!.modRevision, header!.revision);
  patient.close();
});
