import { memo } from "../../base/memo.ts";
import { WatchCreateRequest_FilterType as Filter } from "../../proto/generated/etcdserverpb.ts";
import type { Event } from "../../proto/generated/mvccpb.ts";
import { contains, type KeyRange } from "../mvcc/key-index.ts";
import type { Store } from "../mvcc/store.ts";
import { isTombstone, keyValueOf, type Version } from "../mvcc/version.ts";

/**
 * Who hears of which change. A watcher is *synced* while it has everything up to the present: then `publish` hands it
 * each new change. Otherwise it reads on from the store's log (`catchUp`) until it is.
 *
 * Order and gaps: `next` is the revision a watcher needs next. It only grows, and only past revisions whose events were
 * delivered or did not concern it. A batch holds whole revisions.
 */
export interface Watcher {
  readonly id: number;
  readonly range: KeyRange;
  readonly prevKv: boolean;
  readonly filters: readonly number[];
  next: number;
  synced: boolean;
  deliver(events: Event[], revision: number): void; // `revision`: everything up to it is now delivered
  behind(): void; // it was synced and is not any more: it has to be caught up
}

export class WatchHub {
  readonly #store: Store;
  readonly #byKey = new Map<string, Set<Watcher>>();
  readonly #ranges = new Set<Watcher>();
  revision: number; // everything up to here was published
  delivered = 0; // events given to watchers so far

  constructor(store: Store) {
    this.#store = store;
    this.revision = store.revision;
  }

  get syncedCount(): number {
    let count = this.#ranges.size;
    for (const set of this.#byKey.values()) count += set.size;
    return count;
  }

  /** From now on it hears of changes at once. Only for one that has all there is (or waits for a revision to come). */
  sync(watcher: Watcher): void {
    watcher.synced = true;
    if (watcher.range.end !== undefined) {
      this.#ranges.add(watcher);
      return;
    }
    memo(this.#byKey, watcher.range.key, () => new Set()).add(watcher);
  }

  /** It hears no more: cancelled, or too slow to take what comes. */
  unsync(watcher: Watcher): void {
    if (!watcher.synced) return;
    watcher.synced = false;
    // All up to here was delivered or did not concern it: that may be compacted now.
    watcher.next = Math.max(watcher.next, this.revision + 1);
    this.#ranges.delete(watcher);
    const set = this.#byKey.get(watcher.range.key);
    if (set?.delete(watcher) && set.size === 0) this.#byKey.delete(watcher.range.key);
  }

  /** The store was replaced by a later one. What happened between may be compacted there, so that watchers must be told. */
  replaced(): void {
    if (this.revision + 1 >= this.#store.compactRevision) {
      this.publish();
      return;
    }
    const synced = [...this.#ranges, ...[...this.#byKey.values()].flatMap((set) => [...set])];
    for (const watcher of synced) this.unsync(watcher);
    this.revision = this.#store.revision;
    for (const watcher of synced) watcher.behind();
  }

  /** Hands the changes since the last call to all synced watchers. */
  publish(): void {
    if (this.#store.revision === this.revision) return;
    if (this.#ranges.size === 0 && this.#byKey.size === 0) {
      this.revision = this.#store.revision;
      return;
    }
    const changes = this.#store.changesFrom(this.revision + 1, Number.POSITIVE_INFINITY);
    this.revision = this.#store.revision;
    const batches = new Map<Watcher, Event[]>();
    const add = (watcher: Watcher, version: Version, events: ReturnType<typeof eventsOf>) => {
      if (version.main < watcher.next || filtered(watcher, version)) return;
      const batch = batches.get(watcher);
      if (batch) batch.push(events(watcher.prevKv));
      else batches.set(watcher, [events(watcher.prevKv)]);
    };
    for (const version of changes) {
      const events = eventsOf(version, this.#store.compactRevision);
      for (const watcher of this.#byKey.get(version.key) ?? none) add(watcher, version, events);
      for (const watcher of this.#ranges) if (contains(watcher.range, version.key)) add(watcher, version, events);
    }
    for (const [watcher, events] of batches) {
      watcher.next = this.revision + 1;
      this.delivered += events.length;
      watcher.deliver(events, this.revision);
    }
  }

  /** Delivers the next stretch of the log, at most about `limit` changes of it. "compacted": what it needs is gone. */
  catchUp(watcher: Watcher, limit: number): "more" | "done" | "compacted" {
    if (watcher.next < this.#store.compactRevision) return "compacted";
    if (watcher.next > this.revision) return "done";
    // Not beyond what is published: `publish` delivers that.
    const changes = this.#store.changesFrom(watcher.next, limit).filter(({ main }) => main <= this.revision);
    const last = changes.at(-1);
    const reached = changes.length < limit || last === undefined ? this.revision : last.main;
    const events = changes
      .filter((version) => contains(watcher.range, version.key) && !filtered(watcher, version))
      .map((version) => eventOf(version, watcher.prevKv, this.#store.compactRevision));
    watcher.next = reached + 1;
    this.delivered += events.length;
    if (events.length > 0) watcher.deliver(events, this.revision);
    return reached === this.revision ? "done" : "more";
  }
}

const none: readonly Watcher[] = [];

const filtered = ({ filters }: Watcher, version: Version): boolean =>
  filters.length > 0 && filters.includes(isTombstone(version) ? Filter.NODELETE : Filter.NOPUT);

/** One change as an event, made once for all watchers that want it alike. */
function eventsOf(version: Version, compactRevision: number): (prevKv: boolean) => Event {
  const made: Event[] = [];
  return (prevKv) => {
    made[Number(prevKv)] ??= eventOf(version, prevKv, compactRevision);
    return made[Number(prevKv)]!;
  };
}

function eventOf(version: Version, prevKv: boolean, compactRevision: number): Event {
  const previous = prevKv && version.main - 1 >= compactRevision ? before(version) : undefined;
  return {
    type: isTombstone(version) ? 1 : 0,
    kv: keyValueOf(version),
    prevKv: previous && !isTombstone(previous) ? keyValueOf(previous) : undefined,
  };
}

/** What a read at the revision before finds: nested transactions can write a key twice in one revision. */
function before({ main, previous }: Version): Version | undefined {
  let version = previous;
  while (version !== undefined && version.main === main) version = version.previous;
  return version;
}
