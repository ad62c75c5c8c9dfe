import type { KubernetesObject, ObjectKey, ResourceType } from "../../apimachinery/object.ts";
import {
  alreadyExists,
  conflict,
  expired,
  forbidden,
  notFound,
  serviceUnavailable,
} from "../../apimachinery/status.ts";
import type { Clock } from "../../base/clock.ts";
import type {
  CallOptions,
  Client,
  DeleteOptions,
  ListOptions,
  ListResult,
  PatchType,
  WatchEvent,
  WatchOptions,
  WriteOptions,
} from "../types.ts";

/**
 * The API in memory, for tests: revisions, watches from any revision, optimistic locking, finalizers, preconditions,
 * status as a subresource. What it has no part of: defaults, validation, admission; patches are merge patches, and the
 * only field selectors are on metadata.
 */
export class MemoryApi implements Client {
  revision = 0;
  readonly #clock: Clock;
  readonly #objects = new Map<string, KubernetesObject>();
  #history: { revision: number; resource: string; event: WatchEvent<KubernetesObject> }[] = [];
  #oldest = 0;
  #uids = 0;
  readonly #watchers = new Set<() => void>();
  #generation = 0;
  #down = false;
  /** Every write, for assertions: `create pods`, `delete pods`, ... */
  readonly writes: string[] = [];
  /** What is gone, in order: `<group>/<resource>/<namespace>/<name>`. */
  readonly deletions: string[] = [];

  /** What versions of groups have beside that; undefined: nobody answers for it. */
  readonly lists = new Map<string, object[] | undefined>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Ends every watch, as a restarted server does. */
  disconnect(): void {
    this.#generation++;
    this.#wake();
  }

  /** Until called with false, every call fails as one to a dead server. */
  goDown(down: boolean): void {
    this.#down = down;
    this.disconnect();
  }

  /** Forgets history: watches from earlier revisions get 410. */
  compact(): void {
    this.#oldest = this.revision;
    this.#history = [];
  }

