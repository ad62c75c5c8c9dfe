import type { RangeRequest, RangeResponse } from "../../proto/generated/etcdserverpb.ts";
import type { KeyValue } from "../../proto/generated/mvccpb.ts";
import type { KeyRange } from "./key-index.ts";
import type { Store } from "./store.ts";
import { keyText, keyValueOf, storedAt, type Version, valueBytes, versionAt } from "./version.ts";

/** A request's [key, range_end): no end is one key, "\0" everything from key on. */
export function keyRangeOf({ key, rangeEnd }: { key: Uint8Array; rangeEnd: Uint8Array }): KeyRange {
  return { key: keyText(key), end: rangeEnd.length === 0 ? undefined : endText(rangeEnd) };
}

export const endText = (end: Uint8Array): string | null => (end.length === 1 && end[0] === 0 ? null : keyText(end));

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
  const header = { clusterId: 0n, memberId: 0n, revision: headerRevision, raftTerm: 0 };
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
function isPlain(q: RangeRequest): boolean {
  return !needsAll(q) && q.sortTarget === SortTarget.key && !q.keysOnly;
}

export const SortOrder = { none: 0, ascend: 1, descend: 2 } as const;
export const SortTarget = { key: 0, version: 1, create: 2, mod: 3, value: 4 } as const;

function needsAll(q: RangeRequest): boolean {
  return (
    q.sortOrder !== SortOrder.none ||
    q.minModRevision !== 0 ||
    q.maxModRevision !== 0 ||
    q.minCreateRevision !== 0 ||
    q.maxCreateRevision !== 0
  );
}

function passes({ main, create }: Version, q: RangeRequest): boolean {
  return (
    (q.minModRevision === 0 || main >= q.minModRevision) &&
    (q.maxModRevision === 0 || main <= q.maxModRevision) &&
    (q.minCreateRevision === 0 || create >= q.minCreateRevision) &&
    (q.maxCreateRevision === 0 || create <= q.maxCreateRevision)
  );
}

/** Versions come in key order. Equal ones keep it. */
function sort(versions: Version[], { sortOrder, sortTarget }: RangeRequest): void {
  if (sortTarget === SortTarget.key && sortOrder !== SortOrder.descend) return;
  const compare = comparators[sortTarget]!;
  versions.sort(sortOrder === SortOrder.descend ? (a, b) => compare(b, a) : compare);
}

const comparators: Record<number, (a: Version, b: Version) => number> = {
  [SortTarget.key]: (a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0),
  [SortTarget.version]: (a, b) => a.version - b.version,
  [SortTarget.create]: (a, b) => a.create - b.create,
  [SortTarget.mod]: (a, b) => a.main - b.main,
  [SortTarget.value]: (a, b) => Buffer.compare(valueBytes(a), valueBytes(b)),
};

const noValue = new Uint8Array(0);

function withoutValue(version: Version): KeyValue {
  return { ...keyValueOf(version), value: noValue };
}
