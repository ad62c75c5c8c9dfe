import { assert } from "../../base/assert.ts";
import type { Entry } from "./types.ts";

/**
 * The replicated log in memory (§5.3). What a snapshot covers may be cut off at its front (§7): `start` is the last entry
 * that is gone, index 0 and term 0 in a whole log.
 *
 *     start | ..... applied .. delivered .. committed ...... handedOut .. lastIndex
 *
 * `persisted` runs beside: entries up to it are durable here. A member may apply what is committed before its own disk
 * has it (a majority has it durably), but it never claims to hold what is not persisted.
 */
export interface Log {
  start: { index: number; term: number };
  entries: Entry[]; // entries[i].index === start.index + i + 1, terms never fall
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
  assert(applied >= start.index, `the log starts after ${start.index}, but only ${applied} is applied`);
  assert(committed <= last, `commit index ${committed} is beyond the log's last index ${last}`);
  assert(applied <= committed, `applied index ${applied} is beyond the commit index ${committed}`);
  return { start, entries, committed, delivered: applied, applied, handedOut: last, persisted: last };
}

export function lastIndex(log: Log): number {
  return log.start.index + log.entries.length;
}

export function lastTerm(log: Log): number {
  return log.entries.at(-1)?.term ?? log.start.term;
}

/** Undefined past the end, and before the start. */
export function termAt({ start, entries }: Log, index: number): number | undefined {
  return index === start.index ? start.term : entries[index - start.index - 1]?.term;
}

/** Entries from `from` up to and with `to`. */
export function slice({ start, entries }: Log, from: number, to: number): Entry[] {
  return entries.slice(from - start.index - 1, to - start.index);
}

/** Forgets entries up to `index`, which a snapshot covers. */
export function compact(log: Log, index: number): void {
  if (index <= log.start.index) return;
  assert(index <= log.applied, "only what is applied is compacted");
  const term = termAt(log, index)!;
  log.entries = slice(log, index + 1, lastIndex(log));
  log.start = { index, term };
}

/** The log becomes that of a snapshot: everything up to it is committed and durable, nothing follows. */
export function replace(log: Log, start: Log["start"]): void {
  log.start = start;
  log.entries = [];
  log.committed = start.index;
  log.delivered = start.index;
  log.handedOut = start.index;
  log.persisted = start.index;
}

/** Does a candidate with this last entry have all that we have? (§5.4.1) */
export function isUpToDate(log: Log, index: number, term: number): boolean {
  return term > lastTerm(log) || (term === lastTerm(log) && index >= lastIndex(log));
}

/** Adds entries of our own (leader) at the end. */
export function append(log: Log, entries: Entry[]): void {
  for (const entry of entries) log.entries.push(entry);
}

/**
 * AppendEntries at the receiver, once the entry before `entries` has matched: entries we hold stay, the first that
 * conflicts and all after it give way (§5.3).
 */
export function merge(log: Log, entries: Entry[]): void {
  const fresh = entries.findIndex((entry) => termAt(log, entry.index) !== entry.term);
  if (fresh === -1) return;
  const from = entries[fresh]!.index;
  assert(from > log.committed, `entry ${from} conflicts with committed entry, commit index ${log.committed}`);
  log.entries.length = from - log.start.index - 1;
  log.handedOut = Math.min(log.handedOut, from - 1);
  log.persisted = Math.min(log.persisted, from - 1);
  for (let i = fresh; i < entries.length; i++) log.entries.push(entries[i]!);
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
  const begin = from - log.start.index - 1;
  let end = begin;
  while (end < log.entries.length) {
    bytes += log.entries[end]!.data.length;
    if (bytes > maxBytes && end > begin) break;
    end++;
  }
  return log.entries.slice(begin, end);
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
