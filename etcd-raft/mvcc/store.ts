import { assert } from "../../base/assert.ts";
import { etcdError } from "../errors.ts";
import { Compaction } from "./compaction.ts";
import { History } from "./history.ts";
import { KeyIndex, type KeyRange } from "./key-index.ts";
import { isTombstoneAt, mainOf, previousOf } from "./record.ts";
import { type Address, Slabs } from "./slabs.ts";
import { type ReadRow, Version } from "./version.ts";
import { type StoreView, viewOf } from "./view.ts";
import { restoreRecord, Write } from "./write.ts";

export type { StoreView } from "./view.ts";
export { Write } from "./write.ts";

/**
 * The multi-version key space. Synchronous and deterministic: the same writes give the same revisions, versions and
 * hash on every member.
 *
 * - An empty store has revision 1. A write transaction with at least one change makes the next revision; its changes
 *   are numbered 0, 1, 2... (sub-revision). One without changes makes none.
 * - Every revision from `compactRevision` on can be read. Compaction takes what is superseded at its revision, a slice
 *   at a time, and is never visible to a read that is still allowed.
 * - The history is the `key` bucket of etcd's state file: what the last finished compaction left, then all changes since,
 *   in order. Watchers catch up from it.
 *
 * Nothing in here is an object per key or version: records lie in slabs, everything else are numbers in typed arrays. So
 * millions of keys cost the garbage collector nothing. About 80 bytes come on top of key and value.
 */
export class Store {
  revision = 1;
  compactRevision = -1;
  index: KeyIndex;
  slabs: Slabs;
  readonly #leases: KeyLeases;
  #history: History;
  #finishedCompact = -1;
  #compaction: Compaction | undefined;
  #markedTo = 0; // everything before this revision is marked by earlier compactions
  #write: Write; // the same one again and again

  /** `seed`: see KeyTable. */
  constructor(leases: KeyLeases = noLeases, seed = 0) {
    this.#leases = leases;
    this.slabs = new Slabs();
    this.index = new KeyIndex(this.slabs.table, seed);
    this.#history = new History(this.slabs.table);
    this.#write = new Write(this, this.#history, leases);
  }

  get compactPending(): boolean {
    return this.#compaction !== undefined;
  }

  /** The version of `key` at `revision`: undefined when the key was absent then. */
  at(key: string, revision = Number.MAX_SAFE_INTEGER): Version | undefined {
    const id = this.index.find(key);
    const address = id === 0 ? 0 : this.#at(this.index.newest(id), revision);
    return address === 0 ? undefined : new Version(this.slabs.table, address);
  }

  /** Calls `fn` with each key's version at `revision`, in key order. Nothing may be written meanwhile. */
  forEach(range: KeyRange, revision: number, fn: (version: Version) => void): void {
    this.index.forEach(range, (newest) => {
      const address = this.#at(newest, revision);
      if (address !== 0) fn(new Version(this.slabs.table, address));
      return true;
    });
  }