  async get<T extends KubernetesObject>(type: ResourceType<T>, key: ObjectKey): Promise<T> {
    this.#check();
    if (type.resource !== "") return structuredClone(this.#find(type, key));
    const resources = this.lists.get(`${type.group}/${type.version}`);
    if (resources === undefined) throw serviceUnavailable("service unavailable");
    return { metadata: {}, resources } as unknown as T;
  }

  async list<T extends KubernetesObject>(type: ResourceType<T>, options: ListOptions = {}): Promise<ListResult<T>> {
    this.#check();
    const prefix = `${resourceOf(type)}/`;
    const items = [...this.#objects]
      .filter(([path, object]) => path.startsWith(prefix) && selected(object, options))
      .map(([, object]) => structuredClone(object) as T);
    return { resourceVersion: String(this.revision), items };
  }

  async *watch<T extends KubernetesObject>(
    type: ResourceType<T>,
    options: WatchOptions,
  ): AsyncGenerator<WatchEvent<T>[]> {
    this.#check();
    let at = Number(options.resourceVersion);
    const generation = this.#generation;
    while (!options.signal?.aborted && generation === this.#generation) {
      if (at < this.#oldest) throw expired(`too old resource version: ${at} (${this.#oldest})`);
      const events = this.#history.filter(
        ({ revision, resource, event }) =>
          revision > at &&
          resource === resourceOf(type) &&
          (event.type === "BOOKMARK" || selected(event.object, options)),
      );
      at = this.revision;
      if (events.length > 0) yield events.map(({ event }) => structuredClone(event) as WatchEvent<T>);
      else await this.#change(options.signal);
    }
  }

  async create<T extends KubernetesObject>(type: ResourceType<T>, object: T): Promise<T> {
    this.#check();
    const { generateName, ...metadata } = object.metadata;
    const name = metadata.name || `${generateName}${(this.revision + 1).toString(36).padStart(5, "b")}`;
    const path = pathOf(type, { ...metadata, name });
    if (this.#objects.has(path)) throw alreadyExists(type, name);
    if (object.metadata.namespace) this.#refuseIfTerminating(type, object.metadata.namespace, name);
    const created = structuredClone(object);
    created.metadata = {
      ...structuredClone(object.metadata),
      name,
      uid: `uid-${++this.#uids}`,
      creationTimestamp: this.#timestamp(),
      generation: 1,
    };
    this.writes.push(`create ${type.resource}`);
    return this.#put(type, path, created, "ADDED");
  }

  async update<T extends KubernetesObject>(type: ResourceType<T>, object: T, options: WriteOptions = {}): Promise<T> {
    this.#check();
    return this.#replace(type, object.metadata, structuredClone(object), options.subresource);
  }

  async patch<T extends KubernetesObject>(
    type: ResourceType<T>,
    key: ObjectKey,
    patch: { type: PatchType; body: unknown },
    options: WriteOptions = {},
  ): Promise<T> {
    this.#check();
    const patched = merge(structuredClone(this.#find(type, key)), patch.body) as T;
    return this.#replace(type, key, patched, options.subresource);
  }

  async delete<T extends KubernetesObject>(
    type: ResourceType<T>,
    key: ObjectKey,
    options: DeleteOptions = {},
  ): Promise<void> {
    this.#check();
    const path = pathOf(type, key);
    const old = this.#find(type, key);
    const { uid, resourceVersion } = options.preconditions ?? {};
    if ((uid ?? old.metadata.uid) !== old.metadata.uid) throw conflict(type, key.name, "Precondition failed: UID");
    if ((resourceVersion ?? old.metadata.resourceVersion) !== old.metadata.resourceVersion)
      throw conflict(type, key.name, "Precondition failed: ResourceVersion");
    this.writes.push(`delete ${type.resource}`);
    const finalizers = [...(old.metadata.finalizers ?? [])];
    if (options.propagationPolicy === "Foreground") finalizers.push("foregroundDeletion");
    if (options.propagationPolicy === "Orphan") finalizers.push("orphan");
    const graceful = type.resource === "pods" && (options.gracePeriodSeconds ?? 30) > 0 && isBound(old);
    if (finalizers.length > 0 || graceful || !isFree(old as unknown as Loose)) {
      if (old.metadata.deletionTimestamp !== undefined) return;
      const deletionGracePeriodSeconds = graceful ? (options.gracePeriodSeconds ?? 30) : 0;
      const deletionTimestamp = this.#timestamp(deletionGracePeriodSeconds);
      const metadata = { ...old.metadata, deletionTimestamp, deletionGracePeriodSeconds };
      this.#put(
        type,
        path,
        { ...old, metadata: finalizers.length > 0 ? { ...metadata, finalizers } : metadata },
        "MODIFIED",
      );
    } else {
      this.#put(type, path, old, "DELETED");
    }
  }

  async createSubresource<T extends KubernetesObject>(
    type: ResourceType<T>,
    key: ObjectKey,
    subresource: string,
    body: unknown,
    _options?: CallOptions,
  ): Promise<void> {
    this.#check();
    if (subresource !== "binding") throw notFound(type, key.name);
    const pod = structuredClone(this.#find(type, key)) as unknown as KubernetesObject & { spec: { nodeName?: string } };
    if (pod.spec.nodeName)
      throw conflict(type, key.name, `pod ${key.name} is already assigned to node "${pod.spec.nodeName}"`);
    pod.spec.nodeName = (body as { target: { name: string } }).target.name;
    this.writes.push(`bind ${type.resource}`);
    this.#put(type as ResourceType<KubernetesObject>, pathOf(type, key), pod, "MODIFIED");
  }

  #replace<T extends KubernetesObject>(type: ResourceType<T>, key: ObjectKey, next: T, subresource?: string): T {
    const path = pathOf(type, key);
    const old = this.#find(type, key);
    const { resourceVersion } = next.metadata;
    if (resourceVersion !== undefined && resourceVersion !== old.metadata.resourceVersion)
      throw conflict(
        type,
        key.name,
        "the object has been modified; please apply your changes to the latest version and try again",
      );
    const result = { ...(subresource ? old : next) } as unknown as Loose;
    if (subresource === "status") result["status"] = (next as unknown as Loose)["status"];
    else if (!subresource && "status" in old) result["status"] = (old as unknown as Loose)["status"];
    if (subresource === "finalize") result["spec"] = (next as unknown as Loose)["spec"];
    const { uid, creationTimestamp, generation, deletionTimestamp } = old.metadata;
    const specChanged = JSON.stringify((old as unknown as Loose)["spec"]) !== JSON.stringify(result["spec"]);
    result.metadata = {
      ...(subresource ? old.metadata : next.metadata),
      uid: uid!,
      creationTimestamp: creationTimestamp!,
      generation: generation! + (specChanged ? 1 : 0),
      ...(deletionTimestamp !== undefined && { deletionTimestamp }),
    };
    this.writes.push(`update ${type.resource}${subresource ? `/${subresource}` : ""}`);
    const gone = deletionTimestamp !== undefined && isFree(result) && type.resource !== "pods";
    return this.#put(type, path, result as unknown as T, gone ? "DELETED" : "MODIFIED");
  }

  #put<T extends KubernetesObject>(
    type: ResourceType<T>,
    path: string,
    object: T,
    event: "ADDED" | "MODIFIED" | "DELETED",
  ): T {
    const revision = ++this.revision;
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } };
    if (event === "DELETED") {
      this.#objects.delete(path);
      this.deletions.push(path);
    } else this.#objects.set(path, stored);
    this.#history.push({ revision, resource: resourceOf(type), event: { type: event, object: stored } });
    this.#wake();
    return structuredClone(stored);
  }

  #find<T extends KubernetesObject>(type: ResourceType<T>, key: ObjectKey): T {
    const object = this.#objects.get(pathOf(type, key));
    if (object === undefined) throw notFound(type, key.name);
    return object as T;
  }

