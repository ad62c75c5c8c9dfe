import * as pb from "../../proto/generated/etcdserverpb.ts";
import { etcdError } from "../errors.ts";
import { contains, type KeyRange } from "./key-index.ts";
import { keyRangeOf } from "./range.ts";
import { keyText } from "./version.ts";

/** What a request must satisfy before it goes anywhere: throws the first failure, in etcd's order. */
export function checkRange(request: pb.RangeRequest): void {
  if (request.key.length === 0) throw etcdError("keyNotProvided");
  const { sortOrder, sortTarget } = request;
  if (!known(pb.RangeRequest_SortOrder, sortOrder) || !known(pb.RangeRequest_SortTarget, sortTarget))
    throw etcdError("invalidSortOption");
}

export function checkPut(request: pb.PutRequest): void {
  if (request.key.length === 0) throw etcdError("keyNotProvided");
  if (request.ignoreValue && request.value.length > 0) throw etcdError("valueProvided");
  if (request.ignoreLease && request.lease !== 0n) throw etcdError("leaseProvided");
}

export function checkDeleteRange(request: pb.DeleteRangeRequest): void {
  if (request.key.length === 0) throw etcdError("keyNotProvided");
}

export function checkTxn(request: pb.TxnRequest, maxOps: number): void {
  checkOps(request, maxOps);
  writesOf(request.success);
  writesOf(request.failure);
}

/** A nested transaction may use what the outer one leaves of `maxOps`. */
function checkOps({ compare, success, failure }: pb.TxnRequest, maxOps: number): void {
  const ops = Math.max(compare.length, success.length, failure.length);
  if (ops > maxOps) throw etcdError("tooManyOps");
  for (const { key } of compare) if (key.length === 0) throw etcdError("keyNotProvided");
  for (const op of [...success, ...failure]) {
    if (op.requestRange) checkRange(op.requestRange);
    else if (op.requestPut) checkPut(op.requestPut);
    else if (op.requestDeleteRange) checkDeleteRange(op.requestDeleteRange);
    else if (op.requestTxn) checkOps(op.requestTxn, maxOps - ops);
    else throw etcdError("keyNotFound");
  }
}

type Writes = { puts: Set<string>; deletes: KeyRange[] };

/**
 * The keys that a branch may put and the ranges it may delete, nested ones included. No key is put twice or put and
 * deleted, since its revision could not say in which order. The two branches of one nested transaction exclude each
 * other and may share keys; deletions may overlap.
 *
 * Differs: etcd takes a deletion "from key on" (range_end "\0") for an empty interval here and lets it overlap a put.
 */
function writesOf(ops: pb.RequestOp[]): Writes {
  const puts = new Set<string>();
  const deletes: Writes["deletes"] = [];
  const add = (key: string) => {
    if (puts.has(key) || deletes.some((d) => contains(d, key))) throw etcdError("duplicateKey");
    puts.add(key);
  };
  for (const op of ops) if (op.requestDeleteRange) deletes.push(keyRangeOf(op.requestDeleteRange));
  for (const op of ops) {
    if (!op.requestTxn) continue;
    const success = writesOf(op.requestTxn.success);
    const failure = writesOf(op.requestTxn.failure);
    for (const key of success.puts) add(key);
    for (const key of failure.puts) if (!success.puts.has(key)) add(key);
    deletes.push(...success.deletes, ...failure.deletes);
  }
  for (const op of ops) if (op.requestPut) add(keyText(op.requestPut.key));
  return { puts, deletes };
}

const known = (values: Record<string, number>, value: number) => Object.values(values).includes(value);
