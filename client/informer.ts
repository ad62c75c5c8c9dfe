import type { KubernetesObject, ResourceType } from "../apimachinery/object.ts";
import { isExpired, StatusError } from "../apimachinery/status.ts";
import { type Clock, sleep } from "../base/clock.ts";
import type { Logger } from "../base/logger.ts";
import { type Rand, systemRand } from "../base/rand.ts";
import { Backoff } from "./backoff.ts";
import { keyOf, type ReadStore, Store } from "./store.ts";
import type { Client, ListOptions, WatchEvent } from "./types.ts";

export interface InformerOptions extends Pick<ListOptions, "namespace" | "labelSelector" | "fieldSelector"> {
  clock: Clock;
  log: Logger;
  rand?: Rand;
}

/** Told of each change after the store shows it. Must not throw: a throw ends the process. */
export interface Handlers<T> {
  onAdd?(object: T): void;
  onUpdate?(old: T, object: T): void;
  /** The last state known; when the deletion was seen by a relist only, that may be an older one. */
  onDelete?(object: T): void;
}

/**
 * A local copy of one resource: one list, then a watch, for as long as `run` runs (client-go's reflector and shared
 * informer in one).
 *
 * - `synced` resolves after the first list; the store then never lags behind the state of that moment.
 * - A watch that breaks resumes after the last event or bookmark seen. When the server no longer has that revision
 *   (410), a new list is compared with the store and the differences are told: no change is lost, though several
 *   changes of one object may be told as one.
 * - Lists are linearizable and events older than what is known are dropped, so no object ever goes back in time.
 */
export class Informer<T extends KubernetesObject> {
  readonly type: ResourceType<T>;
  readonly synced: Promise<void>;
  #resolveSynced!: () => void;
  #hasSynced = false;
  readonly #client: Client;
  readonly #options: InformerOptions;
  readonly #selection: Pick<ListOptions, "namespace" | "labelSelector" | "fieldSelector">;
  readonly #store = new Store<T>();
  readonly #handlers: Handlers<T>[] = [];
  readonly #backoff: Backoff;
  #resourceVersion: string | undefined;

  constructor(client: Client, type: ResourceType<T>, options: InformerOptions) {
    this.type = type;
    this.#client = client;
    this.#options = options;
    const { namespace, labelSelector, fieldSelector } = options;
    this.#selection = { namespace, labelSelector, fieldSelector };
    this.#backoff = new Backoff(options.rand ?? systemRand);
    this.synced = new Promise((resolve) => {
      this.#resolveSynced = resolve;
    });
  }

  get store(): ReadStore<T> {
    return this.#store;
  }

  get hasSynced(): boolean {
    return this.#hasSynced;
  }

  /** Everything up to this revision is in the store; "0" before the first list. */
  get resourceVersion(): string {
    return this.#resourceVersion ?? "0";
  }

  /**
   * Objects already in the store are told to the new handler as added. A function is told what was added, changed or
   * deleted, as it is last known.
   */
  on(handlers: Handlers<T> | ((object: T) => void)): void {
    if (typeof handlers === "function")
      return this.on({ onAdd: handlers, onUpdate: (_, object) => handlers(object), onDelete: handlers });
    this.#handlers.push(handlers);
    for (const object of this.#store.list()) handlers.onAdd?.(object);
  }

  /** Returns when `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    while (!signal.aborted) {
      try {
        if (this.#resourceVersion === undefined) await this.#list(signal);
        else await this.#watch(signal);
      } catch (err) {
        if (signal.aborted) return;
        if (!(err instanceof StatusError)) throw err;
        if (isExpired(err)) {
          this.#resourceVersion = undefined;
          log.info({ resource: this.type.resource }, "Watch expired, listing again");
          continue;
        }
        const waitMs = this.#backoff.nextMs();
        log.debug({ resource: this.type.resource, err, waitMs }, "List or watch failed, trying again");
        await sleep(clock, waitMs, signal);
      }
    }
  }

  async #list(signal: AbortSignal): Promise<void> {
    const { resourceVersion, items } = await this.#client.list(this.type, { ...this.#selection, signal });
    const keys = new Set<string>();
    for (const item of items) {
      keys.add(keyOf(item));
      this.#upsert(item);
    }
    for (const key of this.#store.keys()) if (!keys.has(key)) this.#remove(key, this.#store.get(key)!);
    this.#resourceVersion = resourceVersion;
    this.#backoff.reset();
    this.#hasSynced = true;
    this.#resolveSynced();
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const startedAt = clock.monotonic();
    const from = { ...this.#selection, resourceVersion: this.#resourceVersion!, signal };
    for await (const events of this.#client.watch(this.type, from)) {
      for (const event of events) this.#apply(event);
      this.#backoff.reset();
    }
    // The server ended it. One that does so at once would otherwise be asked again and again without a pause.
    if (!signal.aborted && clock.monotonic() - startedAt < 1000) await sleep(clock, this.#backoff.nextMs(), signal);
  }

  #apply(event: WatchEvent<T>): void {
    const known = Number(this.#resourceVersion);
    if (event.type === "BOOKMARK") {
      if (Number(event.resourceVersion) > known) this.#resourceVersion = event.resourceVersion;
      return;
    }
    const { object } = event;
    const resourceVersion = object.metadata.resourceVersion!;
    if (Number(resourceVersion) < known) return;
    this.#resourceVersion = resourceVersion; // before the handlers run: they may compare with it
    if (event.type === "DELETED") this.#remove(keyOf(object), object);
    else this.#upsert(object);
  }

  #upsert(object: T): void {
    const key = keyOf(object);
    const old = this.#store.get(key);
    if (old !== undefined && old.metadata.uid !== object.metadata.uid) {
      // Deleted and made anew while nobody looked: two objects, so two events.
      this.#remove(key, old);
      this.#upsert(object);
      return;
    }
    if (old !== undefined && !isNewer(object, old)) return;
    this.#store.set(key, object);
    for (const handler of this.#handlers) {
      if (old === undefined) handler.onAdd?.(object);
      else handler.onUpdate?.(old, object);
    }
  }

  #remove(key: string, last: T): void {
    const old = this.#store.get(key);
    if (old === undefined || isNewer(old, last)) return;
    this.#store.delete(key);
    for (const handler of this.#handlers) handler.onDelete?.(last);
  }
}

const isNewer = (a: KubernetesObject, b: KubernetesObject): boolean =>
  Number(a.metadata.resourceVersion) > Number(b.metadata.resourceVersion);
