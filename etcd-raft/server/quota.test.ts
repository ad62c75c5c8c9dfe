import assert from "node:assert/strict";
import { test } from "vitest";
import { silentLogger } from "../../base/logger.ts";
import { LeaseGrantRequest, TxnRequest } from "../../proto/generated/etcdserverpb.ts";
import { Store } from "../mvcc/store.ts";
import { costOfGrant, costOfTxn, liveBytes, Quota } from "./quota.ts";

function storeOf(bytes: number): Store {
  const store = new Store();
  fill(store, bytes);
  return store;
}

function fill(store: Store, bytes: number): void {
  const write = store.begin();
  for (let i = 0; liveBytes(store) < bytes; i++) write.put(`k${i}`, Buffer.alloc(700), 0n);
  write.end();
}

test("0 is etcd's 2 GiB, less is no quota", () => {
  assert.equal(new Quota(new Store(), 0, silentLogger).bytes, 2 * 1024 ** 3);
  assert.equal(new Quota(storeOf(1000), -1, silentLogger).allows(1e12), true);
});

test("what would fill the quota is refused", () => {
  const store = storeOf(9000);
  const quota = new Quota(store, 10_000, silentLogger);
  const left = 10_000 - liveBytes(store);
  assert.equal(quota.allows(left - 1), true);
  assert.equal(quota.allows(left), false);
});

const put = (size: number) => ({ requestPut: { key: Buffer.from("key"), value: Buffer.alloc(size) } });
test.each<[string, Parameters<typeof TxnRequest.encode>[0], number]>([
  ["a put: 256 and its key and value", { success: [put(10)] }, 269],
  ["both puts of a branch", { success: [put(10), put(0)] }, 269 + 259],
  ["the dearer branch", { success: [put(10)], failure: [put(11)] }, 270],
  ["nested ones", { success: [{ requestTxn: { failure: [put(10)] } }] }, 269],
  ["what adds nothing", { success: [{ requestDeleteRange: {} }], failure: [{ requestRange: {} }] }, 0],
])("the cost of a Txn: %s", (_, request, cost) => {
  const txn = TxnRequest.decode(TxnRequest.encode(request));
  assert.equal(costOfTxn(txn), cost);
});

test("a lease costs 64", () => assert.equal(costOfGrant(LeaseGrantRequest.decode(new Uint8Array(0))), 64));

test("one warning at 70, 85 and 95 %, each once, saying what to do", () => {
  const lines: string[] = [];
  const store = new Store();
  const quota = new Quota(store, 100_000, { ...silentLogger, warn: (_, line) => lines.push(line) });
  for (const bytes of [50_000, 72_000, 80_000, 86_000, 90_000, 96_000, 99_000]) {
    fill(store, bytes);
    quota.warn();
    quota.warn();
  }
  assert.deepEqual(
    lines.map((line) => /uses (\d+) %/.exec(line)![1]),
    ["72", "86", "96"],
  );
  assert.match(lines[0]!, /compact .*--quota-backend-bytes/);
});

test("compaction makes room, and the warning comes again when it fills anew", () => {
  const lines: string[] = [];
  const store = storeOf(75_000);
  const quota = new Quota(store, 100_000, { ...silentLogger, warn: (_, line) => lines.push(line) });
  quota.warn();
  const write = store.begin();
  write.deleteRange({ key: "", end: null });
  write.end();
  store.compact(store.revision);
  while (store.compactStep(1000));
  quota.warn();
  assert.equal(quota.allows(60_000), true);
  fill(store, 75_000);
  quota.warn();
  assert.equal(lines.length, 2);
});
