import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  Etcd3,
  EtcdAuthenticationFailedError,
  EtcdLockFailedError,
  EtcdPermissionDeniedError,
  type IOptions,
} from "etcd3";
import { afterAll, afterEach, beforeAll, describe, test } from "vitest";
import { type ProcessCluster, startProcessCluster } from "./testing.ts";

/** The npm client `etcd3` (grpc-js, without a line of ours) against three members, over the whole of what it offers. */
describe("the etcd3 client", () => {
  let cluster: ProcessCluster;
  let etcd: Etcd3;
  const clients: Etcd3[] = [];
  const connect = (options: Partial<IOptions> = {}) => {
    clients.push(new Etcd3({ hosts: cluster.endpoints, ...options }));
    return clients.at(-1)!;
  };
  beforeAll(async () => {
    cluster = await startProcessCluster(3, { flags: ["--bcrypt-cost=4"] });
    etcd = connect();
  });
  afterEach(async () => {
    await etcd.delete().all();
  });
  afterAll(async () => {
    for (const client of clients) client.close();
    await cluster?.close();
  });

  test("puts and gets: strings, numbers, JSON, bytes, what is not there, previous values", async () => {
    await etcd.put("s").value("text");
    await etcd.put("n").value(42);
    await etcd.put("j").value(JSON.stringify({ a: [1] }));
    await etcd.put("b").value(Buffer.from([0, 255]));
    assert.equal(await etcd.get("s"), "text");
    assert.equal(await etcd.get("n").number(), 42);
    assert.deepEqual(await etcd.get("j").json(), { a: [1] });
    assert.deepEqual(await etcd.get("b").buffer(), Buffer.from([0, 255]));
    assert.equal(await etcd.get("no"), null);
    assert.deepEqual([await etcd.get("s").exists(), await etcd.get("no").exists()], [true, false]);
    const old = await etcd.put("s").value("newer").getPrevious();
    assert.equal(old.value.toString(), "text");
  });

  test("ranges: prefix, limits, order, count, keys, an older revision, deletion", async () => {
    for (const key of ["a/1", "a/2", "a/3", "b"]) await etcd.put(key).value(key);
    const { header } = await etcd.get("b").exec();
    assert.deepEqual(await etcd.getAll().prefix("a/").strings(), { "a/1": "a/1", "a/2": "a/2", "a/3": "a/3" });
    assert.deepEqual(await etcd.getAll().prefix("a/").sort("Key", "Descend").limit(2).keys(), ["a/3", "a/2"]);
    assert.equal(await etcd.getAll().prefix("a/").count(), 3);
    assert.deepEqual(await etcd.getAll().inRange({ start: "a/2", end: "b" }).keys(), ["a/2", "a/3"]);
    assert.equal((await etcd.delete().prefix("a/")).deleted, "3");
    assert.deepEqual(await etcd.getAll().keys(), ["b"]);
    assert.equal(await etcd.getAll().prefix("a/").revision(header.revision).count(), 3);
    assert.equal((await etcd.delete().key("b").getPrevious())[0]!.value.toString(), "b");
  });

  test("transactions: if, then, else, with several compares", async () => {
    await etcd.put("k").value("1");
    const swap = (from: string, to: string) =>
      etcd
        .if("k", "Value", "==", from)
        .and("k", "Version", ">", 0)
        .then(etcd.put("k").value(to))
        .else(etcd.get("k"))
        .commit();
    assert.equal((await swap("1", "2")).succeeded, true);
    const { succeeded, responses } = await swap("1", "3");
    assert.equal(succeeded, false);
    assert.equal(responses[0]!.response_range!.kvs[0]!.value.toString(), "2");
    assert.equal((await etcd.if("new", "Create", "==", 0).then(etcd.put("new").value("x")).commit()).succeeded, true);
  });

  test("software transactional memory: two that meet are serialized", async () => {
    await etcd.put("sum").value("0");
    const add = () =>
      etcd.stm({ retries: 50 }).transact(async (tx) => {
        await tx.put("sum").value(Number(await tx.get("sum")) + 1);
      });
    await Promise.all(Array.from({ length: 8 }, add));
    assert.equal(await etcd.get("sum").number(), 8);
  });

  test("leases: attached keys, keep-alive, expiry told, revocation", async () => {
    const lease = etcd.lease(60);
    await lease.put("leased").value("1");
    const { TTL } = await lease.keepaliveOnce();
    assert.equal(TTL, "60");
    assert.equal(
      (await etcd.leaseClient.leaseTimeToLive({ ID: await lease.grant(), keys: true })).keys![0]!.toString(),
      "leased",
    );
    await lease.revoke();
    assert.equal(await etcd.get("leased"), null);
    const short = etcd.lease(2, { autoKeepAlive: false });
    await short.put("short").value("1");
    const watcher = await etcd.watch().key("short").create();
    const [gone] = await once(watcher, "delete");
    assert.equal(gone.key.toString(), "short");
    await watcher.cancel();
    const lost = etcd.lease(60);
    await lost.grant();
    const told = once(lost, "lost");
    await etcd.leaseClient.leaseRevoke({ ID: await lost.grant() });
    await lost.keepaliveOnce().catch(() => {});
    await told;
  });

  test("a lock is held by one, and told so to the other", async () => {
    const order: string[] = [];
    await etcd
      .lock("l")
      .ttl(10)
      .do(async () => {
        order.push("held");
        await assert.rejects(connect().lock("l").acquire(), EtcdLockFailedError);
      });
    await connect()
      .lock("l")
      .do(async () => void order.push("next"));
    assert.deepEqual(order, ["held", "next"]);
  });

  test("an election: campaign, observe, proclaim, resign, the next one leads", async () => {
    const [one, two] = [etcd.election("e", 10), connect().election("e", 10)];
    const first = one.campaign("one");
    await first.wait();
    const observer = await two.observe();
    assert.equal(observer.leader(), "one");
    const changes: (string | undefined)[] = [];
    let wake = () => {};
    observer.on("change", (leader) => {
      changes.push(leader);
      wake();
    });
    const seen = async (leader: string) => {
      while (changes.at(-1) !== leader) await new Promise<void>((resolve) => (wake = resolve));
    };
    await first.proclaim("one again");
    await seen("one again");
    const second = two.campaign("two");
    await first.resign();
    await second.wait();
    await seen("two");
    assert.equal(await one.leader(), "two");
    await second.resign();
    await observer.cancel();
  });

  test("a namespace sees its own keys alone", async () => {
    const ns = etcd.namespace("ns/");
    await ns.put("k").value("1");
    assert.equal(await etcd.get("ns/k"), "1");
    assert.deepEqual(await ns.getAll().keys(), ["k"]);
    const watcher = await ns.watch().prefix("").create();
    const put = once(watcher, "put");
    await etcd.put("ns/other").value("2");
    assert.equal((await put)[0].key.toString(), "other");
    await watcher.cancel();
    await ns.delete().all();
    assert.equal(await etcd.get("ns/k"), null);
  });

  test("a watch goes on over a member that restarts, without gap or repetition", async () => {
    const watcher = await etcd.watch().prefix("w/").withPreviousKV().create();
    const seen: string[] = [];
    let wake = () => {};
    watcher.on("put", (kv) => {
      seen.push(kv.value.toString());
      wake();
    });
    const all: string[] = [];
    const put = async () => {
      await cluster.client.put({ key: `w/${all.length}`, value: `${all.length}` });
      all.push(`${all.length}`);
    };
    const caughtUp = async () => {
      while (seen.length < all.length) await new Promise<void>((resolve) => (wake = resolve));
    };
    for (let i = 0; i < 10; i++) await put();
    await caughtUp();
    for (const member of [0, 1, 2]) {
      await cluster.kill(member, "SIGKILL");
      await cluster.leader();
      for (let i = 0; i < 5; i++) await put();
      await cluster.start(member);
      for (let i = 0; i < 5; i++) await put();
      await caughtUp();
    }
    assert.deepEqual(seen, all);
    await watcher.cancel();
  });

  test("maintenance and members: status, hash, alarms, a snapshot whose hash is right, the list", async () => {
    await etcd.put("k").value("x".repeat(100_000));
    assert.match((await etcd.maintenance.status()).version, /^3\.6\./);
    assert.ok(Number((await etcd.maintenance.hash()).hash) > 0);
    assert.deepEqual((await etcd.maintenance.alarm({ action: "Get" as never })).alarms ?? [], []);
    await etcd.maintenance.defragment();
    const { members } = await etcd.cluster.memberList({ linearizable: true } as never);
    assert.deepEqual(members.map(({ name }) => name).sort(), ["m0", "m1", "m2"]);
    const chunks: Buffer[] = [];
    const stream = await etcd.maintenance.snapshot();
    for await (const { blob } of stream as unknown as AsyncIterable<{ blob: Buffer }>) chunks.push(blob);
    const file = Buffer.concat(chunks);
    assert.deepEqual(createHash("sha256").update(file.subarray(0, -32)).digest(), file.subarray(-32));
  });

  test("users and roles, and then only with a password", async () => {
    const root = await etcd.role("root").create();
    await etcd.user("root").create("secret");
    await etcd.user("root").addRole(root);
    const app = await etcd.role("app").create();
    await app.grant({ permission: "Readwrite", range: etcd.range({ prefix: "app/" }) });
    await etcd.user("ann").create("pw");
    await etcd.user("ann").addRole("app");
    assert.deepEqual(
      (await etcd.getUsers()).map(({ name }) => name),
      ["ann", "root"],
    );
    assert.deepEqual(
      (await app.permissions()).map(({ permission }) => permission),
      ["Readwrite"],
    );
    await etcd.auth.authEnable();
    const admin = connect({ auth: { username: "root", password: "secret" } });
    try {
      const ann = connect({ auth: { username: "ann", password: "pw" } });
      await ann.put("app/k").value("1");
      assert.equal(await ann.get("app/k"), "1");
      await assert.rejects(ann.put("other").value("1").exec(), EtcdPermissionDeniedError);
      const wrong = connect({ auth: { username: "ann", password: "no" } });
      await assert.rejects(wrong.get("app/k").exec(), EtcdAuthenticationFailedError);
      await admin.user("ann").removeRole("app");
      await assert.rejects(ann.get("app/k").exec(), EtcdPermissionDeniedError);
    } finally {
      await admin.auth.authDisable();
    }
    await etcd.user("ann").delete();
    await app.delete();
  });
});
