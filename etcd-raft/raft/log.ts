import { assert } from "../../base/assert.ts";
import { PackedEntries } from "./packed-entries.ts";
import type { Entry } from "./types.ts";

/**
 * The replicated log in memory (§5.3). What a snapshot covers may be cut off at its front (§7): `start` is the last entry
 * that is gone, index 0 and term 0 in a whole log.
 *
 *     start | ..... applied .. delivered .. committed ...... handedOut .. lastIndex
 *           | packed ..|. tail .................................................. |
 *
 * `persisted` runs beside: entries up to it are durable here. A member may apply what is committed before its own disk
 * has it (a majority has it durably), but it never claims to hold what is not persisted.
 */
export interface Log {
  start: { index: number; term: number };
  /** The older ones, all applied, oldest first. The first may begin before `start`. Terms never fall. */
  packed: PackedEntries[];
  tail: Entry[]; // tail[i].index === tailFrom + i
  tailFrom: number;
  committed: number;
  delivered: number; // given to the caller in committedEntries
  applied: number;
  handedOut: number; // given to the caller in Ready.entries
  persisted: number;
}

export function createLog(start: Log["start"], entries: Entry[], committed: number, applied: number): Log {
  for (const [i, entry] of entries.entries())
    assert(entry.index === start.index + i + 1, "the log goes on after its start without gaps");
  const last = start.index + entries.length;
  const tailFrom = start.index + 1;
  assert(applied >= start.index, `the log starts after ${start.index}, but only ${applied} is applied`);
  assert(committed <= last, `commit index ${committed} is beyond the log's last index ${last}`);
  assert(applied <= committed, `applied index ${applied} is beyond the commit index ${committed}`);
  const log = { start, packed: [], tail: entries, tailFrom, committed, delivered: applied, applied };
  return { ...log, handedOut: last, persisted: last };
}

export const lastIndex = (log: Log): number => log.tailFrom + log.tail.length - 1;

export const lastTerm = (log: Log): number => termAt(log, lastIndex(log))!;

/** Undefined past the end, and before the start. */
export function termAt(log: Log, index: number): number | undefined {
  const { start, tail, tailFrom } = log;
  if (index === start.index) return start.term;
  if (index < start.index) return undefined;
  return index < tailFrom ? packOf(log, index).termAt(index) : tail[index - tailFrom]?.term;
}

/** Entries from `from`, which is after the start, up to and with `to`. */
export function slice(log: Log, from: number, to: number): Entry[] {
  const { tail, tailFrom } = log;
  if (from >= tailFrom) return tail.slice(from - tailFrom, to - tailFrom + 1);
  const entries: Entry[] = [];
  for (let index = from; index <= to; index++) entries.push(entryAt(log, index));
  return entries;
}

/** All of them, for whoever looks at a log from outside. */
export const entriesOf = (log: Log): Entry[] => slice(log, log.start.index + 1, lastIndex(log));

const entryAt = (log: Log, index: number): Entry =>
  index < log.tailFrom ? packOf(log, index).entryAt(index) : log.tail[index - log.tailFrom]!;

function packOf({ packed }: Log, index: number): PackedEntries {
  let [low, high] = [0, packed.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (packed[middle]!.first <= index) low = middle;
    else high = middle - 1;
  }
  return packed[low]!;
}

/**
 * Everything up to `index` is applied: for what is older than the last `packCount` of that only a follower that is behind
 * will ask.
 */
export function markApplied(log: Log, index: number, packCount: number): void {
  log.applied = Math.max(log.applied, index);
  let packed = 0;
  while (log.applied - log.tailFrom - packed >= 2 * packCount) {
    log.packed.push(new PackedEntries(log.tail, packed, packCount));
    packed += packCount;
  }
  if (packed === 0) return;
  log.tail.splice(0, packed); // once: a start has a long tail
  log.tailFrom += packed;
}

/** Forgets entries up to `index`, which a snapshot covers. */
export function compact(log: Log, index: number): void {
  if (index <= log.start.index) return;
  assert(index <= log.applied, "only what is applied is compacted");
  const term = termAt(log, index)!;
  log.start = { index, term };
  const gone = log.packed.findIndex(({ first, count }) => first + count - 1 > index);
  log.packed.splice(0, gone === -1 ? log.packed.length : gone);
  if (index < log.tailFrom) return;
  log.tail = log.tail.slice(index + 1 - log.tailFrom);
  log.tailFrom = index + 1;
}

/** The log becomes that of a snapshot: everything up to it is committed and durable, nothing follows. */
export function replace(log: Log, start: Log["start"]): void {
  const { applied } = log;
  Object.assign(log, createLog(start, [], start.index, start.index), { applied });
}

/** Does a candidate with this last entry have all that we have? (§5.4.1) */
export const isUpToDate = (log: Log, index: number, term: number): boolean =>
  term > lastTerm(log) || (term === lastTerm(log) && index >= lastIndex(log));

/**
 * AppendEntries at the receiver, once the entry before `entries` has matched: entries we hold stay, the first that
 * conflicts and all after it give way (§5.3).
 */
export function merge(log: Log, entries: Entry[]): void {
  const fresh = entries.findIndex((entry) => termAt(log, entry.index) !== entry.term);
  if (fresh === -1) return;
  const from = entries[fresh]!.index;
  assert(from > log.committed, `entry ${from} conflicts with committed entry, commit index ${log.committed}`);
  log.tail.length = from - log.tailFrom;
  log.handedOut = Math.min(log.handedOut, from - 1);
  log.persisted = Math.min(log.persisted, from - 1);
  for (let i = fresh; i < entries.length; i++) log.tail.push(entries[i]!);
}

export function commitTo(log: Log, index: number): void {
  if (index <= log.committed) return;
  assert(
    index <= lastIndex(log),
    `commit index ${index} is beyond the last index ${lastIndex(log)}: was the log lost?`,
  );
  log.committed = index;
}

/** Entries from `from` on, at most `maxBytes` of data but at least one entry. */
export function entriesFrom(log: Log, from: number, maxBytes: number): Entry[] {
  let bytes = 0;
  const entries: Entry[] = [];
  const last = lastIndex(log);
  for (let index = from; index <= last; index++) {
    const entry = entryAt(log, index);
    bytes += entry.data.length;
    if (bytes > maxBytes && entries.length > 0) break;
    entries.push(entry);
  }
  return entries;
}

/**
 * The last index up to `index` whose term is not above `term`: nothing between the two can agree (end of §5.3). Before the
 * log's start nothing is known.
 */
export function lastNotAbove(log: Log, index: number, term: number): number {
  let i = Math.min(index, lastIndex(log));
  while (i > log.start.index && termAt(log, i)! > term) i--;
  return i;
}