  #refuseIfTerminating(type: ResourceType<KubernetesObject>, namespace: string, name: string): void {
    if (this.#objects.get(`/namespaces//${namespace}`)?.metadata.deletionTimestamp === undefined) return;
    const error = forbidden(
      type,
      name,
      `unable to create new content in namespace ${namespace} because it is being terminated`,
    );
    error.status.details!.causes = [{ reason: "NamespaceTerminating" }];
    throw error;
  }

  #check(): void {
    if (this.#down) throw serviceUnavailable("connection refused");
  }

  #timestamp(laterSeconds = 0): string {
    return new Date(this.#clock.now() + laterSeconds * 1000).toISOString().replace(/\.\d+Z$/, "Z");
  }

  #change(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        this.#watchers.delete(wake);
        signal?.removeEventListener("abort", wake);
        resolve();
      };
      this.#watchers.add(wake);
      signal?.addEventListener("abort", wake);
    });
  }

  #wake(): void {
    for (const wake of [...this.#watchers]) wake();
  }
}

type Loose = KubernetesObject & Record<string, unknown>;

function resourceOf({ group, resource }: ResourceType<KubernetesObject>): string {
  return `${group}/${resource}`;
}

function pathOf(type: ResourceType<KubernetesObject>, { namespace, name }: ObjectKey): string {
  return `${resourceOf(type)}/${type.namespaced ? (namespace ?? "") : ""}/${name}`;
}

function isBound(object: KubernetesObject): boolean {
  return Boolean((object as KubernetesObject & { spec?: { nodeName?: string } }).spec?.nodeName);
}

function isFree(object: Loose): boolean {
  const spec = object["spec"] as { finalizers?: string[] } | undefined;
  return !object.metadata.finalizers?.length && !spec?.finalizers?.length;
}

function selected({ metadata }: KubernetesObject, { namespace, labelSelector, fieldSelector }: ListOptions): boolean {
  if (namespace && metadata.namespace !== namespace) return false;
  const labels = (labelSelector ?? "").split(",").filter(Boolean);
  if (!labels.every((term) => metadata.labels?.[term.split("=")[0]!] === term.split("=")[1])) return false;
  return fieldSelector === undefined || fieldSelector === `metadata.name=${metadata.name}`;
}

function merge(target: unknown, patch: unknown): unknown {
  if (typeof patch !== "object" || patch === null || Array.isArray(patch)) return patch;
  const result: Record<string, unknown> =
    typeof target === "object" && target !== null && !Array.isArray(target) ? (target as Record<string, unknown>) : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = merge(result[key], value);
  }
  return result;
}
