import { tooLargeResourceVersion } from "../../apimachinery/status.ts";
import { type Cancel, type Clock, systemClock } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import { type EtcdClient, prefixEnd, type Watch, type WatchClosed } from "../../etcd-raft/client/client.ts";
import type { Event, KeyValue } from "../../proto/generated/mvccpb.ts";
import { initializing, statusBytes, tooOldResourceVersion } from "../storage/errors.ts";
import { registryRoot, type Storage } from "../storage/storage.ts";
import type { StoredObject } from "../storage/stored-object.ts";
import { type CacheEvent, ResourceCache } from "./resource-cache.ts";
import { type Scope, Watcher, type WatchSink } from "./watcher.ts";
import { type Narrow, Watchers } from "./watchers.ts";

/**
 * The watch cache: what the store holds, as it will be sent.
 *
 * One list and one watch at the store feed the caches of all resources, so that there is one revision up to which all
 * of them are complete. A consistent read asks the store for its revision (one question for all who wait, DESIGN
 * decision 3) and waits until the cache is there.
 *
 * A broken watch resumes where it was. Only when the store has compacted that revision is everything listed anew, and
 * then every watcher is told 410 Expired: it may have missed something.
 *
 * Custom resources (`/registry/<group with a dot>/<plural>/`) are cached whether they are served yet or not: a new
 * definition is served at once, from the same revision as everything else.
 */
export interface WatchCacheOptions {
  etcd: Pick<EtcdClient, "watch" | "requestProgress">;
  storage: Storage;
  /** `/registry/pods/`, one a resource. */
  prefixes: readonly string[];
  log: Logger;
  clock?: Clock;
  /** Runs `fn` at the end of this turn of the event loop. */
  defer?: (fn: () => void) => void;
}

export class WatchCache {
  readonly #options: WatchCacheOptions;
  readonly #clock: Clock;
  readonly #defer: (fn: () => void) => void;
  readonly #caches = new Map<string, Entry>();
  readonly #waiting = new Set<{ revision: number; done: () => void }>();
  #dirty = new Set<Watcher>();
  #fresh: CacheEvent[] = [];
  #revision = 0;
  #listed = 0;
  #synced = false;
  #watch: Watch | undefined;
  #reading: { started: boolean; revision: Promise<number> } | undefined;
  #stopped = false;

  constructor(options: WatchCacheOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#defer = options.defer ?? setImmediate;
    for (const prefix of options.prefixes) this.#add(prefix);
  }

  /** Everything up to here is in the caches. */
  get revision(): number {
    return this.#revision;
  }

  get synced(): boolean {
    return this.#synced;
  }

