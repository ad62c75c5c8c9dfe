import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { type Rand, seededRand } from "../../base/rand.ts";
import { peer } from "../../tools/peers.ts";
import { EtcdClient, GrpcError, type RangeInit, type RequestOpInit, type TxnInit } from "../client/client.ts";
import { startTestMember } from "./testing.ts";
import { startEtcd } from "./testing-etcd.ts";

const etcd = peer("etcd");

/** The same requests to Debian's etcd 3.4 and to a member of ours: every answer, refusal and hash must be the same. */
describe.skipIf(!etcd)("beside etcd", () => {
  const cleanups: (() => unknown)[] = [];
  let theirs: EtcdClient;
  let ours: EtcdClient;
  beforeAll(async () => {
    const real = await startEtcd(etcd!);
    cleanups.push(() => real.close());
    theirs = new EtcdClient({ endpoints: [real.endpoint] });
    const store = await startTestMember();
    ours = new EtcdClient({ endpoints: [store.endpoint] });
    cleanups.unshift(
      () => theirs.close(),
      () => ours.close(),
      () => store.close(),
    );
  });
  afterAll(async () => {
    for (const cleanup of cleanups) await cleanup();
  });

  for (const seed of [1, 2, 3]) {
    test(`a random life of 400 requests, seed ${seed}`, async () => {
      const rand = seededRand(seed);
      const { header } = await ours.range({ key: "x" });
      let revision = header!.revision;
      for (let i = 0; i < 400; i++) {
        const [name, request] = randomRequest(rand, revision);
        const [a, b] = await Promise.all([outcome(() => request(theirs)), outcome(() => request(ours))]);
        assert.deepEqual(b, a, `request ${i}: ${name}`);
        revision = (await ours.range({ key: "x", serializable: true })).header!.revision;
      }
      const [a, b] = await Promise.all([theirs.hashKV(), ours.hashKV()]);
      assert.equal(b.hash, a.hash, "HashKV");
    });
  }
});

/** What a caller sees, without what must differ. */
async function outcome(call: () => Promise<object>): Promise<unknown> {
  try {
    return JSON.parse(
      JSON.stringify(await call(), (key, value) => {
        if (["clusterId", "memberId", "raftTerm"].includes(key)) return undefined;
        return typeof value === "bigint" ? `${value}` : value;
      }),
    );
  } catch (error) {
    assert.ok(error instanceof GrpcError, `${error}`);
    return { code: error.code, message: error.message };
  }
}

type Request = [name: string, call: (client: EtcdClient) => Promise<object>];

function randomRequest(rand: Rand, revision: number): Request {
  const pick = <T>(values: readonly T[]): T => values[rand.below(values.length)]!;
  const key = () => pick(["a", "b", "ba", "c", "ca\xff", "d"]);
  const span = () => pick([{}, {}, { rangeEnd: key() }, { rangeEnd: "\0" }]);
  const past = () => pick([0, 0, 0, revision - rand.below(12), revision + 1]);
  const value = () => "v".repeat(rand.below(4));
  const put = () => ({ key: key(), value: value(), prevKv: rand.below(2) === 0 });
  const range = (): RangeInit => ({
    key: key(),
    ...span(),
    limit: pick([0, 0, 1, 2, 5]),
    revision: past(),
    sortOrder: rand.below(3),
    sortTarget: pick([0, 2, 3]),
    keysOnly: rand.below(4) === 0,
    countOnly: rand.below(6) === 0,
    minModRevision: pick([0, 0, revision - 5]),
    maxCreateRevision: pick([0, 0, revision - 3]),
  });
  const op = (depth: number): RequestOpInit => {
    const kind = rand.below(depth > 0 ? 4 : 3);
    if (kind === 0) return { requestPut: put() };
    if (kind === 1) return { requestRange: range() };
    if (kind === 2) return { requestDeleteRange: { key: key(), ...pick([{}, { rangeEnd: key() }]), prevKv: true } };
    return { requestTxn: txn(depth - 1) };
  };
  const ops = (depth: number) => Array.from({ length: rand.below(4) }, () => op(depth));
  const compare = () => {
    const target = rand.below(5);
    const wanted = [
      { version: rand.below(3) },
      { createRevision: revision - rand.below(5) },
      { modRevision: pick([0, revision - rand.below(3)]) },
      { value: value() },
      { lease: 0n },
    ][target]!;
    return { key: key(), ...pick([{}, {}, { rangeEnd: key() }]), target, result: rand.below(4), ...wanted };
  };
  const txn = (depth: number): TxnInit => ({
    compare: Array.from({ length: rand.below(3) }, compare),
    success: ops(depth),
    failure: ops(depth),
  });
  const text = (name: string, request: object) =>
    `${name} ${JSON.stringify(request, (_, v) => (typeof v === "bigint" ? `${v}` : v))}`;
  switch (
    pick(["put", "put", "put", "put", "range", "range", "range", "delete", "txn", "txn", "txn", "odd", "compact"])
  ) {
    case "put": {
      const q = put();
      return [text("put", q), (c) => c.put(q)];
    }
    case "range": {
      const q = range();
      return [text("range", q), (c) => c.range(q)];
    }
    case "delete": {
      const q = { key: key(), ...pick([{}, { rangeEnd: key() }]), prevKv: true };
      return [text("delete", q), (c) => c.deleteRange(q)];
    }
    case "txn": {
      const q = txn(2);
      return [text("txn", q), (c) => c.txn(q)];
    }
    case "odd": {
      const q = pick([
        { key: "" },
        { key: key(), value: "v", ignoreValue: true },
        { key: key(), ignoreValue: true },
        { key: key(), value: "v", ignoreLease: true },
        { key: key(), lease: 5n },
        { key: key(), lease: 5n, ignoreLease: true },
      ]);
      return [text("put", q), (c) => c.put(q)];
    }
    default: {
      const q = { revision: pick([revision - rand.below(10), revision + 1]), physical: true };
      return rand.below(4) === 0 ? [text("compact", q), (c) => c.compact(q)] : randomRequest(rand, revision);
    }
  }
}
