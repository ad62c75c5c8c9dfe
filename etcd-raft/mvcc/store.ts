import { assert } from "../../base/assert.ts";
import { etcdError } from "../errors.ts";
import { KeyIndex, type KeyRange } from "./key-index.ts";
import { noSlab, Slabs } from "./slabs.ts";
import { isTombstone, type Version, valueBytes } from "./version.ts";

/**
 * The multi-version key space. Synchronous and deterministic: the same writes give the same revisions, versions and
 * hash on every member.
 *
 * - An empty store has revision 1. A write transaction with at least one change makes the next revision; its changes
 *   are numbered 0, 1, 2... (sub-revision). One without changes makes none.
 * - Every revision from `compactRevision` on can be read. Compaction takes what is superseded at its revision, a slice
 *   at a time, and is never visible to a read that is still allowed.
 * - `log` holds the changes of those revisions in order: what watchers catch up from.
 */
export class Store {
  revision = 1;
  compactRevision = -1;
  /** A compaction is scheduled and not finished: see `compactStep`. */
  compactPending = false;
  readonly index = new KeyIndex();
  readonly slabs = new Slabs();
  readonly #leases: KeyLeases;
  /** Ascending (main, sub); entries before #logStart are compacted and about to go. */
  #log: Version[] = [];
  #logStart = 0;
  #compactedUpTo = 0; // place in #log up to which the scheduled compaction has come
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
    this.#sweepFrom = undefined; // comes after the log
  }

  /** Works on the scheduled compaction for at most `limit` changes or keys; true while there is more to do. */
  compactStep(limit: number): boolean {
    this.compactPending = this.#sweepFrom !== undefined ? this.#sweep(limit) : this.#compactLog(limit);
    return this.compactPending;
  }

  #compactLog(limit: number): boolean {
    const log = this.#log;
    const end = Math.min(this.#compactedUpTo + limit, log.length);
    let place = this.#compactedUpTo;
    for (; place < end && log[place]!.main <= this.compactRevision; place++) {
      const version = log[place]!;
      // Oldest first, so nothing can hang behind `previous` any more.
      if (version.previous) this.slabs.release(version.previous.slab, version.previous.length);
      version.previous = undefined;
      if (version.main === this.compactRevision) continue; // a watch may still start here
      this.#logStart = place + 1;
      if (isTombstone(version) && this.index.get(version.key)?.newest === version) this.index.remove(version.key);
    }
    this.#compactedUpTo = place;
    if (place === end && place < log.length && log[place]!.main <= this.compactRevision) return true;
    this.#trimLog();
    if (!this.slabs.isWasteful) return false;
    this.#sweepFrom = "";
    return true;
  }

  /** Every version that is not superseded at the compact revision, up to `revision`, ascending. */
  versionsUpTo(revision: number): Version[] {
    const versions: Version[] = [];
    this.index.forEach({ key: "", end: null }, ({ newest }) => {
      for (let version: Version | undefined = newest; version; version = version.previous) {
        if (version.main <= revision) versions.push(version);
        if (version.main <= this.compactRevision) break;
      }
    });
    return versions.sort((a, b) => a.main - b.main || a.sub - b.sub);
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
