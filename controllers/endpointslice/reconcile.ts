import { isPodReady } from "../../api/core/pod-status.ts";
import type { Pod, Service } from "../../api/generated/core-v1.ts";
import type { Endpoint, EndpointPort, EndpointSlice } from "../../api/generated/discovery-v1.ts";
import { Services } from "../../api/generated/resources.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { controllerRef } from "../ownership.ts";
import { hasAddress, hasEndpoints, labelsOf, podPorts, targetOf } from "../service-pods.ts";

export interface State {
  service: Service;
  /** Those that its selector selects. */
  pods: Pod[];
  /** The Service's slices that this controller manages. */
  slices: EndpointSlice[];
  /** By node name. */
  zones: ReadonlyMap<string, string>;
}

export type Action =
  | { type: "CreateSlice"; slice: EndpointSlice }
  | { type: "UpdateSlice"; slice: EndpointSlice }
  | { type: "DeleteSlice"; slice: EndpointSlice };

export const serviceNameLabel = "kubernetes.io/service-name";
export const managedByLabel = "endpointslice.kubernetes.io/managed-by";
export const managedBy = "endpointslice-controller.k8s.io";

export const maxEndpointsPerSlice = 100;

/**
 * Lists the Pods of a Service in EndpointSlices (KEP-752): at most 100 in one, all of a slice with the same ports. What
 * is already listed stays in its slice, so a change of one Pod rewrites one slice. A Service without Pods has one slice,
 * empty.
 */
export function reconcile(state: State): Action[] {
  const { service, slices } = state;
  if (!hasEndpoints(service)) return slices.map((slice) => ({ type: "DeleteSlice", slice }));
  const groups = groupByPorts(state);
  for (const slice of slices) {
    const key = portsKey(slice.ports ?? []);
    if (!groups.has(key)) groups.set(key, { ports: slice.ports ?? [], endpoints: new Map() });
  }
  const filled = [...groups].flatMap(([key, { ports, endpoints }]) =>
    fill(
      slices.filter((slice) => slice.addressType === "IPv4" && portsKey(slice.ports ?? []) === key),
      ports,
      endpoints,
    ),
  );
  const kept = filled.filter(({ endpoints }) => endpoints.length > 0);
  if (kept.length === 0) kept.push({ old: filled.find(({ old }) => old)?.old, ports: [], endpoints: [] });
  const keptOld = new Set(kept.map(({ old }) => old));
  return [
    ...kept.flatMap(({ old, ports, endpoints }) => write(service, old, ports, endpoints)),
    ...slices.filter((slice) => !keptOld.has(slice)).map((slice) => ({ type: "DeleteSlice", slice }) as const),
  ];
}

interface Filled {
  old: EndpointSlice | undefined;
  ports: EndpointPort[];
  endpoints: Endpoint[];
}

type Group = { ports: EndpointPort[]; endpoints: Map<string, Endpoint> };

/** Endpoints by their Pod's uid. */
function groupByPorts({ service, pods, zones }: State): Map<string, Group> {
  const groups = new Map<string, Group>();
  for (const pod of pods.filter(hasAddress)) {
    const ports = podPorts(service, pod);
    const key = portsKey(ports);
    const group = groups.get(key) ?? { ports, endpoints: new Map() };
    group.endpoints.set(pod.metadata.uid!, endpointOf(service, pod, zones));
    groups.set(key, group);
  }
  return groups;
}

function portsKey(ports: readonly EndpointPort[]): string {
  const keys = ports.map(({ name, port, protocol, appProtocol }) =>
    JSON.stringify([name, port, protocol, appProtocol]),
  );
  return keys.sort().join();
}

function endpointOf(service: Service, pod: Pod, zones: ReadonlyMap<string, string>): Endpoint {
  const serving = isPodReady(pod);
  const terminating = pod.metadata.deletionTimestamp !== undefined;
  // "ready" is never true of one that terminates: readers that know no better would send it new connections.
  const ready = (service.spec?.publishNotReadyAddresses ?? false) || (serving && !terminating);
  const zone = zones.get(pod.spec.nodeName ?? "");
  return {
    addresses: [pod.status!.podIP!],
    conditions: { ready, serving, terminating },
    ...targetOf(service, pod),
    ...(zone !== undefined && { zone }),
  };
}

/** Keeps each endpoint where it is listed; the others go where there is room, then into new slices. */
function fill(slices: EndpointSlice[], ports: EndpointPort[], wanted: ReadonlyMap<string, Endpoint>): Filled[] {
  const left = new Map(wanted);
  const result: Filled[] = slices.map((old) => {
    const endpoints = old.endpoints.flatMap(({ targetRef }) => {
      const endpoint = left.get(targetRef?.uid ?? "");
      left.delete(targetRef?.uid ?? "");
      return endpoint ? [endpoint] : [];
    });
    return { old, ports, endpoints };
  });
  const isChanged = ({ old, endpoints }: Filled) => !sameJson(old?.endpoints, endpoints);
  // Slices that are written anyway come first, then the fullest: fewest writes, fewest slices.
  const byPreference = [...result].sort(
    (a, b) => Number(isChanged(b)) - Number(isChanged(a)) || b.endpoints.length - a.endpoints.length,
  );
  const rest = [...left.values()];
  for (const { endpoints } of byPreference)
    endpoints.push(...rest.splice(0, Math.max(0, maxEndpointsPerSlice - endpoints.length)));
  while (rest.length > 0) result.push({ old: undefined, ports, endpoints: rest.splice(0, maxEndpointsPerSlice) });
  return result;
}

function write(
  service: Service,
  old: EndpointSlice | undefined,
  ports: EndpointPort[],
  endpoints: Endpoint[],
): Action[] {
  const { name, namespace } = service.metadata;
  const labels = labelsOf(service, { [serviceNameLabel]: name, [managedByLabel]: managedBy });
  if (old !== undefined) {
    const slice = { ...old, metadata: { ...old.metadata, labels }, endpoints, ports };
    const before = { ...old, ports: old.ports ?? [] };
    return sameJson(before, slice) ? [] : [{ type: "UpdateSlice", slice }];
  }
  const slice: EndpointSlice = {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: "",
      generateName: `${name}-`,
      namespace: namespace!,
      labels,
      ownerReferences: [controllerRef(Services, service)],
    },
    addressType: "IPv4",
    endpoints,
    ports,
  };
  return [{ type: "CreateSlice", slice }];
}
