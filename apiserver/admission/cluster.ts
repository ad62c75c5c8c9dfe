import type { Resource } from "../../api/resource.ts";
import type { KubernetesObject, ObjectKey, ResourceType } from "../../apimachinery/object.ts";
import { registryRoot, type Storage } from "../storage/storage.ts";
import { encodeValue, type StoredObject } from "../storage/stored-object.ts";
import type { WatchCache } from "../watchcache/watch-cache.ts";

/** What plug-ins may know of the cluster. Objects from the cache are shared: nobody changes them. */
export interface Cluster {
  /** As the cache has it. */
  get<T extends KubernetesObject>(type: ResourceType<T>, key: ObjectKey): T | undefined;
  /** As the cache has them, in the order of their keys. */
  list<T extends KubernetesObject>(type: ResourceType<T>, namespace?: string): T[];
  /** As the store has it: for what may have been written a moment ago. */
  live<T extends KubernetesObject>(type: ResourceType<T>, key: ObjectKey): Promise<T | undefined>;
  /** Writes what was made of a state that `live` gave, if that is still the newest. */
  replace<T extends KubernetesObject>(type: ResourceType<T>, object: T): Promise<boolean>;
  /** All rows that show the same stored objects; of a custom resource those of its other versions. */
  versions(resource: Resource): Resource[];
  /** The row of a kind or resource that is served; undefined for others. */
  resource(wanted: Partial<ResourceType<KubernetesObject>>): Resource | undefined;
}

export function clusterOf(cache: WatchCache, storage: Storage, resources: () => readonly Resource[]): Cluster {
  /** Objects of the cache are immutable, so each is parsed once however many requests look at it. */
  const parsed = new WeakMap<StoredObject, KubernetesObject>();
  const read = (stored: StoredObject): KubernetesObject => {
    let object = parsed.get(stored);
    if (object === undefined) {
      object = stored.parse();
      parsed.set(stored, object);
    }
    return object;
  };
  const resource: Cluster["resource"] = (wanted) => {
    for (const row of resources())
      if (Object.entries(wanted).every(([key, value]) => row[key as keyof Resource] === value)) return row;
    return undefined;
  };
  let prefixes = { of: [] as readonly Resource[], byName: new Map<string, string>() };
  const prefixOf = ({ group, resource: name }: ResourceType<KubernetesObject>): string => {
    const of = resources();
    if (prefixes.of !== of)
      prefixes = { of, byName: new Map(of.map((row) => [`${row.group}/${row.resource}`, row.storagePrefix])) };
    return `${registryRoot}${prefixes.byName.get(`${group}/${name}`) ?? name}/`;
  };
  const keyOf = (type: ResourceType<KubernetesObject>, { namespace, name }: ObjectKey) =>
    `${prefixOf(type)}${type.namespaced ? `${namespace}/` : ""}${name}`;
  return {
    get<T extends KubernetesObject>(type: ResourceType<T>, key: ObjectKey) {
      const stored = cache.resource(prefixOf(type)).objects.get(keyOf(type, key));
      return stored && (read(stored) as T);
    },
    list<T extends KubernetesObject>(type: ResourceType<T>, namespace?: string) {
      const prefix = prefixOf(type);
      const found = cache.resource(prefix).under(namespace === undefined ? prefix : `${prefix}${namespace}/`);
      return Array.from(found, (stored) => read(stored) as T);
    },
    async live<T extends KubernetesObject>(type: ResourceType<T>, key: ObjectKey) {
      return (await storage.get(keyOf(type, key)))?.parse() as T | undefined;
    },
    async replace(type, object) {
      const revision = Number(object.metadata.resourceVersion);
      const write = { key: keyOf(type, object.metadata), revision, value: encodeValue(object) };
      return (await storage.commit([write])).committed;
    },
    resource,
    versions: (stored) =>
      resources().filter((row) =>
        row.custom ? row.storagePrefix === stored.storagePrefix : (row.face?.stored ?? row) === stored,
      ),
  };
}
