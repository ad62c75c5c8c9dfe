import { unreachable } from "../../base/assert.ts";
import * as pb from "../../proto/generated/etcdserverpb.ts";
import { empty } from "../../proto/wire.ts";
import { etcdError } from "../errors.ts";
import { headerOf, keyRangeOf, range } from "./range.ts";
import type { Store, Write } from "./store.ts";
import { keyText, keyValueOf, type Version, valueBytes } from "./version.ts";

/**
 * The write requests, applied. Deterministic: also a refusal is the same on every member, and happens before the first
 * write. Headers carry the revision only; the server adds the rest.
 */
export type LeaseTable = { has(id: bigint): boolean };

export function put(store: Store, leases: LeaseTable, request: pb.PutRequest): pb.PutResponse {
  checkLease(leases, request);
  checkPresent(store, request);
  const write = store.begin();
  const response = doPut(store, write, request);
  write.end();
  return response;
}

export function deleteRange(store: Store, request: pb.DeleteRangeRequest): pb.DeleteRangeResponse {
  const write = store.begin();
  const response = doDeleteRange(write, request);
  write.end();
  return response;
}

/**
 * First all compares against the state before, nested ones included; then everything on the chosen path is checked;
 * only then it is done, in order, later operations seeing earlier ones.
 */
export function txn(store: Store, leases: LeaseTable, request: pb.TxnRequest): pb.TxnResponse {
  const path = choose(store, request);
  checkPath(store, leases, path);
  const write = store.begin();
  const response = doTxn(store, write, path);
  response.header!.revision = write.revision;
  write.end();
  return response;
}

/** No raft needed: nothing in either branch can write. */
export const isReadOnly = ({ success, failure }: pb.TxnRequest): boolean =>
  [...success, ...failure].every((op) => op.requestRange !== undefined);

export const isSerializable = ({ success, failure }: pb.TxnRequest): boolean =>
  [...success, ...failure].every((op) => op.requestRange?.serializable === true);

/** A transaction with its branch chosen. */
type Path = { succeeded: boolean; steps: { op: pb.RequestOp; nested: Path | undefined }[] };

function choose(store: Store, request: pb.TxnRequest): Path {
  const succeeded = request.compare.every((compare) => holds(store, compare));
  const ops = succeeded ? request.success : request.failure;
  return { succeeded, steps: ops.map((op) => ({ op, nested: op.requestTxn && choose(store, op.requestTxn) })) };
}

function holds(store: Store, compare: pb.Compare): boolean {
  let found = false;
  let all = true;
  store.forEach(keyRangeOf(compare), Number.MAX_SAFE_INTEGER, (version) => {
    found = true;
    all &&= matches(compare, version);
  });
  // An absent key compares as zeros, but has no value: not even an empty one.
  return found ? all : compare.target !== CompareTarget.VALUE && matches(compare, undefined);
}

const { Compare_CompareTarget: CompareTarget } = pb;

function matches(compare: pb.Compare, version: Version | undefined): boolean {
  const order = orderOf(compare, version);
  const outcomes = [order === 0, order > 0, order < 0, order !== 0]; // by etcdserverpb.Compare.CompareResult
  return outcomes[compare.result] ?? true; // as etcd has it
}

function orderOf(compare: pb.Compare, version: Version | undefined): number {
  switch (compare.target) {
    case CompareTarget.VERSION:
      return (version?.version ?? 0) - (compare.version ?? 0);
    case CompareTarget.CREATE:
      return (version?.create ?? 0) - (compare.createRevision ?? 0);
    case CompareTarget.MOD:
      return (version?.main ?? 0) - (compare.modRevision ?? 0);
    case CompareTarget.LEASE: {
      const lease = version?.lease ?? 0n;
      const wanted = compare.lease ?? 0n;
      return lease < wanted ? -1 : lease > wanted ? 1 : 0;
    }
    case CompareTarget.VALUE:
      return Buffer.compare(version ? valueBytes(version) : empty, compare.value ?? empty);
    default:
      return 0;
  }
}

/** All puts of the path, then all ranges: the order decides which failure is told. */
function checkPath(store: Store, leases: LeaseTable, path: Path): void {
  forEachOp(path, ({ requestPut }) => {
    if (requestPut === undefined) return;
    checkPresent(store, requestPut);
    checkLease(leases, requestPut);
  });
  forEachOp(path, ({ requestRange }) => {
    if (requestRange && requestRange.revision !== 0) {
      if (requestRange.revision > store.revision) throw etcdError("futureRevision");
      if (requestRange.revision < store.compactRevision) throw etcdError("compacted");
    }
  });
}

function forEachOp(path: Path, fn: (op: pb.RequestOp) => void): void {
  for (const { op, nested } of path.steps) {
    fn(op);
    if (nested) forEachOp(nested, fn);
  }
}

function checkLease(leases: LeaseTable, { lease }: pb.PutRequest): void {
  if (lease !== 0n && !leases.has(lease)) throw etcdError("leaseNotFound");
}

function checkPresent(store: Store, { key, ignoreValue, ignoreLease }: pb.PutRequest): void {
  if ((ignoreValue || ignoreLease) && store.at(keyText(key)) === undefined) throw etcdError("keyNotFound");
}

function doTxn(store: Store, write: Write, path: Path): pb.TxnResponse {
  const responses = path.steps.map(({ op, nested }): pb.ResponseOp => {
    if (op.requestRange) return responseOp({ responseRange: range(store, op.requestRange, write.revision) });
    if (op.requestPut) return responseOp({ responsePut: doPut(store, write, op.requestPut) });
    if (op.requestDeleteRange) return responseOp({ responseDeleteRange: doDeleteRange(write, op.requestDeleteRange) });
    if (nested) return responseOp({ responseTxn: doTxn(store, write, nested) });
    return unreachable(op as never, "an empty operation passed the checks");
  });
  return { header: headerOf(0), succeeded: path.succeeded, responses };
}

function doPut(store: Store, write: Write, request: pb.PutRequest): pb.PutResponse {
  const key = keyText(request.key);
  const previous = request.prevKv || request.ignoreValue || request.ignoreLease ? store.at(key) : undefined;
  write.put(
    key,
    request.ignoreValue ? valueBytes(previous!) : request.value,
    request.ignoreLease ? previous!.lease : request.lease,
  );
  return { header: headerOf(write.revision), prevKv: request.prevKv && previous ? keyValueOf(previous) : undefined };
}

function doDeleteRange(write: Write, request: pb.DeleteRangeRequest): pb.DeleteRangeResponse {
  const tombstones = write.deleteRange(keyRangeOf(request));
  return {
    header: headerOf(write.revision),
    deleted: tombstones.length,
    prevKvs: request.prevKv ? tombstones.map(({ previous }) => keyValueOf(previous!)) : [],
  };
}

const responseOp = (op: Partial<pb.ResponseOp>): pb.ResponseOp => ({
  responseRange: undefined,
  responsePut: undefined,
  responseDeleteRange: undefined,
  responseTxn: undefined,
  ...op,
});
