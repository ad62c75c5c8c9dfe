import type { KubernetesObject, ObjectKey, ResourceType } from "../apimachinery/object.ts";
import type { Clock } from "../base/clock.ts";
import type { Logger } from "../base/logger.ts";

/**
 * The seam between the API and everyone who uses it: controllers, scheduler, node agent, proxy. Two transports fill
 * `Client` (gRPC for our own components, REST), and callers do not see which.
 */
export interface CallOptions {
  signal?: AbortSignal | undefined;
  timeoutMs?: number | undefined; // milliseconds; 10 s without it
}

export interface ListOptions extends CallOptions {
  namespace?: string | undefined;
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
  resourceVersion?: string; // unset: linearizable. "0": whatever the apiserver's cache holds.
}

export type ListResult<T> = { resourceVersion: string; items: T[] };

export interface WatchOptions extends Omit<ListOptions, "timeoutMs"> {
  resourceVersion: string;
}

export type WatchEvent<T> =
  | { type: "ADDED" | "MODIFIED" | "DELETED"; object: T }
  | { type: "BOOKMARK"; resourceVersion: string };

export type PatchType = "json" | "merge" | "strategic";

export interface WriteOptions extends CallOptions {
  subresource?: string;
  fieldManager?: string;
}

export interface DeleteOptions extends CallOptions {
  gracePeriodSeconds?: number;
  propagationPolicy?: "Background" | "Foreground" | "Orphan";
  preconditions?: { uid?: string; resourceVersion?: string };
}

/**
 * All verbs throw `StatusError` (apimachinery/status.ts) with the server's Status; a server that cannot be reached is a
 * StatusError 503 ServiceUnavailable. A watch ends quietly when the server ends it or `signal` aborts, and throws
 * StatusError 410 Expired when its resourceVersion is gone.
 */
export interface Client {
  get<T extends KubernetesObject>(type: ResourceType<T>, key: ObjectKey, options?: CallOptions): Promise<T>;
  list<T extends KubernetesObject>(type: ResourceType<T>, options?: ListOptions): Promise<ListResult<T>>;
  watch<T extends KubernetesObject>(type: ResourceType<T>, options: WatchOptions): AsyncIterable<WatchEvent<T>[]>;
  create<T extends KubernetesObject>(type: ResourceType<T>, object: T, options?: WriteOptions): Promise<T>;
  update<T extends KubernetesObject>(type: ResourceType<T>, object: T, options?: WriteOptions): Promise<T>;
  patch<T extends KubernetesObject>(
    type: ResourceType<T>,
    key: ObjectKey,
    patch: { type: PatchType; body: unknown },
    options?: WriteOptions,
  ): Promise<T>;
  delete<T extends KubernetesObject>(type: ResourceType<T>, key: ObjectKey, options?: DeleteOptions): Promise<void>;
  /** POST to a subresource with an object of another kind: `pods/binding`, `serviceaccounts/token`. Gives the answer. */
  createSubresource<T extends KubernetesObject>(
    type: ResourceType<T>,
    key: ObjectKey,
    subresource: string,
    body: unknown,
    options?: CallOptions,
  ): Promise<unknown>;
}

/** What most of what uses the API is made from. */
export type Parts = { client: Client; clock: Clock; log: Logger };
