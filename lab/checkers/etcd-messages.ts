import * as pb from "../../proto/generated/etcdserverpb.ts";
import type { Event, KeyValue as PbKeyValue } from "../../proto/generated/mvccpb.ts";
import type { Init, Method } from "../../proto/wire.ts";
import type { Compare, KeyValue, Request, Response, WatchEvent } from "./history.ts";

/** Requests and responses of the history as messages of etcd's API, and back: for those who record one. */
export const bytesOf = (text: string): Uint8Array => Buffer.from(text, "latin1");
export const textOf = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString("latin1");

/** The rpc of each kind of request. */
export const rpcs = {
  put: pb.KVService.Put,
  delete: pb.KVService.DeleteRange,
  range: pb.KVService.Range,
  txn: pb.KVService.Txn,
  compact: pb.KVService.Compact,
  grant: pb.LeaseService.LeaseGrant,
  revoke: pb.LeaseService.LeaseRevoke,
  keepalive: pb.LeaseService.LeaseKeepAlive,
} as unknown as Record<Request["op"], Method<object, never>>;

/** The request's message, to be sent with its rpc. */
export function messageOf(request: Request): object {
  switch (request.op) {
    case "put": {
      const { key, value, lease = "0", prevKv = false } = request;
      return { key: bytesOf(key), value: bytesOf(value), lease: BigInt(lease), prevKv };
    }
    case "delete":
    case "range": {
      const { op: _, key, end = "", ...rest } = request;
      return { key: bytesOf(key), rangeEnd: bytesOf(end), ...rest };
    }
    case "txn": {
      const { compare, success, failure } = request;
      return { compare: compare.map(toCompare), success: success.map(toOp), failure: failure.map(toOp) };
    }
    case "compact":
      return { revision: request.revision };
    case "grant":
      return { ID: BigInt(request.id), TTL: request.ttl };
    default:
      return { ID: BigInt(request.id) };
  }
}

const opFields = { put: "Put", delete: "DeleteRange", range: "Range", txn: "Txn" } as const;

const toOp = (request: Request): Init<pb.RequestOp> => ({
  [`request${opFields[request.op as "put"]}`]: messageOf(request),
});

const results = ["=", ">", "<", "!="] as const;
const targets = ["version", "create", "mod", "value", "lease"] as const;

function toCompare({ key, end = "", result, target, value }: Compare): Init<pb.Compare> {
  const compared = {
    version: () => ({ version: Number(value) }),
    create: () => ({ createRevision: Number(value) }),
    mod: () => ({ modRevision: Number(value) }),
    value: () => ({ value: bytesOf(String(value)) }),
    lease: () => ({ lease: BigInt(value) }),
  }[target]();
  const numbers = { result: results.indexOf(result), target: targets.indexOf(target) };
  return { ...numbers, key: bytesOf(key), rangeEnd: bytesOf(end), ...compared };
}

/** What an entry of the log asks for; undefined when it changes neither keys nor leases. */
function requestOfEntry(entry: pb.InternalRaftRequest): Request | undefined {
  if (entry.put) return ofPut(entry.put);
  if (entry.deleteRange) return ofDelete(entry.deleteRange);
  if (entry.txn) return ofTxn(entry.txn);
  if (entry.compaction) return { op: "compact", revision: entry.compaction.revision };
  if (entry.leaseGrant) return { op: "grant", id: `${entry.leaseGrant.ID}`, ttl: entry.leaseGrant.TTL };
  if (entry.leaseRevoke) return { op: "revoke", id: `${entry.leaseRevoke.ID}` };
  return undefined;
}

/** Of entries in order: while there is an alarm NOSPACE what adds is refused, also of what is in the log already. */
export function entryReader(): (entry: pb.InternalRaftRequest) => Request | undefined {
  const full = new Set<bigint>();
  return (entry) => {
    const { alarm, put, leaseGrant, txn } = entry;
    if (alarm?.action === 1) full.add(alarm.memberID);
    if (alarm?.action === 2) full.delete(alarm.memberID);
    const adds = put || leaseGrant || (txn && puts(txn));
    return adds && full.size > 0 ? undefined : requestOfEntry(entry);
  };
}

const puts = ({ success, failure }: pb.TxnRequest): boolean =>
  [...success, ...failure].some(({ requestPut, requestTxn }) => requestPut || (requestTxn && puts(requestTxn)));

