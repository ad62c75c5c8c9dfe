import assert from "node:assert/strict";
import { afterAll, afterEach, beforeAll, describe, test } from "vitest";
import { GrpcClient } from "../../net/grpc-client.ts";
import {
  type DowngradeRequest,
  KVService,
  LeaseService,
  MaintenanceService,
  type TxnRequest,
} from "../../proto/generated/etcdserverpb.ts";
import type { Init } from "../../proto/wire.ts";
import { Code } from "../client/client.ts";
import { idText } from "./cluster.ts";
import { startTestCluster, type TestCluster } from "./testing.ts";

let cluster: TestCluster;
let clients: GrpcClient[];
beforeAll(async () => {
  cluster = await startTestCluster(3);
  clients = cluster.endpoints.map((endpoint) => new GrpcClient(endpoint.replace("http://", "")));
  await cluster.leader();
});
afterAll(async () => {
  for (const client of clients) client.close();
  await cluster?.close();
});

const b = (text: string) => Buffer.from(text);
const timeout = { timeoutMs: 20_000 };
const etcdError = (code: Code, text: string) => ({ code, message: `etcdserver: ${text}` });
const status = (i: number) => clients[i]!.unary(MaintenanceService.Status, {}, timeout);
/** Everything acknowledged is applied there. */
const caughtUp = (i: number) => clients[i]!.unary(KVService.Range, { key: b("x") }, timeout);

describe("Status", () => {
  test("has every field of 3.6", async () => {
    await cluster.client.put({ key: "a", value: "x".repeat(1000) });
    for (const i of [0, 1, 2]) {
      await caughtUp(i);
      const { header, ...s } = await status(i);
      const { member } = cluster.members[i]!;
      assert.deepEqual([header!.memberId, header!.revision], [member.id, member.applier.store.revision]);
      assert.match(s.version, /^3\.6\.\d+$/);
      assert.equal(s.storageVersion, "3.6.0");
      assert.equal(s.leader, cluster.members[await cluster.leader()]!.member.id);
      assert.ok(s.raftTerm > 0 && s.raftIndex > 0 && s.raftAppliedIndex <= s.raftIndex);
      assert.ok(s.dbSizeInUse > 1000 && s.dbSizeInUse <= s.dbSize, `${s.dbSizeInUse} of ${s.dbSize}`);
      assert.equal(s.dbSizeQuota, 2 * 1024 ** 3);
      assert.deepEqual([s.errors, s.isLearner], [[], false]);
      assert.deepEqual(s.downgradeInfo, { enabled: false, targetVersion: "" });
    }
  });

  test("the size follows what is deleted and compacted, without a defragmentation", async () => {
    const before = (await status(0)).dbSizeInUse;
    const value = "x".repeat(100_000);
    for (let i = 0; i < 10; i++) await clients[0]!.unary(KVService.Put, { key: b("big"), value: b(value) }, timeout);
    assert.ok((await status(0)).dbSizeInUse > before + 10 * value.length);
    const { header } = await clients[0]!.unary(KVService.DeleteRange, { key: b("big") }, timeout);
    await clients[0]!.unary(KVService.Compact, { revision: header!.revision, physical: true }, timeout);
    assert.ok((await status(0)).dbSizeInUse < before + value.length);
  });
});

test("Defragment answers at once, without a header", async () => {
  assert.equal((await clients[0]!.unary(MaintenanceService.Defragment, {}, timeout)).header, undefined);
});

test("MoveLeader answers once the other leads, without a header", async () => {
  const from = await cluster.leader();
  const targetID = cluster.members[(from + 1) % 3]!.member.id;
  assert.equal((await clients[from]!.unary(MaintenanceService.MoveLeader, { targetID }, timeout)).header, undefined);
  assert.equal(cluster.members[from]!.member.leader, targetID);
});

