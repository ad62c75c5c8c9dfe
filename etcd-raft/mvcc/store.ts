import { assert } from "../../base/assert.ts";
import { etcdError } from "../errors.ts";
import { KeyIndex, type KeyRange } from "./key-index.ts";
import { noSlab, Slabs } from "./slabs.ts";
import { isSuperseded, isTombstone, supersede, type Version, valueBytes } from "./version.ts";

/**
 * The multi-version key space. Synchronous and deterministic: the same writes give the same revisions, versions and
 * hash on every member.
 *
 * - An empty store has revision 1. A write transaction with at least one change makes the next revision; its changes
 *   are numbered 0, 1, 2... (sub-revision). One without changes makes none.
 * - Every revision from `compactRevision` on can be read. Compaction takes what is superseded at its revision, a slice
 *   at a time, and is never visible to a read that is still allowed.
 * - `log` holds the changes of those revisions in order: what watchers catch up from. `base` is what the last finished
 *   compaction left before them, in the same order: the two together are the `key` bucket of etcd's state file.
 */
export class Store {
  revision = 1;
  compactRevision = -1;
  /** A compaction is scheduled and not finished: see `compactStep`. */
  compactPending = false;
  index = new KeyIndex();
  slabs = new Slabs();
  readonly #leases: KeyLeases;
  /** Ascending (main, sub). Never changed, only replaced: views hold on to it. */
  #base: readonly Version[] = [];
  /** Goes on after #base. Only appended to, or replaced; entries before #logStart are compacted and about to go. */
  #log: Version[] = [];
  #logStart = 0;
  #finishedCompact = -1;
  #compactedUpTo = 0; // place in #log up to which the scheduled compaction has come
  #nextBase: Version[] | undefined; // what it has found to keep of #base and the log before #logStart
  #nextBaseFrom = 0; // place in #base and #log taken as one
  #sweepFrom: string | undefined; // next key whose values may have to move out of sparse slabs
  #writing = false;

  constructor(leases: KeyLeases = noLeases) {
    this.#leases = leases;
  }

  /** The version of `key` at `revision`: undefined when the key was absent then. */
  at(key: string, revision = Number.MAX_SAFE_INTEGER): Version | undefined {
    return versionAt(this.index.get(key)?.newest, revision);
  }

  /** Calls `fn` with each key's version at `revision`, in key order. */
  forEach(range: KeyRange, revision: number, fn: (version: Version) => void): void {
    this.index.forEach(range, (record) => {
      const version = versionAt(record.newest, revision);
      if (version) fn(version);
    });
  }

  /** The revision that a read for `revision` (0: now) sees. Throws compacted or future revision. */
  readable(revision: number): number {
    if (revision <= 0) return this.revision;
    if (revision > this.revision) throw etcdError("futureRevision");
    if (revision < this.compactRevision) throw etcdError("compacted");
    return revision;
  }

  begin(): Write {
    assert(!this.#writing, "one write at a time");
    this.#writing = true;
    return new Write(this, this.#leases, (changes) => {
      this.#writing = false;
      if (changes.length === 0) return;
      for (const change of changes) this.#log.push(change);
      this.revision++;
    });
  }