  /** The first `limit` of them, and how many there are. That is not counted one by one for the present revision. */
  select<T>(range: KeyRange, revision: number, limit: number, read: ReadRow<T>): { rows: T[]; count: number } {
    const rows: T[] = [];
    const { table } = this.slabs;
    const countsPresent = revision > this.revision || (revision === this.revision && !this.#write.open);
    let count = 0;
    this.index.forEach(range, (newest) => {
      if (countsPresent && count === limit) return false;
      const address = this.#at(newest, revision);
      if (address !== 0 && count++ < limit) rows.push(read(table, address));
      return true;
    });
    if (countsPresent && count === limit) count = this.index.countAlive(range);
    return { rows, count };
  }

  /** The revision that a read for `revision` (0: now) sees. Throws compacted or future revision. */
  readable(revision: number): number {
    if (revision <= 0) return this.revision;
    if (revision > this.revision) throw etcdError("futureRevision");
    if (revision < this.compactRevision) throw etcdError("compacted");
    return revision;
  }

  begin(): Write {
    return this.#write.begin();
  }

  /** Changes with `from` <= revision, at most about `limit` of them, whole revisions only. */
  changesFrom(from: number, limit: number): Version[] {
    const { table } = this.slabs;
    const changes: Version[] = [];
    let last = 0;
    this.#history.forEachFrom(from, 0, (address) => {
      const main = mainOf(table, address);
      if (changes.length >= limit && main !== last) return false;
      last = main;
      changes.push(new Version(table, address));
      return true;
    });
    return changes;
  }

  /** Schedules a compaction; `compactStep` does the work. */
  compact(revision: number): void {
    if (revision <= this.compactRevision) throw etcdError("compacted");
    if (revision > this.revision) throw etcdError("futureRevision");
    this.compactRevision = revision;
    this.#markedTo = this.#compaction?.markedTo ?? this.#markedTo;
    this.#startCompaction(revision);
  }

  /** Works on the scheduled compaction: about `limit` changes. True while there is more to do. */
  compactStep(limit: number): boolean {
    if (this.#compaction === undefined || this.#compaction.step(limit)) return this.#compaction !== undefined;
    this.#markedTo = this.#compaction.markedTo;
    this.#compaction = undefined;
    return false;
  }

  /** Everything there is now, for a snapshot. Costs next to nothing, and stays true whatever is written or compacted later. */
  view(): StoreView {
    const { revision, compactRevision: scheduledCompact } = this;
    const { count } = this.#history;
    const head = { revision, scheduledCompact, finishedCompact: this.#finishedCompact, count };
    return viewOf(head, this.#history.view(), this.slabs.table.slice());
  }

  /** Fills this store, which is empty, with the versions of a view, in order. `finishedCompact` is that view's. */
  restore(finishedCompact: number): Restore {
    assert(this.revision === 1 && this.index.size === 0, "only an empty store is restored");
    this.compactRevision = finishedCompact;
    this.#finishedCompact = finishedCompact;
    this.#markedTo = Math.max(0, finishedCompact);
    return {
      add: (row) => {
        restoreRecord(this, this.#history, this.#leases, row);
        this.revision = row.main;
      },
      end: (scheduledCompact) => {
        // What was compacted was there, even if nothing of it is left.
        this.revision = Math.max(this.revision, scheduledCompact);
        if (scheduledCompact > finishedCompact) this.compact(scheduledCompact);
      },
    };
  }

  /** This store becomes what `other` is, which is not used any more. */
  become(other: Store): void {
    assert(!this.#write.open && !other.#write.open, "not during a write");
    this.revision = other.revision;
    this.compactRevision = other.compactRevision;
    this.index = other.index;
    this.slabs = other.slabs;
    this.#history = other.#history;
    this.#write = new Write(this, this.#history, this.#leases);
    this.#finishedCompact = other.#finishedCompact;
    this.#markedTo = other.#compaction?.markedTo ?? other.#markedTo;
    this.#compaction = undefined;
    if (other.compactPending) this.#startCompaction(other.compactRevision);
  }

  #startCompaction(revision: number): void {
    const { slabs, index } = this;
    this.#compaction = new Compaction(
      { slabs, index, history: this.#history },
      {
        revision,
        from: this.#markedTo,
        squeezed: () => {
          this.#finishedCompact = revision;
        },
      },
    );
  }

  /** 0: the key was absent then. */
  #at(newest: Address, revision: number): Address {
    const { table } = this.slabs;
    let address = newest;
    while (address !== 0 && mainOf(table, address) > revision) address = previousOf(table, address);
    return address === 0 || isTombstoneAt(table, address) ? 0 : address;
  }
}

export interface Restore {
  add(row: RestoredRow): void;
  end(scheduledCompact: number): void; // goes on with the scheduled compaction if it was not finished
}

export interface RestoredRow {
  main: number;
  sub: number;
  isTombstone: boolean;
  record: Uint8Array; // mvccpb.KeyValue as `isCanonical` wants it; of a tombstone the key only
}

/** What the lessor needs to know of keys. */
export interface KeyLeases {
  attach(lease: bigint, key: string): void;
  detach(lease: bigint, key: string): void;
}

const noLeases: KeyLeases = { attach() {}, detach() {} };
