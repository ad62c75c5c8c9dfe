import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { GrpcClient } from "../../net/grpc-client.ts";
import { LeaseService } from "../../proto/generated/etcdserverpb.ts";
import { ElectionService } from "../../proto/generated/v3electionpb.ts";
import { LockService } from "../../proto/generated/v3lockpb.ts";
import { startTestCluster, type TestCluster } from "../server/testing.ts";

const text = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString();
const timeoutMs = 20_000;

/** v3lock and v3election, each caller at another member. */
describe("locks and elections", () => {
  let cluster: TestCluster;
  let at: GrpcClient[];
  beforeAll(async () => {
    cluster = await startTestCluster(3);
    await cluster.leader();
    at = cluster.endpoints.map((endpoint) => new GrpcClient(endpoint.replace("http://", "")));
  });
  afterAll(async () => {
    for (const client of at ?? []) client.close();
    await cluster?.close();
  });

  const grant = async () => (await at[0]!.unary(LeaseService.LeaseGrant, { TTL: 60 }, { timeoutMs })).ID;
  const lock = (i: number, name: string, lease: bigint, signal?: AbortSignal) =>
    at[i]!.unary(LockService.Lock, { name: Buffer.from(name), lease }, { timeoutMs, ...(signal ? { signal } : {}) });
  const keysUnder = async (name: string, count: number) => {
    for (let i = 0; i < 2000; i++) {
      const { kvs } = await cluster.client.range({ key: `${name}/`, rangeEnd: `${name}0` });
      if (kvs.length === count) return kvs.map(({ key }) => text(key));
    }
    return assert.fail(`never ${count} keys under ${name}`);
  };

  test("a lock is had by one at a time, in the order of asking", async () => {
    const leases = [await grant(), await grant(), await grant()];
    const first = await lock(0, "l", leases[0]!);
    assert.equal(text(first.key), `l/${leases[0]!.toString(16)}`);
    const order: number[] = [];
    const second = lock(1, "l", leases[1]!).then(({ key }) => {
      order.push(2);
      return key;
    });
    await keysUnder("l", 2);
    const third = lock(2, "l", leases[2]!).then(({ key }) => {
      order.push(3);
      return key;
    });
    await keysUnder("l", 3);
    assert.deepEqual(order, []);
    await at[0]!.unary(LockService.Unlock, { key: first.key });
    const key = await second;
    assert.deepEqual(order, [2]);
    await at[0]!.unary(LockService.Unlock, { key });
    await at[0]!.unary(LockService.Unlock, { key: await third });
    assert.deepEqual(order, [2, 3]);
  });

  test("the end of a lease gives the lock on, and takes a waiter out", async () => {
    const [holder, quitter, heir] = [await grant(), await grant(), await grant()];
    await lock(0, "e", holder);
    const lost = assert.rejects(lock(1, "e", quitter), { message: "mutex: session is expired" });
    await keysUnder("e", 2);
    const inherited = lock(2, "e", heir);
    await keysUnder("e", 3);
    await at[0]!.unary(LeaseService.LeaseRevoke, { ID: quitter });
    await at[0]!.unary(LeaseService.LeaseRevoke, { ID: holder });
    await lost;
    assert.equal(text((await inherited).key), `e/${heir.toString(16)}`);
  });

  test("who gives up waiting leaves the queue", async () => {
    const [holder, waiter] = [await grant(), await grant()];
    await lock(0, "g", holder);
    const controller = new AbortController();
    const waiting = assert.rejects(lock(1, "g", waiter, controller.signal));
    await keysUnder("g", 2);
    controller.abort();
    await waiting;
    assert.deepEqual(await keysUnder("g", 1), [`g/${holder.toString(16)}`]);
  });

  test("an election: campaign, proclaim, observe in order, resign", async () => {
    const name = Buffer.from("office");
    await assert.rejects(at[0]!.unary(ElectionService.Leader, { name }), { message: "election: no leader" });
    const [ann, bob] = [await grant(), await grant()];
    const observed: string[] = [];
    const stream = at[2]!.serverStream(ElectionService.Observe, { name });
    const all = (async () => {
      for await (const { kv } of stream) {
        observed.push(text(kv?.value));
        if (observed.length === 4) break;
      }
      stream.cancel();
    })();
    const won = await at[0]!.unary(ElectionService.Campaign, { name, lease: ann, value: Buffer.from("ann") });
    const bobs = at[1]!.unary(ElectionService.Campaign, { name, lease: bob, value: Buffer.from("bob") }, { timeoutMs });
    await keysUnder("office", 2);
    assert.equal(text((await at[2]!.unary(ElectionService.Leader, { name })).kv?.value), "ann");
    const leader = won.leader!;
    for (const value of ["ann 2", "ann 3"]) {
      await at[0]!.unary(ElectionService.Proclaim, { leader, value: Buffer.from(value) });
    }
    // Whose key came first leads, also when another's was written later.
    assert.equal(text((await at[2]!.unary(ElectionService.Leader, { name })).kv?.value), "ann 3");
    await at[0]!.unary(ElectionService.Resign, { leader });
    assert.equal(text((await bobs).leader!.key), `office/${bob.toString(16)}`);
    await assert.rejects(at[0]!.unary(ElectionService.Proclaim, { leader, value: name }), {
      message: "election: not leader",
    });
    await all;
    assert.deepEqual(observed, ["ann", "ann 2", "ann 3", "bob"]);
  });

  test("who leads and campaigns again proclaims; who resigns an earlier lead takes nothing from the next", async () => {
    const name = Buffer.from("chair");
    const [ann, again] = [await grant(), await grant()];
    const campaign = (lease: bigint, value: string) =>
      at[0]!.unary(ElectionService.Campaign, { name, lease, value: Buffer.from(value) }, { timeoutMs });
    const leader = async () => text((await at[1]!.unary(ElectionService.Leader, { name })).kv?.value);
    const first = (await campaign(ann, "ann")).leader!;
    assert.equal((await campaign(ann, "ann 2")).leader!.rev, first.rev);
    assert.equal(await leader(), "ann 2");
    await at[0]!.unary(ElectionService.Resign, { leader: first });
    const second = (await campaign(ann, "ann 3")).leader!;
    assert.ok(second.rev > first.rev);
    await at[0]!.unary(ElectionService.Resign, { leader: first });
    assert.equal(await leader(), "ann 3");
    const heir = campaign(again, "bob");
    await keysUnder("chair", 2);
    await at[0]!.unary(ElectionService.Resign, { leader: second });
    assert.ok((await heir).leader!.rev > second.rev);
    assert.equal(await leader(), "bob");
  });
});
