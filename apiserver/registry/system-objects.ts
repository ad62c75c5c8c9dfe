import { isIPv4 } from "node:net";
import {
  ConfigMaps,
  EndpointSlices,
  Endpoints,
  Namespaces,
  PriorityClasses,
  Services,
} from "../../api/generated/resources.ts";
import type { Resource } from "../../api/resource.ts";
import { apiVersionOf, type KubernetesObject, type ResourceType } from "../../apimachinery/object.ts";
import { isAlreadyExists, isNotFound } from "../../apimachinery/status.ts";
import type { Wanted } from "../authz/bootstrap.ts";
import type { Target, User } from "../request.ts";
import { keyOf, type Place, prefixOfResource } from "./context.ts";
import { modify } from "./modify.ts";
import type { Registry } from "./registry.ts";
import { create, next, update } from "./write.ts";

/**
 * What the apiserver itself writes at every start: the system's Namespaces, and the Service `kubernetes` that leads to
 * all of them (`endpoint-leases.ts`). Idempotent.
 */
export interface SystemOptions {
  /** ClusterIP of the Service: the first of the range. */
  serviceIP: string;
  /** Where every apiserver listens. */
  port: number;
  /** What servers behind the aggregator need to know whom to trust: kube-system/extension-apiserver-authentication. */
  authentication: Record<string, string> | undefined;
}

const systemNamespaces = ["default", "kube-system", "kube-public", "kube-node-lease"];

const systemPriorityClasses = [
  {
    metadata: { name: "system-node-critical" },
    value: 2_000_001_000,
    description: "Used for system critical pods that must not be moved from their current node.",
  },
  {
    metadata: { name: "system-cluster-critical" },
    value: 2_000_000_000,
    description:
      "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
  },
];

/** Upstream's own identity for these writes. */
const user: User = { name: "system:apiserver", groups: ["system:masters"] };

export async function writeNamespaces(registry: Registry): Promise<void> {
  await Promise.all(systemNamespaces.map((name) => ensure(registry, Namespaces, { metadata: { name } }, false)));
}

/** Needs the Namespaces. */
export async function writeSystemObjects(registry: Registry, options: SystemOptions): Promise<void> {
  await Promise.all(systemPriorityClasses.map((object) => ensure(registry, PriorityClasses, object, false)));
  const metadata = { name: "extension-apiserver-authentication", namespace: "kube-system" };
  const { authentication: data } = options;
  await Promise.all([
    ensure(registry, Services, kubernetesService(options), false), // one that is there keeps its ports and address
    ...(data ? [ensure(registry, ConfigMaps, { metadata, data } as KubernetesObject, true)] : []),
  ]);
}

/**
 * Needs the Namespaces. The default roles and bindings, or what flow control needs: what is missing is written; roles
 * before what binds them, priority levels before the schemas that name them.
 */
export async function writePolicy(registry: Registry, wanted: Wanted[]): Promise<void> {
  const isRole = ({ type }: Wanted) => /^(Cluster)?Role$|^PriorityLevel/.test(type.kind);
  await Promise.all(wanted.filter(isRole).map((one) => ensurePolicy(registry, one)));
  await Promise.all(wanted.filter((one) => !isRole(one)).map((one) => ensurePolicy(registry, one)));
}

async function ensurePolicy(registry: Registry, { type, object, reconcile }: Wanted): Promise<void> {
  const at = placeOf(registry, type, object);
  const found = at.context.cache.resource(prefixOfResource(at.resource)).objects.get(keyOf(at.resource, at.target));
  const next = found && reconcile(found.parse());
  if (found === undefined) await ensure(registry, type, object, false);
  else if (next !== undefined) await update(at, next, systemWrite());
}

const kubernetes = { name: "kubernetes", namespace: "default" };

function kubernetesService({ serviceIP, port }: SystemOptions): KubernetesObject {
  return {
    metadata: { ...kubernetes, labels: { component: "apiserver", provider: "kubernetes" } },
    spec: {
      type: "ClusterIP",
      clusterIP: serviceIP,
      clusterIPs: [serviceIP],
      ipFamilies: ["IPv4"],
      ipFamilyPolicy: "SingleStack",
      sessionAffinity: "None",
      ports: [{ name: "https", port: 443, protocol: "TCP", targetPort: port }],
    },
  } as KubernetesObject;
}

/** Pure: where the Service `kubernetes` leads to. */
export function kubernetesEndpoints(
  addresses: readonly string[],
  port: number,
): [ResourceType<KubernetesObject>, KubernetesObject][] {
  const ports = [{ name: "https", port, protocol: "TCP" }];
  const endpoints = {
    metadata: { ...kubernetes, labels: { "endpointslice.kubernetes.io/skip-mirror": "true" } },
    subsets: [{ addresses: addresses.map((ip) => ({ ip })), ports }],
  };
  const slice = {
    metadata: { ...kubernetes, labels: { "kubernetes.io/service-name": "kubernetes" } },
    addressType: isIPv4(addresses[0]!) ? "IPv4" : "IPv6",
    endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
    ports,
  };
  return [
    [Endpoints, endpoints],
    [EndpointSlices, slice],
  ];
}

function placeOf(
  registry: Registry,
  type: ResourceType<KubernetesObject>,
  { metadata: { namespace = "", name } }: KubernetesObject,
): Place {
  const { group, version, resource } = type;
  const target = { group, version, resource, namespace, name, subresource: "" };
  return { context: registry.context, resource: registry.resource(type), target };
}

export const systemWrite = () => ({ user, dryRun: false, warnings: [], manager: "kube-apiserver" });

/** Written when it is not there; otherwise only to `overwrite`. */
export async function ensure(
  registry: Registry,
  type: ResourceType<KubernetesObject>,
  object: KubernetesObject,
  overwrite: boolean,
): Promise<void> {
  const { kind } = type;
  const at = placeOf(registry, type, object);
  const options = systemWrite();
  const whole = () => structuredClone({ kind, apiVersion: apiVersionOf(type), ...object });
  const exists = (await at.context.storage.get(keyOf(at.resource, at.target))) !== undefined;
  if (exists && overwrite) await update(at, whole(), options);
  if (exists) return;
  await create(at, whole(), options).catch((error: unknown) => {
    if (!isAlreadyExists(error)) throw error; // another apiserver was faster
  });
}

/** What a controller of ours makes of an object, as long as it is the one with this uid. */
export async function systemChange<T extends KubernetesObject>(
  { context }: Registry,
  resource: Resource,
  target: Target,
  uid: string | undefined,
  change: (object: T) => unknown,
): Promise<void> {
  const at = { context, resource, target };
  await modify(at, false, async (old) => {
    if (old.metadata.uid !== uid) return old;
    const object = structuredClone(old) as T;
    change(object);
    return next(at, old, object, systemWrite());
  }).catch((error: unknown) => {
    if (!isNotFound(error)) throw error;
  });
}
