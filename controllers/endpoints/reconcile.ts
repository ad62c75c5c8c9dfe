import { isPodReady } from "../../api/core/pod-status.ts";
import type { EndpointAddress, EndpointSubset, Endpoints, Pod, Service } from "../../api/generated/core-v1.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { hasAddress, hasEndpoints, labelsOf, type PodPort, podPorts, targetOf } from "../service-pods.ts";

export interface State {
  /** Undefined when the Service is gone. */
  service: Service | undefined;
  pods: Pod[];
  endpoints: Endpoints | undefined;
}

export type Action =
  | { type: "CreateEndpoints" | "UpdateEndpoints"; endpoints: Endpoints }
  | { type: "DeleteEndpoints"; endpoints: Endpoints };

export const managedByLabel = "endpoints.kubernetes.io/managed-by";
export const managedBy = "endpoint-controller";

/** The older, one-object form of what EndpointSlices say, for clients that still read it. */
export function reconcile({ service, pods, endpoints }: State): Action[] {
  if (service === undefined) return endpoints ? [{ type: "DeleteEndpoints", endpoints }] : [];
  if (!hasEndpoints(service)) return [];
  const subsets = subsetsOf(service, pods);
  const labels = labelsOf(service, { [managedByLabel]: managedBy });
  if (endpoints === undefined) {
    const { name, namespace } = service.metadata;
    const metadata = { name, namespace: namespace!, labels };
    const created = { apiVersion: "v1", kind: "Endpoints", metadata, ...(subsets.length > 0 && { subsets }) };
    return [{ type: "CreateEndpoints", endpoints: created }];
  }
  const isSame = sameJson(endpoints.subsets ?? [], subsets) && sameJson(endpoints.metadata.labels ?? {}, labels);
  const { subsets: _, ...rest } = endpoints;
  const updated = { ...rest, metadata: { ...endpoints.metadata, labels }, ...(subsets.length > 0 && { subsets }) };
  return isSame ? [] : [{ type: "UpdateEndpoints", endpoints: updated }];
}

/** Addresses with the same ports stand together; everything is sorted, so that equal sets are equal objects. */
function subsetsOf(service: Service, pods: Pod[]): EndpointSubset[] {
  const { publishNotReadyAddresses = false } = service.spec ?? {};
  const groups = new Map<string, { ports: PodPort[]; ready: EndpointAddress[]; notReady: EndpointAddress[] }>();
  for (const pod of pods) {
    if (!hasAddress(pod)) continue;
    if (pod.metadata.deletionTimestamp !== undefined && !publishNotReadyAddresses) continue;
    const ports = podPorts(service, pod).sort((a, b) => (a.name < b.name ? -1 : 1));
    if (ports.length === 0 && (service.spec?.ports?.length ?? 0) > 0) continue;
    const key = JSON.stringify(ports);
    const group = groups.get(key) ?? { ports, ready: [], notReady: [] };
    (isPodReady(pod) || publishNotReadyAddresses ? group.ready : group.notReady).push({
      ip: pod.status!.podIP!,
      ...targetOf(service, pod),
    });
    groups.set(key, group);
  }
  const byIp = (a: EndpointAddress, b: EndpointAddress) => (a.ip < b.ip ? -1 : 1);
  return [...groups]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, { ports, ready, notReady }]) => ({
      ...(ready.length > 0 && { addresses: ready.sort(byIp) }),
      ...(notReady.length > 0 && { notReadyAddresses: notReady.sort(byIp) }),
      ...(ports.length > 0 && { ports: ports.map(({ name, ...port }) => (name ? { name, ...port } : port)) }),
    }));
}