const read = { requestRange: { key: b("a") } };
test.each<[string, Init<TxnRequest>, number]>([
  ["reads in both branches", { success: [read], failure: [read] }, 0],
  ["nothing at all", {}, 0],
  ["a nested one, though it only reads", { success: [{ requestTxn: { success: [read] } }] }, 1],
  ["a deletion in the branch that is not taken", { failure: [{ requestDeleteRange: { key: b("no") } }] }, 1],
])("what a Txn adds to the log: %s", async (_, request, entries) => {
  const leader = await cluster.leader();
  await caughtUp(leader);
  const before = (await status(leader)).raftIndex;
  await clients[leader]!.unary(KVService.Txn, request, timeout);
  assert.equal((await status(leader)).raftIndex - before, entries);
});

test("Hash is of the whole state: alike on all members, another after every change", async () => {
  const hashes = async () => {
    const all = [];
    for (const i of [0, 1, 2]) {
      await caughtUp(i);
      all.push((await clients[i]!.unary(MaintenanceService.Hash, {}, timeout)).hash);
    }
    assert.deepEqual(all, [all[0], all[0], all[0]]);
    return all[0]!;
  };
  const first = await hashes();
  assert.equal(await hashes(), first);
  await cluster.client.put({ key: "a", value: "2" });
  const second = await hashes();
  assert.notEqual(second, first);
  await cluster.client.leaseGrant({ ID: 77n, TTL: 600 });
  assert.notEqual(await hashes(), second);
});

test("HashKV says which revision and which compact revision it is of", async () => {
  const { header } = await cluster.client.put({ key: "a", value: "3" });
  await clients[0]!.unary(KVService.Compact, { revision: header!.revision - 1 }, timeout);
  const now = await clients[0]!.unary(MaintenanceService.HashKV, {}, timeout);
  assert.deepEqual(
    [now.hashRevision, now.compactRevision, now.header!.revision],
    [header!.revision, header!.revision - 1, header!.revision],
  );
  const past = await clients[0]!.unary(MaintenanceService.HashKV, { revision: header!.revision - 1 }, timeout);
  assert.equal(past.hashRevision, header!.revision - 1);
  assert.notEqual(past.hash, now.hash);
});

describe("Downgrade", () => {
  const [VALIDATE, ENABLE, CANCEL] = [0, 1, 2];
  const ask = (request: Init<DowngradeRequest>, i = 0) =>
    clients[i]!.unary(MaintenanceService.Downgrade, request, timeout);

  const refused: [string, Init<DowngradeRequest>, { code: Code; message: string }][] = [
    ["no version", {}, etcdError(Code.InvalidArgument, "wrong downgrade target version format")],
    ["no number", { version: "three" }, etcdError(Code.InvalidArgument, "wrong downgrade target version format")],
    [
      "a letter before",
      { version: "v3.5.0" },
      etcdError(Code.InvalidArgument, "wrong downgrade target version format"),
    ],
    ["two minors down", { version: "3.4" }, etcdError(Code.InvalidArgument, "invalid downgrade target version")],
    ["the same version", { version: "3.6.0" }, etcdError(Code.InvalidArgument, "invalid downgrade target version")],
    ["a version to come", { version: "3.7.0" }, etcdError(Code.InvalidArgument, "invalid downgrade target version")],
    [
      "the end of one that is not there",
      { action: CANCEL },
      etcdError(Code.FailedPrecondition, "no inflight downgrade job"),
    ],
    ["an action that does not exist", { action: 9, version: "3.5.0" }, etcdError(Code.Unknown, "unknown method")],
  ];
  for (const [name, request, error] of refused) {
    test(`refuses ${name}`, () => assert.rejects(ask(request), error));
  }

  test("one minor version down is valid, with or without a patch; nothing is changed by asking", async () => {
    assert.equal((await ask({ action: VALIDATE, version: "3.5" })).version, "3.6");
    assert.equal((await ask({ action: VALIDATE, version: "3.5.14" })).version, "3.6");
    assert.equal((await status(0)).downgradeInfo!.enabled, false);
  });

  test("under way it shows on every member, cannot begin again, survives a restart, and can be cancelled", async () => {
    await ask({ action: ENABLE, version: "3.5.3" });
    await assert.rejects(
      ask({ action: ENABLE, version: "3.4.0" }),
      etcdError(Code.FailedPrecondition, "cluster has a downgrade job in progress"),
    );
    await cluster.stop(1);
    await cluster.start(1);
    for (const i of [0, 1, 2]) {
      await caughtUp(i);
      const { downgradeInfo, storageVersion } = await status(i);
      assert.deepEqual(downgradeInfo, { enabled: true, targetVersion: "3.5.0" });
      assert.equal(storageVersion, "3.5.0");
      const version = (await (await fetch(`${cluster.endpoints[i]}/version`)).json()) as object;
      assert.deepEqual(version, { etcdserver: (await status(i)).version, etcdcluster: "3.5.0", storage: "3.5.0" });
    }
    assert.equal((await ask({ action: CANCEL }, 2)).version, "3.6");
    await caughtUp(1);
    assert.deepEqual((await status(1)).downgradeInfo, { enabled: false, targetVersion: "" });
  });
});

