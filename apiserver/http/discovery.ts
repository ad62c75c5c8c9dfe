import { availability } from "../../api/apiregistration/api-service.ts";
import type { Resource, Subresource } from "../../api/resource.ts";
import { apiVersionOf } from "../../apimachinery/object.ts";
import { memo } from "../../base/memo.ts";
import { prioritiesOf } from "../aggregation/priorities.ts";
import type { LegacyResource, RemoteApis, RemoteVersion } from "../aggregation/remote-apis.ts";
import type { ResourceTable } from "../resource-table.ts";

/**
 * What the server serves, made from the resource table whenever it has changed: the legacy documents (`/api`, `/apis`, `/api/v1`,
 * `/apis/G/V`) and the aggregated ones (apidiscovery.k8s.io/v2). Groups and versions are in the order of their priorities;
 * what other servers serve is among them.
 */
export interface Discovery {
  /** By path; bodies are JSON. */
  legacy: ReadonlyMap<string, string>;
  aggregated: ReadonlyMap<string, string>;
}

export function discoveryOf(table: ResourceTable, remotes: RemoteApis): () => Discovery {
  let made: { from: readonly Resource[]; remote: readonly RemoteVersion[]; discovery: Discovery } | undefined;
  return () => {
    const { all: from } = table;
    const { versions: remote } = remotes;
    if (made?.from !== from || made.remote !== remote) made = { from, remote, discovery: makeDiscovery(from, remote) };
    return made.discovery;
  };
}

/** A version that we serve, or another server. */
type Served = Resource[] | RemoteVersion;

function makeDiscovery(resources: readonly Resource[], remote: readonly RemoteVersion[]): Discovery {
  const served = new Map<string, Map<string, Served>>();
  for (const resource of resources) {
    const versions = memo(served, resource.group, () => new Map<string, Served>());
    (memo(versions, resource.version, () => []) as Resource[]).push(resource);
  }
  for (const one of remote)
    memo(served, one.service.spec.group, () => new Map<string, Served>()).set(one.service.spec.version, one);
  const groups = inOrder(served);
  const legacy = new Map<string, string>();
  const put = (path: string, body: object) => legacy.set(path, JSON.stringify(body));
  const listed = [...groups].filter(([name]) => name !== "").map(([name, versions]) => apiGroup(name, versions));
  put("/api", { kind: "APIVersions", versions: [...(groups.get("") ?? []).keys()], serverAddressByClientCIDRs: [] });
  put("/apis", { kind: "APIGroupList", apiVersion: "v1", groups: listed });
  for (const group of listed) put(`/apis/${group.name}`, { kind: "APIGroup", apiVersion: "v1", ...group });
  for (const [name, versions] of groups) {
    for (const [version, list] of versions) {
      if (!Array.isArray(list)) continue; // it answers itself
      const groupVersion = apiVersionOf({ group: name, version });
      const path = `${name === "" ? "/api" : "/apis"}/${groupVersion}`;
      put(path, { kind: "APIResourceList", apiVersion: "v1", groupVersion, resources: resourcesOf(list) });
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
            freshness: Array.isArray(list) || isCurrent(list) ? "Current" : "Stale",
            resources: aggregated(resourcesOf(list), { group: name, version }),
          })),
        })),
    });
  const byPath = new Map([
    ["/api", aggregatedOf(true)],
    ["/apis", aggregatedOf(false)],
  ]);
  return { legacy, aggregated: byPath };
}

const resourcesOf = (served: Served): readonly LegacyResource[] =>
  Array.isArray(served) ? served.flatMap(legacyResources) : (served.discovered?.resources ?? []);

/** Groups by the highest of their versions' priorities, versions by their own; of the same priority as they came. */
function inOrder(served: Map<string, Map<string, Served>>): Map<string, Map<string, Served>> {
  const priorities = (group: string, version: string) => {
    const one = served.get(group)!.get(version)!;
    return Array.isArray(one) ? prioritiesOf(group, version) : one.service.spec;
  };
  const ofGroup = (group: string) =>
    Math.max(...[...served.get(group)!.keys()].map((version) => priorities(group, version).groupPriorityMinimum));
  const ofVersion = (group: string, version: string) => priorities(group, version).versionPriority;
  const versionsOf = (group: string) =>
    new Map([...served.get(group)!].sort(([a], [b]) => ofVersion(group, b) - ofVersion(group, a)));
  const names = [...served.keys()].sort((a, b) => ofGroup(b) - ofGroup(a));
  return new Map(names.map((group) => [group, versionsOf(group)]));
}

export const isCurrent = ({ service, discovered }: RemoteVersion) =>
  discovered !== undefined && availability(service)?.status === "True";

/** An APIResourceList as aggregated discovery has it: subresources with their resource. */
function aggregated(all: readonly LegacyResource[], { group, version }: { group: string; version: string }): object[] {
  const made = (one: LegacyResource) => ({
    responseKind: { group: one.group ?? group, version: one.version ?? version, kind: one.kind },
    verbs: [...(one.verbs ?? [])].sort(),
  });
  return all
    .filter(({ name }) => !name.includes("/"))
    .map((one) => {
      const { name, singularName = "", namespaced, shortNames, categories } = one;
      const subresources = all
        .filter((other) => other.name.startsWith(`${name}/`))
        .map((other) => ({ subresource: other.name.slice(name.length + 1), ...made(other) }));
      return {
        resource: name,
        ...made(one),
        scope: namespaced ? "Namespaced" : "Cluster",
        singularResource: singularName,
        ...(shortNames?.length ? { shortNames } : {}),
        ...(categories?.length ? { categories } : {}),
        ...(subresources.length > 0 ? { subresources } : {}),
      };
    });
}

function apiGroup(name: string, versions: Map<string, unknown>) {
  const list = [...versions.keys()].map((version) => ({ groupVersion: `${name}/${version}`, version }));
  return { name, versions: list, preferredVersion: list[0] };
}

function legacyResources(resource: Resource): LegacyResource[] {
  const { resource: name, singular, namespaced, kind, verbs, shortNames, categories } = resource;
  const own = {
    name,
    singularName: singular,
    namespaced,
    kind,
    verbs: [...verbs].sort(),
    ...(shortNames.length > 0 ? { shortNames: [...shortNames] } : {}),
    ...(categories.length > 0 ? { categories: [...categories] } : {}),
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
