import type {
  Compare,
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  RequestOp,
  TxnRequest,
} from "../../proto/generated/etcdserverpb.ts";
import type { Init } from "../../proto/wire.ts";
import type { CompareInit, DeleteRangeInit, PutInit, RangeInit, RequestOpInit, TxnInit } from "./types.ts";

/** Keys and values as callers may give them: text is taken as UTF-8. */
export type Bytes = string | Uint8Array;

export const toBytes = (value: Bytes): Uint8Array => (typeof value === "string" ? Buffer.from(value) : value);

/** The range end that makes [prefix, end) exactly the keys with that prefix; "\0" (everything after) if all is 0xff. */
export function prefixEnd(prefix: Bytes): Uint8Array {
  const end = Buffer.from(toBytes(prefix));
  for (let i = end.length - 1; i >= 0; i--) {
    if (end[i]! < 0xff) {
      end[i]!++;
      return end.subarray(0, i + 1);
    }
  }
  return Buffer.from([0]);
}

/** The smallest key after `key`. */
export function keyAfter(key: Bytes): Uint8Array {
  return Buffer.concat([toBytes(key), Buffer.from([0])]);
}

export function rangeRequest(q: RangeInit): Init<RangeRequest> {
  return { ...q, ...keyRange(q) };
}

export function putRequest(q: PutInit): Init<PutRequest> {
  return { ...q, key: toBytes(q.key), value: q.value === undefined ? undefined : toBytes(q.value) };
}

export function deleteRangeRequest(q: DeleteRangeInit): Init<DeleteRangeRequest> {
  return { ...q, ...keyRange(q) };
}

export function txnRequest(q: TxnInit): Init<TxnRequest> {
  return {
    compare: (q.compare ?? []).map(compare),
    success: (q.success ?? []).map(requestOp),
    failure: (q.failure ?? []).map(requestOp),
  };
}

function compare(q: CompareInit): Init<Compare> {
  return { ...q, ...keyRange(q), value: q.value === undefined ? undefined : toBytes(q.value) };
}

function requestOp(q: RequestOpInit): Init<RequestOp> {
  return {
    requestRange: q.requestRange && rangeRequest(q.requestRange),
    requestPut: q.requestPut && putRequest(q.requestPut),
    requestDeleteRange: q.requestDeleteRange && deleteRangeRequest(q.requestDeleteRange),
    requestTxn: q.requestTxn && txnRequest(q.requestTxn),
  };
}

export function keyRange(q: { key: Bytes; rangeEnd?: Bytes }): { key: Uint8Array; rangeEnd: Uint8Array | undefined } {
  return { key: toBytes(q.key), rangeEnd: q.rangeEnd === undefined ? undefined : toBytes(q.rangeEnd) };
}
