import type { Service } from "../api/generated/core-v1.ts";
import type { EndpointSlice } from "../api/generated/discovery-v1.ts";

/**
 * What the proxy should listen on, decided from one Service and its EndpointSlices. Pure.
 *
 * One route per Service port and address: `ClusterIP:port` and NodePort. A port without endpoints has no route, so its
 * listener is closed and the kernel refuses (upstream rejects such connections too).
 */
export interface Route {
  /** Unique among all routes of all Services: the address to listen on. */
  id: string;
  at: { type: "ClusterIP"; host: string; port: number } | { type: "NodePort"; port: number };
  service: { namespace: string; name: string; uid: string; port: string };
  /** Never empty. */
  endpoints: Endpoint[];
  /** Session affinity by client address: how long an idle client keeps its endpoint. */
  affinityMs: number | undefined;
}

export interface Endpoint {
  ip: string;
  port: number;
}

export function routesOf(service: Service, slices: readonly EndpointSlice[], nodeName: string): Route[] {
  const { spec } = service;
  const { namespace = "", name, uid = "" } = service.metadata;
  if (spec === undefined || spec.type === "ExternalName" || !isOurs(service)) return [];
  const clusterIPs = (spec.clusterIPs ?? [spec.clusterIP ?? ""]).filter((ip) => ip !== "" && ip !== "None");
  const affinitySeconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800;
  const affinityMs = spec.sessionAffinity === "ClientIP" ? affinitySeconds * 1000 : undefined;
  const routes: Route[] = [];
  for (const port of spec.ports ?? []) {
    if ((port.protocol ?? "TCP") !== "TCP") continue;
    const add = (at: Route["at"], id: string, endpoints: Endpoint[]) => {
      if (endpoints.length === 0) return;
      routes.push({ id, at, service: { namespace, name, uid, port: port.name ?? "" }, endpoints, affinityMs });
    };
    const select = (family: "IPv4" | "IPv6", local: boolean) =>
      endpointsOf(slices, port.name ?? "", family, local ? nodeName : undefined);
    for (const ip of clusterIPs) {
      const endpoints = select(ip.includes(":") ? "IPv6" : "IPv4", spec.internalTrafficPolicy === "Local");
      add({ type: "ClusterIP", host: ip, port: port.port }, `${ip}:${port.port}`, endpoints);
    }
    if (port.nodePort && (spec.type === "NodePort" || spec.type === "LoadBalancer")) {
      const endpoints = select("IPv4", spec.externalTrafficPolicy === "Local");
      add({ type: "NodePort", port: port.nodePort }, `NodePort:${port.nodePort}`, endpoints);
    }
  }
  return routes;
}

/** What to do with the listeners when the routes of some Services change from `old` to `next`. */
export function diff(
  old: readonly Route[],
  next: readonly Route[],
): { close: Route[]; open: Route[]; update: Route[] } {
  const before = new Map(old.map((route) => [route.id, route]));
  const after = new Map(next.map((route) => [route.id, route]));
  const sameService = (route: Route) => before.get(route.id)?.service.uid === route.service.uid;
  const same = (route: Route) => JSON.stringify(before.get(route.id)) === JSON.stringify(route);
  return {
    close: old.filter((route) => after.get(route.id)?.service.uid !== route.service.uid),
    open: [...after.values()].filter((route) => !sameService(route)),
    update: [...after.values()].filter((route) => sameService(route) && !same(route)),
  };
}

/** `namespace/name` of the Service that a slice belongs to. */
export function serviceOf({ metadata }: EndpointSlice): string {
  return `${metadata.namespace}/${metadata.labels?.["kubernetes.io/service-name"] ?? ""}`;
}

/** Labels by which a Service says that another proxy serves it, or none (upstream's selector of both informers). */
function isOurs({ metadata: { labels = {} } }: Service): boolean {
  return !("service.kubernetes.io/service-proxy-name" in labels) && !("service.kubernetes.io/headless" in labels);
}

/**
 * The ready endpoints of a Service port. Without any, those that still serve while they terminate (KEP-1669), so that
 * the last Pods of a Service can finish. Slices name ports as the Service does and carry the target port's number.
 */
function endpointsOf(
  slices: readonly EndpointSlice[],
  portName: string,
  family: "IPv4" | "IPv6",
  onNode: string | undefined,
): Endpoint[] {
  const ready = new Map<string, Endpoint>();
  const serving = new Map<string, Endpoint>();
  for (const slice of slices) {
    if (slice.addressType !== family) continue;
    for (const { name = "", protocol = "TCP", port } of slice.ports ?? []) {
      if (name !== portName || protocol !== "TCP" || port === undefined) continue;
      for (const { addresses, conditions = {}, nodeName } of slice.endpoints ?? []) {
        const ip = addresses[0];
        if (ip === undefined || (onNode !== undefined && nodeName !== onNode)) continue;
        const key = `${ip}:${port}`; // an endpoint may be in two slices while it moves between them
        if (conditions.ready ?? true) ready.set(key, { ip, port });
        else if (conditions.serving && conditions.terminating) serving.set(key, { ip, port });
      }
    }
  }
  return [...(ready.size > 0 ? ready : serving).values()];
}
