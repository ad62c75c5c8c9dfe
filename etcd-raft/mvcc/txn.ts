import { unreachable } from "../../base/assert.ts";
import type {
  Compare,
  DeleteRangeRequest,
  DeleteRangeResponse,
  PutRequest,
  PutResponse,
  RequestOp,
  ResponseHeader,
  ResponseOp,
  TxnRequest,
  TxnResponse,
} from "../../proto/generated/etcdserverpb.ts";
import { etcdError } from "../errors.ts";
import { keyRangeOf, range } from "./range.ts";
import type { Store, Write } from "./store.ts";
import { keyText, keyValueOf, type Version, valueBytes } from "./version.ts";

/**
 * The write requests, applied. Deterministic: also a refusal is the same on every member, and happens before the first
 * write. Headers carry the revision only; the server adds the rest.
 */
export interface LeaseTable {
  has(id: bigint): boolean;
}

export function put(store: Store, leases: LeaseTable, request: PutRequest): PutResponse {
  checkLease(leases, request);
  checkPresent(store, request);
  const write = store.begin();
  const response = doPut(store, write, request);
  write.end();
  return response;
}

export function deleteRange(store: Store, request: DeleteRangeRequest): DeleteRangeResponse {
  const write = store.begin();
  const response = doDeleteRange(write, request);
  write.end();
  return response;
}

/**
 * First all compares against the state before, nested ones included; then everything on the chosen path is checked;
 * only then it is done, in order, later operations seeing earlier ones.
 */
export function txn(store: Store, leases: LeaseTable, request: TxnRequest): TxnResponse {
  const path = choose(store, request);
  checkPath(store, leases, path);
  const write = store.begin();
  const response = doTxn(store, write, path);
  response.header!.revision = write.revision;
  write.end();
  return response;
}

/** No raft needed: nothing in either branch can write. */
export function isReadOnly({ success, failure }: TxnRequest): boolean {
  return [...success, ...failure].every((op) => op.requestRange !== undefined);
}

export function isSerializable({ success, failure }: TxnRequest): boolean {
  return [...success, ...failure].every((op) => op.requestRange?.serializable === true);
}

/** A transaction with its branch chosen. */
interface Path {
  succeeded: boolean;
  steps: { op: RequestOp; nested: Path | undefined }[];
}

function choose(store: Store, request: TxnRequest): Path {
  const succeeded = request.compare.every((compare) => holds(store, compare));
  const ops = succeeded ? request.success : request.failure;
  return { succeeded, steps: ops.map((op) => ({ op, nested: op.requestTxn && choose(store, op.requestTxn) })) };
}

function holds(store: Store, compare: Compare): boolean {
  let found = false;
  let all = true;
  store.forEach(keyRangeOf(compare), Number.MAX_SAFE_INTEGER, (version) => {
    found = true;
    all &&= matches(compare, version);
  });
  // An absent key compares as zeros, but has no value: not even an empty one.
  return found ? all : compare.target !== CompareTarget.value && matches(compare, undefined);
}

const CompareTarget = { version: 0, create: 1, mod: 2, value: 3, lease: 4 } as const;

function matches(compare: Compare, version: Version | undefined): boolean {
  const order = orderOf(compare, version);
  const outcomes = [order === 0, order > 0, order < 0, order !== 0]; // by etcdserverpb.Compare.CompareResult
  return outcomes[compare.result] ?? true; // as etcd has it
}

function orderOf(compare: Compare, version: Version | undefined): number {
  switch (compare.target) {
    case CompareTarget.version:
      return (version?.version ?? 0) - (compare.version ?? 0);
    case CompareTarget.create:
      return (version?.create ?? 0) - (compare.createRevision ?? 0);
    case CompareTarget.mod:
      return (version?.main ?? 0) - (compare.modRevision ?? 0);
    case CompareTarget.lease: {
      const lease = version?.lease ?? 0n;
      const wanted = compare.lease ?? 0n;
      return lease < wanted ? -1 : lease > wanted ? 1 : 0;
    }
    case CompareTarget.value:
      return Buffer.compare(version ? valueBytes(version) : noBytes, compare.value ?? noBytes);
    default:
      return 0;
  }
}

const noBytes = new Uint8Array(0);

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

function forEachOp(path: Path, fn: (op: RequestOp) => void): void {
  for (const { op, nested } of path.steps) {
    fn(op);
    if (nested) forEachOp(nested, fn);
  }
}

function checkLease(leases: LeaseTable, { lease }: PutRequest): void {
  if (lease !== 0n && !leases.has(lease)) throw etcdError("leaseNotFound");
}

function checkPresent(store: Store, { key, ignoreValue, ignoreLease }: PutRequest): void {
  if ((ignoreValue || ignoreLease) && store.at(keyText(key)) === undefined) throw etcdError("keyNotFound");
}

function doTxn(store: Store, write: Write, path: Path): TxnResponse {
  const responses = path.steps.map(({ op, nested }): ResponseOp => {
    if (op.requestRange) return responseOp({ responseRange: range(store, op.requestRange, write.revision) });
    if (op.requestPut) return responseOp({ responsePut: doPut(store, write, op.requestPut) });
    if (op.requestDeleteRange) return responseOp({ responseDeleteRange: doDeleteRange(write, op.requestDeleteRange) });
    if (nested) return responseOp({ responseTxn: doTxn(store, write, nested) });
    return unreachable(op as never, "an empty operation passed the checks");
  });
  return { header: header(0), succeeded: path.succeeded, responses };
}

function doPut(store: Store, write: Write, request: PutRequest): PutResponse {
  const key = keyText(request.key);
  const previous = request.prevKv || request.ignoreValue || request.ignoreLease ? store.at(key) : undefined;
  write.put(
    key,
    request.ignoreValue ? valueBytes(previous!) : request.value,
    request.ignoreLease ? previous!.lease : request.lease,
  );
  return { header: header(write.revision), prevKv: request.prevKv && previous ? keyValueOf(previous) : undefined };
}

function doDeleteRange(write: Write, request: DeleteRangeRequest): DeleteRangeResponse {
  const tombstones = write.deleteRange(keyRangeOf(request));
  return {
    header: header(write.revision),
    deleted: tombstones.length,
    prevKvs: request.prevKv ? tombstones.map(({ previous }) => keyValueOf(previous!)) : [],
  };
}

const header = (revision: number): ResponseHeader => ({ clusterId: 0n, memberId: 0n, revision, raftTerm: 0 });

const responseOp = (op: Partial<ResponseOp>): ResponseOp => ({
  responseRange: undefined,
  responsePut: undefined,
  responseDeleteRange: undefined,
  responseTxn: undefined,
  ...op,
});
