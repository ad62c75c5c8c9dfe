import type { Resource, Subresource } from "../../api/resource.ts";
import { apiVersionOf } from "../registry/decode.ts";
import type { ResourceTable } from "../resource-table.ts";

/**
 * What the server serves, made from the resource table whenever it has changed: the legacy documents (`/api`, `/apis`, `/api/v1`,
 * `/apis/G/V`) and the aggregated ones (apidiscovery.k8s.io/v2). The order of groups is the order of preference.
 */
export interface Discovery {
  /** By path; bodies are JSON. */
  legacy: ReadonlyMap<string, string>;
  aggregated: ReadonlyMap<string, string>;
}

export class DiscoveryDocuments {
  readonly #table: ResourceTable;
  #made: { from: readonly Resource[]; discovery: Discovery } | undefined;

  constructor(table: ResourceTable) {
    this.#table = table;
  }

  get current(): Discovery {
    const { all } = this.#table;
    if (this.#made?.from !== all) this.#made = { from: all, discovery: makeDiscovery(all) };
    return this.#made.discovery;
  }
}

export function makeDiscovery(resources: readonly Resource[]): Discovery {
  const groups = new Map<string, Map<string, Resource[]>>();
  for (const resource of resources) {
    const versions = entry(groups, resource.group, () => new Map<string, Resource[]>());
    entry(versions, resource.version, () => []).push(resource);
  }
  const legacy = new Map<string, string>();
  const put = (path: string, body: object) => legacy.set(path, JSON.stringify(body));
  const listed = [...groups].filter(([name]) => name !== "").map(([name, versions]) => apiGroup(name, versions));
  put("/api", { kind: "APIVersions", versions: [...(groups.get("") ?? []).keys()], serverAddressByClientCIDRs: [] });
  put("/apis", { kind: "APIGroupList", apiVersion: "v1", groups: listed });
  for (const group of listed) put(`/apis/${group.name}`, { kind: "APIGroup", apiVersion: "v1", ...group });
  for (const [name, versions] of groups) {
    for (const [version, list] of versions) {
      const groupVersion = name === "" ? version : `${name}/${version}`;
      const body = {
        kind: "APIResourceList",
        apiVersion: "v1",
        groupVersion,
        resources: list.flatMap(legacyResources),
      };
      put(name === "" ? `/api/${version}` : `/apis/${groupVersion}`, body);
    }
  }
  const aggregatedOf = (core: boolean) =>
    JSON.stringify({
      kind: "APIGroupDiscoveryList",
      apiVersion: "apidiscovery.k8s.io/v2",
      metadata: {},
      items: [...groups]
        .filter(([name]) => (name === "") === core)
        .map(([name, versions]) => ({
          metadata: { name, creationTimestamp: null },
          versions: [...versions].map(([version, list]) => ({
            version,
            freshness: "Current",
            resources: list.map(aggregatedResource),
          })),
        })),
    });
  const aggregated = new Map([
    ["/api", aggregatedOf(true)],
    ["/apis", aggregatedOf(false)],
  ]);
  return { legacy, aggregated };
}

function apiGroup(name: string, versions: Map<string, unknown>) {
  const list = [...versions.keys()].map((version) => ({ groupVersion: `${name}/${version}`, version }));
  return { name, versions: list, preferredVersion: list[0] };
}

function legacyResources(resource: Resource): object[] {
  const { resource: name, singular, namespaced, kind, verbs, shortNames, categories } = resource;
  const own = {
    name,
    singularName: singular,
    namespaced,
    kind,
    verbs: [...verbs].sort(),
    ...(shortNames.length > 0 ? { shortNames } : {}),
    ...(categories.length > 0 ? { categories } : {}),
  };
  const foreign = (subresource: Subresource) =>
    apiVersionOf(subresource.kind) === apiVersionOf(resource)
      ? {}
      : { group: subresource.kind.group, version: subresource.kind.version };
  const others = resource.subresources.map((subresource) => ({
    name: `${name}/${subresource.name}`,
    singularName: "",
    namespaced,
    ...foreign(subresource),
    kind: subresource.kind.kind,
    verbs: [...subresource.verbs].sort(),
  }));
  return [own, ...others];
}

function aggregatedResource({
  resource,
  group,
  version,
  kind,
  namespaced,
  singular,
  verbs,
  ...rest
}: Resource): object {
  return {
    resource,
    responseKind: { group, version, kind },
    scope: namespaced ? "Namespaced" : "Cluster",
    singularResource: singular,
    verbs: [...verbs].sort(),
    ...(rest.shortNames.length > 0 ? { shortNames: rest.shortNames } : {}),
    ...(rest.categories.length > 0 ? { categories: rest.categories } : {}),
    ...(rest.subresources.length > 0
      ? {
          subresources: rest.subresources.map(({ name, kind: responseKind, verbs: own }) => ({
            subresource: name,
            responseKind,
            verbs: [...own].sort(),
          })),
        }
      : {}),
  };
}

function entry<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