  get watcherCount(): number {
    let sum = 0;
    for (const { watchers } of this.#caches.values()) sum += watchers.size;
    return sum;
  }

  /** Lists the store and begins to follow it; resolves when the caches are whole. Goes on until `stop`. */
  async start(): Promise<void> {
    for (;;) {
      try {
        await this.#list();
        return;
      } catch (err) {
        if (this.#stopped) return;
        this.#options.log.warn({ err }, "Listing the store failed, trying again");
        await new Promise<void>((resolve) => this.#clock.after(relistMs, resolve));
      }
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#watch?.cancel();
    for (const { watchers } of this.#caches.values()) for (const watcher of watchers.all()) watcher.end();
  }

  /** Waits a little for the first list of the store; throws 429 when it does not come. */
  async initialized(): Promise<void> {
    if (this.#revision > 0) return;
    await this.atLeast(1).catch(() => {
      throw initializing();
    });
  }

  /** Throws 429 while the first list of the store is not there. */
  resource(prefix: string): ResourceCache {
    if (this.#revision === 0) throw initializing();
    return this.#entry(prefix)!.cache;
  }

  /** Resolves when the cache holds everything written before this call. */
  async consistent(): Promise<void> {
    if (this.#revision === 0) throw initializing();
    await this.atLeast(await this.#currentRevision());
  }

  /** Resolves when the cache has reached `revision`; throws 504 Timeout "Too large resource version" after a while. */
  async atLeast(revision: number): Promise<void> {
    if (revision <= this.#revision && this.#synced) return;
    await new Promise<void>((resolve, reject) => {
      const cancels: Cancel[] = [];
      const waiter = {
        revision,
        done: () => {
          for (const cancel of cancels) cancel();
          resolve();
        },
      };
      this.#waiting.add(waiter);
      // Writes outside our prefix raise the store's revision without an event for us: ask how far the watch is.
      cancels.push(
        this.#clock.after(2, () => this.#options.etcd.requestProgress()),
        this.#clock.every(progressMs, () => this.#options.etcd.requestProgress()),
        this.#clock.after(waitMs, () => {
          for (const cancel of cancels) cancel();
          this.#waiting.delete(waiter);
          reject(tooLargeResourceVersion(revision, this.#revision));
        }),
      );
    });
  }

  /**
   * Sends the events of `scope` after `from`; "now" begins with the present objects as ADDED.
   * Throws 410 Expired when `from` is too old.
   */
  watch(
    prefix: string,
    options: {
      scope: Scope;
      selects: ((object: StoredObject) => boolean) | undefined;
      narrow?: Narrow | undefined;
      from: number | "now";
      sink: WatchSink;
    },
  ): Watcher {
    const cache = this.resource(prefix);
    const { watchers } = this.#entry(prefix)!;
    const { scope, selects, narrow, from, sink } = options;
    const events = from === "now" ? [] : cache.since(from);
    if (events === undefined) throw tooOldResourceVersion(from as number, cache.oldest);
    const watcher = new Watcher(scope, selects, sink, from === "now" ? 0 : from);
    if (from === "now") watcher.initial(cache.under(scope.prefix));
    for (const event of events) watcher.offer(event);
    watchers.add(watcher, narrow);
    watcher.onFinished(() => this.#dirty.delete(watcher));
    watcher.flush();
    return watcher;
  }

  async #list(): Promise<void> {
    const { storage } = this.#options;
    const objects = new Map<string, StoredObject[]>();
    let revision = 0;
    let startAfter: string | undefined;
    do {
      const page = await storage.list(registryRoot, {
        revision,
        limit: pageSize,
        onUnreadable: (key, err) => {
          if (this.#entry(prefixOf(key, this.#caches))) this.#unreadable(key, err);
        },
        ...(startAfter === undefined ? {} : { startAfter }),
      });
      revision = page.revision;
      for (const object of page.objects) {
        const prefix = prefixOf(object.key, this.#caches);
        const list = objects.get(prefix);
        if (list !== undefined) list.push(object);
        else if (this.#entry(prefix)) objects.set(prefix, [object]);
      }
      startAfter = page.remaining > 0 ? page.lastKey : undefined;
    } while (startAfter !== undefined);
    if (this.#stopped) return;
    for (const [prefix, { cache }] of this.#caches) cache.replace(objects.get(prefix) ?? [], revision);
    this.#listed = revision;
    this.#follow(revision);
    this.#synced = true;
    this.#advance(revision);
  }

  #follow(revision: number): void {
    this.#watch = this.#options.etcd.watch(
      { key: registryRoot, rangeEnd: prefixEnd(registryRoot), startRevision: revision + 1 },
      {
        onEvents: (events) => this.#onEvents(events),
        onProgress: (reached) => this.#advance(reached),
        onClosed: (error) => this.#onClosed(error),
      },
    );
  }

  #onEvents(events: readonly Event[]): void {
    if (this.#stopped) return;
    for (const { type, kv } of events) {
      const key = Buffer.from(kv!.key).toString();
      const entry = this.#entry(prefixOf(key, this.#caches));
      if (entry === undefined) continue;
      const event = type === deleteEvent ? entry.cache.delete(key, kv!.modRevision) : this.#put(entry.cache, key, kv!);
      if (event === undefined) continue;
      let wanted = false;
      for (const watcher of entry.watchers.of(event)) {
        if (!watcher.offer(event)) continue;
        this.#markDirty(watcher);
        wanted = true;
      }
      if (wanted) this.#fresh.push(event);
    }
    this.#advance(events.at(-1)!.kv!.modRevision);
  }

  #entry(prefix: string): Entry | undefined {
    return this.#caches.get(prefix) ?? (customPrefix.test(prefix) ? this.#add(prefix) : undefined);
  }

  /** Nothing was there up to now: every list and event has been looked at for such prefixes. */
  #add(prefix: string): Entry {
    const entry = { cache: new ResourceCache(prefix), watchers: new Watchers() };
    entry.cache.replace([], this.#listed);
    this.#caches.set(prefix, entry);
    return entry;
  }

  #put(cache: ResourceCache, key: string, kv: KeyValue): CacheEvent | undefined {
    try {
      return cache.put(this.#options.storage.decode(kv));
    } catch (err) {
      this.#unreadable(key, err);
      return cache.delete(key, kv.modRevision); // what was there is there no more
    }
  }

  /** Somebody wrote rubbish below our prefix by hand: for readers it does not exist. */
  #unreadable(key: string, err: unknown): void {
    this.#options.log.error({ err, key }, "Unreadable value in the store");
  }

  #markDirty(watcher: Watcher): void {
    if (this.#dirty.size === 0) this.#defer(() => this.#flush());
    this.#dirty.add(watcher);
  }

  #flush(): void {
    const dirty = this.#dirty;
    this.#dirty = new Set();
    for (const watcher of dirty) watcher.flush();
    for (const event of this.#fresh) event.dropForms();
    this.#fresh = [];
  }

  #advance(revision: number): void {
    if (revision > this.#revision) this.#revision = revision;
    for (const waiter of this.#waiting) {
      if (waiter.revision > this.#revision || !this.#synced) continue;
      this.#waiting.delete(waiter);
      waiter.done();
    }
  }

  #onClosed(error: WatchClosed): void {
    if (this.#stopped) return;
    this.#options.log.warn({ err: error, revision: this.#revision }, "The watch at the store is lost, listing anew");
    this.#synced = false;
    const status = statusBytes(tooOldResourceVersion(this.#revision, error.compactRevision));
    for (const { watchers } of this.#caches.values()) for (const watcher of watchers.all()) watcher.end(status);
    void this.start();
  }

  /** Readers that come while a read is on its way share the next one: the present one may be older than their call. */
  #currentRevision(): Promise<number> {
    if (this.#reading && !this.#reading.started) return this.#reading.revision;
    const before = this.#reading?.revision.catch(() => 0) ?? Promise.resolve(0);
    const reading: { started: boolean; revision: Promise<number> } = {
      started: false,
      revision: before.then(() => {
        reading.started = true;
        return this.#options.storage.currentRevision();
      }),
    };
    this.#reading = reading;
    const over = () => {
      if (this.#reading === reading) this.#reading = undefined;
    };
    reading.revision.then(over, over);
    return reading.revision;
  }
}

interface Entry {
  cache: ResourceCache;
  watchers: Watchers;
}

const customPrefix = /^\/registry\/[^/]+\.[^/]+\/[^/]+\/$/;

/** `/registry/pods/ns/name` -> `/registry/pods/`; some resources have two parts, as `/registry/services/specs/`. */
export function prefixOf(key: string, known: { has(prefix: string): boolean }): string {
  const first = key.indexOf("/", registryRoot.length) + 1;
  const prefix = key.slice(0, first);
  return known.has(prefix) ? prefix : key.slice(0, key.indexOf("/", first) + 1);
}

const deleteEvent = 1;
const pageSize = 1000;
const relistMs = 500;
/** As upstream's progress requester. */
const progressMs = 100;
/** As upstream's block timeout. */
const waitMs = 3000;
