import { isIPv4 } from "node:net";
import { EndpointSlices, Endpoints, Namespaces, Services } from "../../api/generated/resources.ts";
import type { KubernetesObject, ResourceType } from "../../apimachinery/object.ts";
import { isAlreadyExists } from "../../apimachinery/status.ts";
import type { Target, User } from "../request.ts";
import { keyOf } from "./context.ts";
import { create } from "./create.ts";
import type { Registry } from "./registry.ts";
import { update } from "./update.ts";

/**
 * What the apiserver itself writes at every start: the system's Namespaces, and the Service `kubernetes` that leads to
 * it. Idempotent.
 */
export interface SystemOptions {
  /** ClusterIP of the Service: the first of the range. */
  serviceIP: string;
  /** Where Pods and nodes reach this apiserver. */
  advertise: { address: string; port: number };
}

export const systemNamespaces = ["default", "kube-system", "kube-public", "kube-node-lease"];

/** Upstream's own identity for these writes. */
const user: User = { name: "system:apiserver", groups: ["system:masters"] };

export async function writeSystemObjects(registry: Registry, options: SystemOptions): Promise<void> {
  await Promise.all(systemNamespaces.map((name) => ensure(registry, Namespaces, { metadata: { name } }, false)));
  // A Service keeps its ports and address; where the apiserver listens may change from start to start.
  const overwrite = (type: { resource: string }) => type.resource !== Services.resource;
  const objects = kubernetesService(options);
  await Promise.all(objects.map(([type, object]) => ensure(registry, type, object, overwrite(type))));
}

/** Pure: the Service and its endpoints. */
export function kubernetesService({
  serviceIP,
  advertise,
}: SystemOptions): [ResourceType<KubernetesObject>, KubernetesObject][] {
  const metadata = { name: "kubernetes", namespace: "default" };
  const { address, port } = advertise;
  const ports = [{ name: "https", port, protocol: "TCP" }];
  const service = {
    metadata: { ...metadata, labels: { component: "apiserver", provider: "kubernetes" } },
    spec: {
      type: "ClusterIP",
      clusterIP: serviceIP,
      clusterIPs: [serviceIP],
      ipFamilies: ["IPv4"],
      ipFamilyPolicy: "SingleStack",
      sessionAffinity: "None",
      ports: [{ name: "https", port: 443, protocol: "TCP", targetPort: port }],
    },
  };
  const endpoints = {
    metadata: { ...metadata, labels: { "endpointslice.kubernetes.io/skip-mirror": "true" } },
    subsets: [{ addresses: [{ ip: address }], ports }],
  };
  const slice = {
    metadata: { ...metadata, labels: { "kubernetes.io/service-name": "kubernetes" } },
    addressType: isIPv4(address) ? "IPv4" : "IPv6",
    endpoints: [{ addresses: [address], conditions: { ready: true } }],
    ports,
  };
  return [
    [Services, service],
    [Endpoints, endpoints],
    [EndpointSlices, slice],
  ];
}

async function ensure(
  registry: Registry,
  { group, version, resource: name, kind }: ResourceType<KubernetesObject>,
  object: KubernetesObject,
  overwrite: boolean,
): Promise<void> {
  const resource = registry.resource({ group, version, resource: name });
  const { namespace = "" } = object.metadata;
  const target: Target = { group, version, resource: name, namespace, name: object.metadata.name, subresource: "" };
  const options = { user, dryRun: false, warnings: [], manager: "kube-apiserver" };
  const whole = () => structuredClone({ kind, apiVersion: group ? `${group}/${version}` : version, ...object });
  const { context } = registry;
  const exists = (await context.storage.get(keyOf(resource, target))) !== undefined;
  if (exists && overwrite) await update(context, resource, target, whole(), options);
  if (exists) return;
  await create(context, resource, target, whole(), options).catch((error: unknown) => {
    if (!isAlreadyExists(error)) throw error; // another apiserver was faster
  });
}
