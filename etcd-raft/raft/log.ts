import { assert } from "../../base/assert.ts";
import type { Entry } from "./types.ts";

/**
 * The replicated log in memory (§5.3). It starts at index 1; index 0 stands for the empty log and has term 0.
 *
 *     1 ..... applied .. delivered .. committed ...... handedOut .. lastIndex
 *
 * `persisted` runs beside: entries up to it are durable here. A member may apply what is committed before its own disk
 * has it (a majority has it durably), but it never claims to hold what is not persisted.
 */
export interface Log {
  entries: Entry[]; // entries[i].index === i + 1, terms never fall
  committed: number;
  delivered: number; // given to the caller in committedEntries
  applied: number;
  handedOut: number; // given to the caller in Ready.entries
  persisted: number;
}

export function createLog(entries: Entry[], committed: number, applied: number): Log {
  for (const [i, entry] of entries.entries()) assert(entry.index === i + 1, "the log starts at index 1 without gaps");
  const last = entries.length;
  assert(committed <= last, `commit index ${committed} is beyond the log's last index ${last}`);
  assert(applied <= committed, `applied index ${applied} is beyond the commit index ${committed}`);
  return { entries, committed, delivered: applied, applied, handedOut: last, persisted: last };
}

export function lastIndex(log: Log): number {
  return log.entries.length;
}

export function lastTerm(log: Log): number {
  return log.entries.at(-1)?.term ?? 0;
}

/** Undefined past the end. */
export function termAt(log: Log, index: number): number | undefined {
  return index === 0 ? 0 : log.entries[index - 1]?.term;
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
  log.entries.length = from - 1;
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
  let end = from - 1;
  while (end < log.entries.length) {
    bytes += log.entries[end]!.data.length;
    if (bytes > maxBytes && end >= from) break;
    end++;
  }
  return log.entries.slice(from - 1, end);
}

/** The last index up to `index` whose term is not above `term`: nothing between the two can agree (end of §5.3). */
export function lastNotAbove(log: Log, index: number, term: number): number {
  let i = Math.min(index, lastIndex(log));
  while (i > 0 && termAt(log, i)! > term) i--;
  return i;
}
