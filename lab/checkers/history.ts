/**
 * What clients of a cluster saw, what its log holds, and what its members became: the input of all checkers here, written
 * as one JSON object a line. It may come from the simulator or from real processes; nothing in it is ours alone.
 *
 * - Keys and values are text of one character a byte (latin1), so that they sort as etcd sorts bytes. Lease ids are decimal
 *   text. A zero, false or empty field may be left out, as in protobuf.
 * - Times (`called`, `returned`, `at`) are numbers of one clock for the whole file: a position or milliseconds. What has the
 *   same time counts as simultaneous.
 * - Every value put is put once in the whole history (a checker relies on it to know which attempt a log entry is).
 *
 *     {"type":"base","index":3,"revision":1,"compacted":0,"kvs":[],"leases":[]}
 *     {"type":"operation","client":"c1","member":"m0","called":1,"returned":2,
 *      "request":{"op":"put","key":"a","value":"c1-1"},"response":{"op":"put","revision":2}}
 *     {"type":"operation","client":"c1","member":"m0","called":3,"request":{"op":"range","key":"a"}}
 *     {"type":"watch","watch":"w1","member":"m1","at":4,"event":"open","key":"a","from":2}
 *     {"type":"watch","watch":"w1","member":"m1","at":5,"event":"created","revision":2}
 *     {"type":"watch","watch":"w1","member":"m1","at":6,"event":"events","revision":2,
 *      "events":[{"type":"put","kv":{"key":"a","value":"c1-1","create":2,"mod":2,"version":1}}]}
 *     {"type":"commit","index":4,"term":2,"at":2,"request":{"op":"put","key":"a","value":"c1-1"}}
 *     {"type":"hash","member":"m0","point":"revision 2","hash":"1234567"}
 */
export type HistoryLine = Base | Operation | WatchLine | Commit | MemberHash;

/** What was there before a history that does not begin with an empty store: its first line, if any. */
export interface Base {
  type: "base";
  index: number; // the last entry of the log that is in it
  revision: number;
  compacted: number;
  kvs: KeyValue[]; // of others' keys without values
  leases: string[];
}

/** One request of a client, and how it ended. */
export interface Operation {
  type: "operation";
  client: string;
  member: string; // whom it was asked of
  called: number;
  intended?: number; // when it should have been sent, where that was fixed beforehand (open loop)
  returned?: number; // absent: it never ended for the client
  request: Request;
  response?: Response; // how it ended well
  error?: { code: number; message: string }; // how it ended else: gRPC code and text. See `outcome`.
}

/**
 * "ok": it took effect once, between call and return. "failed": it has no effect and never will. "unknown": it took effect
 * at some time after its call, or will, or never: no answer, and codes that say nothing of the effect (Canceled, Unknown,
 * DeadlineExceeded, Aborted, Internal, Unavailable, DataLoss).
 */
export function outcome({ response, error }: Operation): "ok" | "failed" | "unknown" {
  if (response) return "ok";
  return error && ![1, 2, 4, 10, 13, 14, 15].includes(error.code) ? "failed" : "unknown";
}

/** `end`: as etcd's range_end: absent is the one key, "\0" everything from `key` on. `lease`: "0" is none. */
export type Request =
  | { op: "put"; key: string; value: string; lease?: string; prevKv?: boolean }
  | { op: "delete"; key: string; end?: string; prevKv?: boolean }
  | RangeRequest
  | { op: "txn"; compare: Compare[]; success: Request[]; failure: Request[] }
  | { op: "compact"; revision: number }
  | { op: "grant"; id: string; ttl: number }
  | { op: "revoke"; id: string }
  | { op: "keepalive"; id: string }; // renews a lease (LeaseKeepAlive); does not go through the log

export interface RangeRequest {
  op: "range";
  key: string;
  end?: string;
  revision?: number;
  limit?: number;
  countOnly?: boolean;
  keysOnly?: boolean;
  serializable?: boolean;
}

export interface Compare {
  key: string;
  end?: string;
  result: "=" | ">" | "<" | "!=";
  target: "version" | "create" | "mod" | "value" | "lease";
  value: number | string; // text for `value` and `lease`
}

/** `revision`: of the header; absent in the responses within a transaction. */
export type Response =
  | { op: "put"; revision?: number; prev?: KeyValue }
  | { op: "delete"; revision?: number; deleted: number; prevs?: KeyValue[] }
  | { op: "range"; revision?: number; kvs: KeyValue[]; count: number; more?: boolean }
  | { op: "txn"; revision?: number; succeeded: boolean; responses: Response[] }
  | { op: "compact"; revision: number }
  | { op: "grant"; revision: number; id: string; ttl: number }
  | { op: "revoke"; revision: number }
  | { op: "keepalive"; revision: number; ttl: number }; // 0: there is no such lease any more

export interface KeyValue {
  key: string;
  value?: string;
  create: number;
  mod: number;
  version: number;
  lease?: string;
}

/**
 * One logical watcher over all its streams. It opens a stream with the first revision that it needs (`from`; 0 is whatever
 * comes after `created`), and when that breaks ("closed", or just another "open") goes on at any member from the revision
 * after the last that it has whole.
 */
export type WatchLine = { type: "watch"; watch: string; member: string; at: number } & (
  | { event: "open"; key: string; end?: string; from: number; prevKv?: boolean; noPut?: boolean; noDelete?: boolean }
  | { event: "created"; revision: number }
  /** One response. `fragment`: the next response goes on with it. */
  | { event: "events"; revision: number; events: WatchEvent[]; fragment?: boolean }
  | { event: "progress"; revision: number } // it has everything up to `revision`
  /** `compacted`: because what it needs is gone; what is left begins there. */
  | { event: "canceled"; compacted?: number; reason?: string }
  | { event: "closed" }
);

/** Of a deletion, `kv` has only `key` and `mod`. */
export interface WatchEvent {
  type: "put" | "delete";
  kv: { key: string; mod: number } & Partial<KeyValue>;
  prev?: KeyValue;
}

/** A committed entry of the log, from any member's WAL or as it was applied. All of them, in order, from the first after the base. */
export interface Commit {
  type: "commit";
  index: number;
  term: number;
  at?: number; // when it was known to be committed, if that was seen
  request?: Request; // absent: nothing that changes keys or leases (raft's own, or the members' book-keeping)
}

/** What a member's state hashes to at a point that can be compared: "index 40", "revision 12 compacted 3". */
export type MemberHash = { type: "hash"; member: string; point: string; hash: string };

/** Goes through the log when it succeeds: it may change something. */
export function isWrite(request: Request): boolean {
  switch (request.op) {
    case "range":
    case "keepalive":
      return false;
    case "txn":
      return [...request.success, ...request.failure].some(isWrite);
    default:
      return true;
  }
}

/** Equal text for what means the same: fields sorted, those that are zero, false or empty left out. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) => {
    if (inner === null || typeof inner !== "object" || Array.isArray(inner)) return inner;
    const fields = Object.entries(inner).filter(([name, field]) => {
      if (Array.isArray(field)) return field.length > 0;
      return (
        field !== undefined && field !== false && field !== 0 && field !== "" && !(name === "lease" && field === "0")
      );
    });
    return Object.fromEntries(fields.sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

export const sameMeaning = (a: unknown, b: unknown): boolean => canonical(a) === canonical(b);

/** For messages: long values cut short. */
export const brief = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === "string" && inner.length > 24 ? `${inner.slice(0, 20)}...` : inner,
  ) ?? "a refusal";