describe("alarms", () => {
  const [GET, ACTIVATE, DEACTIVATE] = [0, 1, 2];
  const [NONE, NOSPACE, CORRUPT] = [0, 1, 2];
  const ask = async (action: number, alarm: number, memberID = 5n) => {
    const { alarms } = await clients[0]!.unary(MaintenanceService.Alarm, { action, alarm, memberID }, timeout);
    return alarms.map((a) => `${a.memberID}/${a.alarm}`).sort();
  };
  afterEach(async () => {
    for (const member of [5n, 6n]) for (const alarm of [NOSPACE, CORRUPT]) await ask(DEACTIVATE, alarm, member);
  });

  test("are by member and type; raising and taking back twice is as once; NONE asks for all and raises nothing", async () => {
    assert.deepEqual(await ask(ACTIVATE, NONE), []);
    assert.deepEqual(await ask(ACTIVATE, NOSPACE), ["5/1"]);
    assert.deepEqual(await ask(ACTIVATE, NOSPACE), ["5/1"]);
    assert.deepEqual(await ask(ACTIVATE, NOSPACE, 6n), ["6/1"]);
    for (const alarm of [NONE, 9]) assert.deepEqual(await ask(ACTIVATE, alarm, 6n), []);
    assert.deepEqual(await ask(ACTIVATE, CORRUPT, 6n), ["6/2"]);
    assert.deepEqual(await ask(GET, NONE), ["5/1", "6/1", "6/2"]);
    assert.deepEqual(await ask(GET, CORRUPT), ["6/2"]);
    assert.deepEqual(await ask(DEACTIVATE, NOSPACE), ["5/1"]);
    assert.deepEqual(await ask(DEACTIVATE, NOSPACE), []);
    assert.deepEqual(await ask(GET, NONE), ["6/1", "6/2"]);
  });

  test("Status tells them on every member", async () => {
    await ask(ACTIVATE, NOSPACE);
    for (const i of [0, 1, 2]) {
      await caughtUp(i);
      assert.deepEqual((await status(i)).errors, ["memberID:5 alarm:NOSPACE "]);
    }
  });

  const put = { requestPut: { key: b("a"), value: b("1") } };
  const get = { requestRange: { key: b("a") } };
  const remove = { requestDeleteRange: { key: b("a") } };
  const txn = (init: Init<TxnRequest>) => (i: number) => clients[i]!.unary(KVService.Txn, init, timeout);
  const rows: [string, (i: number) => Promise<object>, noSpace: boolean, corrupt: boolean][] = [
    ["Put", (i) => clients[i]!.unary(KVService.Put, put.requestPut, timeout), true, true],
    ["Txn that puts in a branch that is not taken", txn({ failure: [put] }), true, true],
    ["Txn that puts in a nested one", txn({ success: [{ requestTxn: { success: [put] } }] }), true, true],
    ["Txn that deletes", txn({ success: [remove] }), false, true],
    ["Txn that reads", txn({ success: [get] }), false, true],
    ["Range", (i) => clients[i]!.unary(KVService.Range, { key: b("a") }, timeout), false, true],
    [
      "serializable Range",
      (i) => clients[i]!.unary(KVService.Range, { key: b("a"), serializable: true }, timeout),
      false,
      true,
    ],
    ["DeleteRange", (i) => clients[i]!.unary(KVService.DeleteRange, { key: b("a") }, timeout), false, true],
    ["LeaseGrant", (i) => clients[i]!.unary(LeaseService.LeaseGrant, { TTL: 60 }, timeout), true, true],
    ["LeaseTimeToLive", (i) => clients[i]!.unary(LeaseService.LeaseTimeToLive, { ID: 1n }, timeout), false, false],
  ];
  for (const [name, call, noSpace, corrupt] of rows) {
    const word = (refused: boolean) => (refused ? "refused" : "served");
    test(`${name} is ${word(noSpace)} under NOSPACE, ${word(corrupt)} under CORRUPT, on every member`, async () => {
      for (const [alarm, refused, error] of [
        [NOSPACE, noSpace, etcdError(Code.ResourceExhausted, "mvcc: database space exceeded")],
        [CORRUPT, corrupt, etcdError(Code.DataLoss, "corrupt cluster")],
      ] as const) {
        await ask(ACTIVATE, alarm);
        for (const i of [0, 1, 2]) {
          const applied = cluster.members[0]!.member.appliedIndex;
          const { member } = cluster.members[i]!;
          while (member.appliedIndex < applied) await member.linearizable(() => undefined);
          if (refused) await assert.rejects(call(i), error);
          else await call(i);
        }
        await ask(DEACTIVATE, alarm);
      }
    });
  }

  test("an entry that was on its way when the alarm came is refused or done, on all members alike", async () => {
    // The alarm goes between puts that were accepted before it: those behind it in the log are refused when applied.
    const before = Array.from({ length: 20 }, (_, n) => cluster.client.put({ key: `n${n}`, value: "1" }));
    const alarm = ask(ACTIVATE, NOSPACE);
    const after = Array.from({ length: 20 }, (_, n) => cluster.client.put({ key: `m${n}`, value: "1" }));
    const outcomes = await Promise.allSettled([...before, ...after]);
    await alarm;
    const acknowledged = outcomes.filter(({ status }) => status === "fulfilled").length;
    const { kvs } = await cluster.client.range({ key: "m", rangeEnd: "o" });
    assert.equal(kvs.length, acknowledged, "what was refused was not applied, what was applied was not refused");
    const { header } = await cluster.client.range({ key: "x" });
    const hashes = new Set<number>();
    for (const i of [0, 1, 2]) {
      await caughtUp(i);
      hashes.add((await cluster.clientOf(i).hashKV(header!.revision)).hash);
    }
    assert.equal(hashes.size, 1);
  });

  test("the health page of every member tells the alarm", async () => {
    await ask(ACTIVATE, CORRUPT);
    await cluster.members[2]!.member.linearizable(() => undefined);
    const response = await fetch(`${cluster.endpoints[2]}/health`);
    assert.deepEqual([response.status, await response.json()], [503, { health: "false", reason: "ALARM CORRUPT" }]);
  });
});

test("a member that hears of no leader says so in its Status, and answers", async () => {
  const leader = await cluster.leader();
  const [other, third] = [0, 1, 2].filter((i) => i !== leader);
  await cluster.stop(leader);
  await cluster.stop(third!);
  const { member } = cluster.members[other!]!;
  const deadline = performance.now() + 20_000;
  let errors: string[] = [];
  while (errors.length === 0 && performance.now() < deadline) errors = (await status(other!)).errors;
  assert.deepEqual(errors, ["etcdserver: no leader"], idText(member.id));
  await Promise.all([cluster.start(leader), cluster.start(third!)]);
  await cluster.leader();
});
