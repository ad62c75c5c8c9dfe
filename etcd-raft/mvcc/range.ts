import {
  type RangeRequest,
  type RangeResponse,
  type ResponseHeader,
  RangeRequest_SortOrder as SortOrder,
  RangeRequest_SortTarget as SortTarget,
} from "../../proto/generated/etcdserverpb.ts";
import type { KeyValue } from "../../proto/generated/mvccpb.ts";
import { empty } from "../../proto/wire.ts";
import type { KeyRange } from "./key-index.ts";
import type { Store } from "./store.ts";
import { keyText, keyValueOf, storedAt, type Version, valueBytes, versionAt } from "./version.ts";

/** A request's [key, range_end): no end is one key, "\0" everything from key on. */
export function keyRangeOf({ key, rangeEnd }: { key: Uint8Array; rangeEnd: Uint8Array }): KeyRange {
  return { key: keyText(key), end: rangeEnd.length === 0 ? undefined : endText(rangeEnd) };
}

export const endText = (end: Uint8Array): string | null => (end.length === 1 && end[0] === 0 ? null : keyText(end));

/** The server adds the rest. */
export const headerOf = (revision: number): ResponseHeader => ({ clusterId: 0n, memberId: 0n, revision, raftTerm: 0 });

/**
 * KV.Range on the present state. `headerRevision`: what the store's revision is to the asker (inside a write transaction
 * one more). Throws compacted or future revision.
 *
 * `count` is that of the whole range at that revision, whatever limit and the revision filters take away. A limit cuts
 * after filters and sorting; only when neither order nor filter is asked for does it bound the reading too. So with a
 * sort target but no order, the first `limit` keys by name are sorted (etcd's quirk).
 */
export function range(store: Store, request: RangeRequest, headerRevision: number): RangeResponse {
  // Within a write transaction "now" includes what it has written.
  const revision = request.revision <= 0 ? Number.MAX_SAFE_INTEGER : store.readable(request.revision);
  const { limit } = request;
  const enough = limit > 0 && !needsAll(request) ? limit + 1 : Number.POSITIVE_INFINITY;
  const keys = keyRangeOf(request);
  const most = request.countOnly ? 0 : enough;
  const header = headerOf(headerRevision);
  if (isPlain(request)) {
    const { rows: kvs, count } = store.select(keys, revision, most, storedAt);
    return { header, more: cut(kvs, limit), kvs, count };
  }
  const { rows, count } = store.select(keys, revision, most, versionAt);
  const versions = needsAll(request) ? rows.filter((version) => passes(version, request)) : rows;
  sort(versions, request);
  const more = cut(versions, limit);
  return { header, kvs: versions.map(request.keysOnly ? withoutValue : keyValueOf), more, count };
}

/** Returns whether there was more than `limit` (0: none). */
function cut(rows: unknown[], limit: number): boolean {
  const more = limit > 0 && rows.length > limit;
  if (more) rows.length = limit;
  return more;
}

/** By key, whole: what is stored is the answer. */
const isPlain = (q: RangeRequest): boolean => !needsAll(q) && q.sortTarget === SortTarget.KEY && !q.keysOnly;

function needsAll(q: RangeRequest): boolean {
  return (
    q.sortOrder !== SortOrder.NONE ||
    q.minModRevision !== 0 ||
    q.maxModRevision !== 0 ||
    q.minCreateRevision !== 0 ||
    q.maxCreateRevision !== 0
  );
}

function passes({ main, create }: Version, q: RangeRequest): boolean {
  const within = (revision: number, min: number, max: number) =>
    (min === 0 || revision >= min) && (max === 0 || revision <= max);
  return within(main, q.minModRevision, q.maxModRevision) && within(create, q.minCreateRevision, q.maxCreateRevision);
}

/** Versions come in key order. Equal ones keep it. */
function sort(versions: Version[], { sortOrder, sortTarget }: RangeRequest): void {
  if (sortTarget === SortTarget.KEY && sortOrder !== SortOrder.DESCEND) return;
  const compare = comparators[sortTarget]!;
  versions.sort(sortOrder === SortOrder.DESCEND ? (a, b) => compare(b, a) : compare);
}

const comparators: Record<number, (a: Version, b: Version) => number> = {
  [SortTarget.KEY]: (a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0),
  [SortTarget.VERSION]: (a, b) => a.version - b.version,
  [SortTarget.CREATE]: (a, b) => a.create - b.create,
  [SortTarget.MOD]: (a, b) => a.main - b.main,
  [SortTarget.VALUE]: (a, b) => Buffer.compare(valueBytes(a), valueBytes(b)),
};

const withoutValue = (version: Version): KeyValue => ({ ...keyValueOf(version), value: empty });