const ofPut = ({ key, value, lease, prevKv }: pb.PutRequest): Request => ({
  op: "put",
  key: textOf(key),
  value: textOf(value),
  ...(lease !== 0n && { lease: `${lease}` }),
  ...(prevKv && { prevKv }),
});

const keysOf = ({ key, rangeEnd }: { key: Uint8Array; rangeEnd: Uint8Array }) => ({
  key: textOf(key),
  ...(rangeEnd.length > 0 && { end: textOf(rangeEnd) }),
});

const ofDelete = (q: pb.DeleteRangeRequest): Request => ({
  op: "delete",
  ...keysOf(q),
  ...(q.prevKv && { prevKv: true }),
});

const ofRange = (range: pb.RangeRequest): Request => {
  const options = ["revision", "limit", "countOnly", "keysOnly", "serializable"] as const;
  const given = options.filter((name) => range[name]).map((name) => [name, range[name]]);
  return { op: "range", ...keysOf(range), ...Object.fromEntries(given) };
};

function ofTxn({ compare, success, failure }: pb.TxnRequest): Request {
  const ops = (list: pb.RequestOp[]) =>
    list.map(({ requestPut, requestDeleteRange, requestRange, requestTxn }) => {
      if (requestPut) return ofPut(requestPut);
      if (requestDeleteRange) return ofDelete(requestDeleteRange);
      return requestRange ? ofRange(requestRange) : ofTxn(requestTxn!);
    });
  return { op: "txn", compare: compare.map(ofCompare), success: ops(success), failure: ops(failure) };
}

function ofCompare(compare: pb.Compare): Compare {
  const { result, version, createRevision, modRevision, value, lease } = compare;
  const target = targets[compare.target]!;
  const number = { version, create: createRevision, mod: modRevision };
  return {
    ...keysOf(compare),
    result: results[result]!,
    target,
    value: target === "value" ? textOf(value) : target === "lease" ? `${lease ?? 0n}` : (number[target] ?? 0),
  };
}

/** The answer to a request of kind `op`. */
export function ofResponse(op: Request["op"], message: object): Response {
  const { header } = message as pb.PutResponse;
  const revision = header?.revision ?? 0;
  switch (op) {
    case "put": {
      const { prevKv } = message as pb.PutResponse;
      return { op, ...(header && { revision }), ...(prevKv && { prev: ofKeyValue(prevKv) }) };
    }
    case "delete": {
      const { deleted, prevKvs } = message as pb.DeleteRangeResponse;
      const prevs = prevKvs.length > 0 && { prevs: prevKvs.map(ofKeyValue) };
      return { op, ...(header && { revision }), deleted, ...prevs };
    }
    case "range": {
      const { kvs, count, more } = message as pb.RangeResponse;
      return { op, ...(header && { revision }), kvs: kvs.map(ofKeyValue), count, ...(more && { more }) };
    }
    case "txn": {
      const { succeeded, responses } = message as pb.TxnResponse;
      return { op, ...(header && { revision }), succeeded, responses: responses.map(ofResponseOp) };
    }
    case "grant": {
      const { ID, TTL } = message as pb.LeaseGrantResponse;
      return { op, revision, id: `${ID}`, ttl: TTL };
    }
    case "keepalive":
      return { op, revision, ttl: (message as pb.LeaseKeepAliveResponse).TTL };
    default:
      return { op, revision };
  }
}

/** A header within a transaction says nothing of its own. */
function ofResponseOp(response: pb.ResponseOp): Response {
  for (const [op, field] of Object.entries(opFields)) {
    const message = response[`response${field}`];
    if (message) return ofResponse(op as "put", { ...message, header: undefined });
  }
  throw new Error("a transaction answers with one of these");
}

export const ofKeyValue = (kv: PbKeyValue): KeyValue => ({
  key: textOf(kv.key),
  ...(kv.value.length > 0 && { value: textOf(kv.value) }),
  create: kv.createRevision,
  mod: kv.modRevision,
  version: kv.version,
  ...(kv.lease !== 0n && { lease: `${kv.lease}` }),
});

export function ofEvent({ type, kv, prevKv }: Event): WatchEvent {
  const prev = prevKv && { prev: ofKeyValue(prevKv) };
  if (type === 1) return { type: "delete", kv: { key: textOf(kv!.key), mod: kv!.modRevision }, ...prev };
  return { type: "put", kv: ofKeyValue(kv!), ...prev };
}