  /** Changes with `from` <= revision, at most about `limit` of them, whole revisions only. */
  changesFrom(from: number, limit: number): Version[] {
    const start = this.#placeOf(from);
    let end = Math.min(start + limit, this.#log.length);
    while (end > start && end < this.#log.length && this.#log[end]!.main === this.#log[end - 1]!.main) end++;
    return this.#log.slice(start, end);
  }

  /** Schedules a compaction; `compactStep` does the work. */
  compact(revision: number): void {
    if (revision <= this.compactRevision) throw etcdError("compacted");
    if (revision > this.revision) throw etcdError("futureRevision");
    this.compactRevision = revision;
    this.compactPending = true;
    this.#compactedUpTo = this.#logStart;
    this.#nextBase = undefined; // comes after the log
    this.#sweepFrom = undefined; // comes last
  }

  /** Works on the scheduled compaction for at most `limit` changes or keys; true while there is more to do. */
  compactStep(limit: number): boolean {
    if (this.#sweepFrom !== undefined) this.compactPending = this.#sweep(limit);
    else if (this.#nextBase) this.compactPending = this.#compactBase(this.#nextBase, limit);
    else this.#compactLog(limit);
    return this.compactPending;
  }

  /** Everything there is now, for a snapshot. Costs nothing, and stays true whatever is written or compacted later. */
  view(): StoreView {
    const [base, log] = [this.#base, this.#log];
    const { revision, compactRevision } = this;
    return {
      revision,
      scheduledCompact: compactRevision,
      finishedCompact: this.#finishedCompact,
      count: base.length + log.length,
      at: (i) => (i < base.length ? base[i]! : log[i - base.length]!),
    };
  }

  /** Fills this store, which is empty, with the versions of a view, in order. `finishedCompact` is that view's. */
  restore(finishedCompact: number): Restore {
    assert(this.revision === 1 && this.index.size === 0, "only an empty store is restored");
    this.compactRevision = finishedCompact;
    this.#finishedCompact = finishedCompact;
    const base: Version[] = [];
    this.#base = base;
    return {
      add: (row) => {
        const slab = this.slabs.copy(row.value);
        const previous = this.index.get(row.key)?.newest;
        const { main, sub, create, version: puts, lease } = row;
        const length = row.value.length;
        const key = previous?.key ?? row.key;
        const offset = slab.used - length;
        const version = { key, main, sub, create, version: puts, lease, slab, offset, length, previous };
        if (previous && previous.lease !== 0n) this.#leases.detach(previous.lease, key);
        if (lease !== 0n) this.#leases.attach(lease, key);
        this.index.add(version);
        (main < finishedCompact ? base : this.#log).push(version);
        this.revision = main;
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
    assert(!this.#writing && !other.#writing, "not during a write");
    this.revision = other.revision;
    this.compactRevision = other.compactRevision;
    this.compactPending = other.compactPending;
    this.index = other.index;
    this.slabs = other.slabs;
    this.#base = other.#base;
    this.#log = other.#log;
    this.#logStart = other.#logStart;
    this.#finishedCompact = other.#finishedCompact;
    this.#compactedUpTo = other.#compactedUpTo;
    this.#nextBase = undefined;
    this.#sweepFrom = undefined;
  }

  #compactLog(limit: number): void {
    const log = this.#log;
    const end = Math.min(this.#compactedUpTo + limit, log.length);
    let place = this.#compactedUpTo;
    for (; place < end && log[place]!.main <= this.compactRevision; place++) {
      const version = log[place]!;
      // Oldest first, so nothing can hang behind `previous` any more.
      if (version.previous) {
        this.slabs.release(version.previous.slab, version.previous.length);
        supersede(version.previous);
      }
      version.previous = undefined;
      if (version.main === this.compactRevision) continue; // a watch may still start here
      this.#logStart = place + 1;
      if (isTombstone(version) && this.index.get(version.key)?.newest === version) this.index.remove(version.key);
    }
    this.#compactedUpTo = place;
    if (place === end && place < log.length && log[place]!.main <= this.compactRevision) return;
    this.#nextBase = [];
    this.#nextBaseFrom = 0;
  }

  /** Deletions older than the compact revision have nothing left to say. */
  #compactBase(kept: Version[], limit: number): boolean {
    const [base, log] = [this.#base, this.#log];
    const count = base.length + this.#logStart;
    const end = Math.min(this.#nextBaseFrom + limit, count);
    for (let place = this.#nextBaseFrom; place < end; place++) {
      const version = place < base.length ? base[place]! : log[place - base.length]!;
      if (isSuperseded(version)) continue;
      if (!isTombstone(version)) kept.push(version);
      else if (this.index.get(version.key)?.newest === version) this.index.remove(version.key);
    }
    this.#nextBaseFrom = end;
    if (end < count) return true;
    this.#base = kept;
    this.#nextBase = undefined;
    this.#finishedCompact = this.compactRevision;
    this.#trimLog();
    if (!this.slabs.isWasteful) return false;
    this.#sweepFrom = "";
    return true;
  }

  #placeOf(revision: number): number {
    let low = this.#logStart;
    let high = this.#log.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#log[middle]!.main < revision) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #trimLog(): void {
    this.#log = this.#log.slice(this.#logStart);
    this.#compactedUpTo = 0;
    this.#logStart = 0;
  }

  #sweep(limit: number): boolean {
    const records = this.index.from(this.#sweepFrom!, limit);
    for (const { newest } of records) {
      for (let version: Version | undefined = newest; version; version = version.previous) {
        if (!this.slabs.isSparse(version.slab)) continue;
        const old = version.slab;
        const slab = this.slabs.copy(valueBytes(version));
        version.offset = slab.used - version.length;
        version.slab = slab;
        this.slabs.release(old, version.length);
      }
    }
    this.#sweepFrom = records.length < limit ? undefined : `${records[records.length - 1]!.key}\0`;
    return this.#sweepFrom !== undefined;
  }
}

/** The whole store at one moment: versions in ascending (main, sub). */
export interface StoreView {
  revision: number;
  /** The compaction that was asked for last, and the last one whose versions are gone; -1: none. */
  scheduledCompact: number;
  finishedCompact: number;
  count: number;
  at(i: number): Version;
}

export interface Restore {
  add(row: Pick<Version, "key" | "main" | "sub" | "create" | "version" | "lease"> & { value: Uint8Array }): void;
  /** Goes on with the scheduled compaction if it was not finished. */
  end(scheduledCompact: number): void;
}

/** What the lessor needs to know of keys. */
export interface KeyLeases {
  attach(lease: bigint, key: string): void;
  detach(lease: bigint, key: string): void;
}

const noLeases: KeyLeases = { attach() {}, detach() {} };

/** One write transaction: its changes are visible at once, and become the next revision with `end`. */
export class Write {
  readonly changes: Version[] = [];
  readonly #store: Store;
  readonly #leases: KeyLeases;
  readonly #end: (changes: Version[]) => void;

  constructor(store: Store, leases: KeyLeases, end: (changes: Version[]) => void) {
    this.#store = store;
    this.#leases = leases;
    this.#end = end;
  }

  /** What the store's revision is, seen from inside. */
  get revision(): number {
    return this.#store.revision + (this.changes.length > 0 ? 1 : 0);
  }

  put(key: string, value: Uint8Array, lease: bigint): Version {
    const previous = this.#store.index.get(key)?.newest;
    const alive = previous !== undefined && !isTombstone(previous);
    const main = this.#store.revision + 1;
    const slab = this.#store.slabs.copy(value);
    const version: Version = {
      key: previous?.key ?? key, // one string a key, however often it is written
      main,
      sub: this.changes.length,
      create: alive ? previous.create : main,
      version: alive ? previous.version + 1 : 1,
      lease,
      slab,
      offset: slab.used - value.length,
      length: value.length,
      previous,
    };
    if (alive && previous.lease !== 0n) this.#leases.detach(previous.lease, version.key);
    if (lease !== 0n) this.#leases.attach(lease, version.key);
    this.#store.index.add(version);
    this.changes.push(version);
    return version;
  }

  /** The tombstones it made; `previous` of each is what was deleted. */
  deleteRange(range: KeyRange): Version[] {
    const found: Version[] = [];
    this.#store.forEach(range, Number.MAX_SAFE_INTEGER, (version) => found.push(version));
    return found.map((previous) => {
      const tombstone: Version = {
        key: previous.key,
        main: this.#store.revision + 1,
        sub: this.changes.length,
        create: 0,
        version: 0,
        lease: 0n,
        slab: noSlab,
        offset: 0,
        length: 0,
        previous,
      };
      if (previous.lease !== 0n) this.#leases.detach(previous.lease, previous.key);
      this.#store.index.add(tombstone);
      this.changes.push(tombstone);
      return tombstone;
    });
  }

  end(): void {
    this.#end(this.changes);
  }
}

function versionAt(newest: Version | undefined, revision: number): Version | undefined {
  let version = newest;
  while (version !== undefined && version.main > revision) version = version.previous;
  return version === undefined || isTombstone(version) ? undefined : version;
}
