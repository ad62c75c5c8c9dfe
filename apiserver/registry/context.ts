import type { Resource } from "../../api/resource.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { notFound } from "../../apimachinery/status.ts";
import type { Clock } from "../../base/clock.ts";
import type { Faults } from "../../base/faults.ts";
import type { Rand } from "../../base/rand.ts";
import type { Admission } from "../admission/chain.ts";
import type { ApiRequest, Target } from "../request.ts";
import { registryRoot, type Storage } from "../storage/storage.ts";
import type { StoredObject } from "../storage/stored-object.ts";
import type { WatchCache } from "../watchcache/watch-cache.ts";
import type { WatchTimes } from "../watchcache/watch-times.ts";
import type { KeyLocks } from "./modify.ts";
import type { ServiceRanges } from "./services/ranges.ts";

/** What the registry's verbs work with. */
export interface Context {
  storage: Storage;
  cache: WatchCache;
  admission: Admission;
  /** What is answered without being stored, by GROUP/RESOURCE[/SUBRESOURCE]. */
  makers: ReadonlyMap<string, Maker>;
  ranges: ServiceRanges;
  locks: KeyLocks;
  /** Of the store, for an Event that is written now. */
  eventLease: () => Promise<bigint>;
  /** Watches that name no time end after once or twice this. */
  minRequestTimeoutMs: number;
  /** Proxied requests may go to the loopback, too. */
  allowLoopbackEndpoints?: boolean | undefined;
  watchTimes: WatchTimes;
  /** Of what is dialled. */
  faults?: Faults | undefined;
  clock: Clock;
  rand: Rand;
}

/** What a verb is about: one object, one of its parts, or a list of them. */
export interface Place {
  context: Context;
  resource: Resource;
  target: Target;
}

/** Answers the POST of an object: a review, a TokenRequest. The object is the maker's to fill. */
export type Maker = (object: KubernetesObject, request: ApiRequest) => KubernetesObject | Promise<KubernetesObject>;

/** `/registry/pods/` */
export function prefixOfResource({ storagePrefix }: Resource): string {
  return `${registryRoot}${storagePrefix}/`;
}

/** `/registry/pods/default/`; of all namespaces without one. */
export function prefixOfList(resource: Resource, namespace: string): string {
  const prefix = prefixOfResource(resource);
  return resource.namespaced && namespace !== "" ? `${prefix}${namespace}/` : prefix;
}

export function keyOf(resource: Resource, { namespace, name }: Pick<Target, "namespace" | "name">): string {
  const prefix = prefixOfResource(resource);
  return resource.namespaced ? `${prefix}${namespace}/${name}` : `${prefix}${name}`;
}

/** The newest state, from the store. Throws 404. */
export async function live({ context, resource, target }: Place): Promise<StoredObject> {
  const stored = await context.storage.get(keyOf(resource, target));
  if (stored === undefined) throw notFound(resource, target.name);
  return stored;
}

export const withoutRevision = (object: KubernetesObject): KubernetesObject => {
  const { resourceVersion: _, ...metadata } = object.metadata;
  return { ...object, metadata };
};
