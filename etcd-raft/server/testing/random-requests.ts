import type { Rand } from "../../../base/rand.ts";
import * as pb from "../../../proto/generated/etcdserverpb.ts";
import type { Init, Method } from "../../../proto/wire.ts";

/**
 * Requests of a random life, for comparing two members: all of KV and Lease, with every option, few keys so that they
 * meet, and now and then what must be refused. `revision` is the store's, so that revisions in requests are near it.
 */
export interface RandomRequest {
  name: string;
  // biome-ignore lint/suspicious/noExplicitAny: methods of different types
  method: Method<any, any>;
  request: object;
}

const keys = ["a", "b", "ba", "c", "ca\xff", "d", "\xff\xff"].map((key) => Buffer.from(key, "latin1"));
const everything = Buffer.from("\0");
const leases = [7n, 8n, 9n];

export function randomRequest(rand: Rand, revision: number): RandomRequest {
  const pick = <T>(values: readonly T[]): T => values[rand.below(values.length)]!;
  const oneIn = (n: number) => rand.below(n) === 0;
  const key = () => pick(keys);
  const span = () => pick([{}, {}, { rangeEnd: key() }, { rangeEnd: everything }]);
  const past = () => pick([0, 0, 0, 0, revision - rand.below(14), revision + 1, -1]);
  const bound = () => (oneIn(3) ? revision - rand.below(12) : 0);
  const value = () => Buffer.from("vwx".slice(0, rand.below(4)));
  const put = (): Init<pb.PutRequest> => {
    const ignoreValue = oneIn(8);
    const ignoreLease = oneIn(8);
    return {
      key: key(),
      value: ignoreValue && !oneIn(4) ? Buffer.alloc(0) : value(),
      lease: oneIn(4) && !(ignoreLease && !oneIn(4)) ? pick(leases) : 0n,
      prevKv: oneIn(2),
      ignoreValue,
      ignoreLease,
    };
  };
  const range = (): Init<pb.RangeRequest> => ({
    key: oneIn(30) ? Buffer.alloc(0) : key(),
    ...span(),
    limit: pick([0, 0, 0, 1, 2, 5]),
    revision: past(),
    sortOrder: rand.below(3), // one that does not exist ends 3.4
    sortTarget: rand.below(5),
    keysOnly: oneIn(4),
    countOnly: oneIn(6),
    serializable: oneIn(3),
    minModRevision: bound(),
    maxModRevision: bound(),
    minCreateRevision: bound(),
    maxCreateRevision: bound(),
  });
  const remove = (): Init<pb.DeleteRangeRequest> => ({
    key: oneIn(30) ? Buffer.alloc(0) : key(),
    ...pick([{}, {}, { rangeEnd: key() }]),
    prevKv: oneIn(2),
  });
  const op = (depth: number): Init<pb.RequestOp> => {
    const kind = rand.below(depth > 0 ? 9 : 6);
    if (oneIn(60)) return {};
    if (kind < 2) return { requestPut: put() };
    if (kind < 4) return { requestRange: range() };
    if (kind < 6) return { requestDeleteRange: remove() };
    return { requestTxn: txn(depth - 1) };
  };
  const ops = (depth: number) => Array.from({ length: rand.below(4) }, () => op(depth));
  const compare = (): Init<pb.Compare> => {
    const target = rand.below(5);
    const wanted = [
      { version: rand.below(3) },
      { createRevision: revision - rand.below(5) },
      { modRevision: pick([0, revision - rand.below(3)]) },
      { value: value() },
      { lease: pick([0n, 0n, ...leases]) },
    ][target]!;
    const nothing = oneIn(60) ? { key: Buffer.alloc(0) } : { key: key() };
    return {
      ...nothing,
      ...pick([{}, {}, { rangeEnd: key() }, { rangeEnd: everything }]),
      target,
      result: rand.below(4),
      ...wanted,
    };
  };
  const txn = (depth: number): Init<pb.TxnRequest> => ({
    compare: Array.from({ length: rand.below(3) }, compare),
    success: ops(depth),
    failure: ops(depth),
  });
  const { KVService: kv, LeaseService: lease } = pb;
  const rows: [weight: number, name: string, method: RandomRequest["method"], request: () => object][] = [
    [8, "Put", kv.Put, put],
    [8, "Range", kv.Range, range],
    [3, "DeleteRange", kv.DeleteRange, remove],
    [8, "Txn", kv.Txn, () => txn(3)],
    [1, "Txn", kv.Txn, () => ({ success: [{ requestRange: range() }, { requestRange: range() }] })],
    [
      1,
      "Txn",
      kv.Txn,
      () => ({ success: Array.from({ length: 126 + rand.below(4) }, () => ({ requestRange: { key: keys[0] } })) }),
    ],
    [1, "Put", kv.Put, () => ({ value: value() })],
    [
      1,
      "Compact",
      kv.Compact,
      () => ({ revision: pick([revision - rand.below(14), revision + 1, 0]), physical: oneIn(2) }),
    ],
    [2, "LeaseGrant", lease.LeaseGrant, () => ({ ID: pick(leases), TTL: pick([600, 600, 600, 9_000_000_001]) })],
    [1, "LeaseRevoke", lease.LeaseRevoke, () => ({ ID: pick(leases) })],
    [1, "LeaseTimeToLive", lease.LeaseTimeToLive, () => ({ ID: pick(leases), keys: oneIn(2) })],
    [1, "LeaseLeases", lease.LeaseLeases, () => ({})],
  ];
  const [, name, method, request] = pick(rows.flatMap((row) => Array.from({ length: row[0] }, () => row)));
  return { name, method, request: request() };
}

/** A watch on the same keys. */
export function randomWatch(rand: Rand, revision: number): Init<pb.WatchCreateRequest> {
  const pick = <T>(values: readonly T[]): T => values[rand.below(values.length)]!;
  return {
    key: rand.below(20) === 0 ? Buffer.alloc(0) : pick(keys),
    ...pick([{}, { rangeEnd: pick(keys) }, { rangeEnd: everything }, { rangeEnd: everything }]),
    startRevision: pick([0, 0, revision - rand.below(20), revision - rand.below(20)]),
    prevKv: rand.below(2) === 0,
    progressNotify: rand.below(2) === 0,
    filters: pick([[], [], [0], [1], [0, 1]]),
    fragment: rand.below(3) === 0,
    watchId: rand.below(6) === 0 ? 1 + rand.below(5) : 0,
  };
}
