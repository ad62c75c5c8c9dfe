import { resources } from "../../api/resources.ts";
import type { KubernetesObject, ResourceType } from "../../apimachinery/object.ts";
import type { Attributes } from "./chain.ts";
import type { Cluster } from "./cluster.ts";

/** A cluster of a few objects, in memory, for tests of plug-ins. */
export function clusterWith(...given: [ResourceType<KubernetesObject>, unknown][]): Cluster {
  const keyOf = (
    { resource }: ResourceType<KubernetesObject>,
    { namespace = "", name }: KubernetesObject["metadata"],
  ) => `${resource}/${namespace}/${name}`;
  const objects = new Map(given.map(([type, object]) => [keyOf(type, (object as KubernetesObject).metadata), object]));
  const get = (type: ResourceType<KubernetesObject>, key: { namespace?: string | undefined; name: string }) =>
    objects.get(keyOf(type, key as KubernetesObject["metadata"])) as never;
  return {
    get,
    list: ({ resource }, namespace) =>
      [...objects]
        .filter(([key]) => key.startsWith(`${resource}/${namespace === undefined ? "" : `${namespace}/`}`))
        .map(([, object]) => object as never),
    live: async (type, key) => structuredClone(get(type, key)),
    async replace(type, object) {
      objects.set(keyOf(type, object.metadata), structuredClone(object));
      return true;
    },
    versions: (resource) => [resource],
    resource: (wanted) => rows.find((row) => Object.entries(wanted).every(([k, v]) => row[k as "kind"] === v)),
  };
}

const rows = resources();

export function attributes(resource: string, object: unknown, more: Partial<Attributes> = {}): Attributes {
  const row = rows.find((r) => r.resource === resource)!;
  return {
    operation: "CREATE",
    resource: row,
    kind: row,
    subresource: "",
    namespace: "ns",
    name: "x",
    user: { name: "u", groups: [] },
    object: object as KubernetesObject,
    oldObject: undefined,
    options: undefined,
    dryRun: false,
    warnings: [],
    auditAnnotations: new Map(),
    ...more,
  };
}
