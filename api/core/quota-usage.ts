import type { KubernetesObject } from "../../apimachinery/object.ts";
import { addQuantities, parseQuantity } from "../../apimachinery/quantity.ts";
import type { PersistentVolumeClaim, Pod, PodAffinityTerm, ResourceQuota, Service } from "../generated/core-v1.ts";
import { podResources } from "./pod-resources.ts";
import { isPodTerminal, qosClass } from "./pod-status.ts";
import { counted } from "./resource-names.ts";

/**
 * What objects take of a ResourceQuota, for admission, which reserves it, and for the controller, which counts it.
 * Source: k8s.io/kubernetes/pkg/quota/v1/evaluator/core.
 */
export type Amounts = Record<string, string>;

interface Kind {
  group: string;
  resource: string;
}

const countName = ({ group, resource }: Kind) => `count/${group ? `${resource}.${group}` : resource}`;
const plainCounts = new Set(counted.filter((name) => !name.includes(".")));
const storageClassSuffix = ".storageclass.storage.k8s.io/";
const ofPods =
  /^(cpu|memory|ephemeral-storage|hugepages-.+|(requests|limits)\.(cpu|memory|ephemeral-storage)|requests\.(hugepages-.+|.+\/.+))$/;

/** Whether objects of this kind count for the name. */
export function countsFor(kind: Kind, name: string): boolean {
  if (name === countName(kind)) return true;
  if (kind.group !== "") return false;
  if (name === kind.resource && plainCounts.has(name)) return true;
  if (kind.resource === "pods") return ofPods.test(name) && !name.includes(storageClassSuffix);
  if (kind.resource === "services") return name === "services.nodeports" || name === "services.loadbalancers";
  if (kind.resource !== "persistentvolumeclaims") return false;
  return name === "requests.storage" || name.includes(storageClassSuffix);
}

/** What one object takes, of everything. */
export function usageOf(kind: Kind, object: KubernetesObject): Amounts {
  const usage: Amounts = { [countName(kind)]: "1" };
  if (kind.group !== "") return usage;
  if (plainCounts.has(kind.resource)) usage[kind.resource] = "1";
  if (kind.resource === "pods") Object.assign(usage, podUsage(object as Pod));
  if (kind.resource === "services") Object.assign(usage, serviceUsage(object as Service));
  if (kind.resource === "persistentvolumeclaims") Object.assign(usage, claimUsage(object as PersistentVolumeClaim));
  return usage;
}

function podUsage({ spec }: Pod): Amounts {
  const usage: Amounts = {};
  for (const [name, amount] of Object.entries(podResources(spec, "requests"))) {
    usage[`requests.${name}`] = amount;
    if (/^(cpu|memory|ephemeral-storage|hugepages-.+)$/.test(name)) usage[name] = amount;
  }
  for (const [name, amount] of Object.entries(podResources(spec, "limits"))) usage[`limits.${name}`] = amount;
  return usage;
}

function serviceUsage({ spec }: Service): Amounts {
  const { type, ports = [], allocateLoadBalancerNodePorts } = spec ?? {};
  const isBalancer = type === "LoadBalancer";
  const counted = isBalancer && allocateLoadBalancerNodePorts === false ? ports.filter((p) => p.nodePort) : ports;
  const nodePorts = type === "NodePort" || isBalancer ? counted.length : 0;
  return { "services.nodeports": String(nodePorts), "services.loadbalancers": isBalancer ? "1" : "0" };
}

function claimUsage({ spec, metadata }: PersistentVolumeClaim): Amounts {
  const size = spec?.resources?.requests?.["storage"];
  const name = metadata.annotations?.["volume.beta.kubernetes.io/storage-class"] ?? spec?.storageClassName;
  const usage: Amounts = size === undefined ? {} : { "requests.storage": size };
  if (!name) return usage;
  if (size !== undefined) usage[`${name}${storageClassSuffix}requests.storage`] = size;
  usage[`${name}${storageClassSuffix}persistentvolumeclaims`] = "1";
  return usage;
}

/** Whether a quota is for the object: something that it counts, and all its scopes, of which only Pods have any. */
export function quotaIsFor(quota: ResourceQuota, kind: Kind, object: KubernetesObject): boolean {
  const { scopes = [], scopeSelector } = quota.spec ?? {};
  if (!Object.keys(quota.status?.hard ?? quota.spec?.hard ?? {}).some((name) => countsFor(kind, name))) return false;
  const selectors = [
    ...scopes.map((scopeName) => ({ scopeName, operator: "Exists", values: [] as string[] })),
    ...(scopeSelector?.matchExpressions ?? []),
  ];
  if (selectors.length === 0) return true;
  if (kind.group !== "" || kind.resource !== "pods") return false;
  return selectors.every(({ scopeName, operator, values = [] }) => inScope(object as Pod, scopeName, operator, values));
}

const held: Record<string, (spec: Pod["spec"]) => boolean> = {
  Terminating: (spec) => spec.activeDeadlineSeconds !== undefined,
  NotTerminating: (spec) => spec.activeDeadlineSeconds === undefined,
  BestEffort: (spec) => qosClass(spec) === "BestEffort",
  NotBestEffort: (spec) => qosClass(spec) !== "BestEffort",
  CrossNamespacePodAffinity: crossesNamespaces,
  PriorityClass: (spec) => Boolean(spec.priorityClassName),
};

function inScope({ spec }: Pod, scope: string, operator: string, values: readonly string[]): boolean {
  if (scope === "PriorityClass" && (operator === "In" || operator === "NotIn"))
    return values.includes(spec.priorityClassName ?? "") === (operator === "In");
  return Object.hasOwn(held, scope) && held[scope]!(spec) === (operator !== "DoesNotExist");
}

function crossesNamespaces({ affinity }: Pod["spec"]): boolean {
  const crosses = (term: PodAffinityTerm) => (term.namespaces?.length ?? 0) > 0 || term.namespaceSelector !== undefined;
  return [affinity?.podAffinity, affinity?.podAntiAffinity].some(
    (kind) =>
      kind?.requiredDuringSchedulingIgnoredDuringExecution?.some(crosses) ||
      kind?.preferredDuringSchedulingIgnoredDuringExecution?.some(({ podAffinityTerm }) => crosses(podAffinityTerm)),
  );
}

/** Ended Pods take nothing, nor do those whose time to end is over. */
export function takesQuota(kind: Kind, object: KubernetesObject, nowMs: number): boolean {
  if (kind.group !== "" || kind.resource !== "pods") return true;
  const { deletionTimestamp } = object.metadata; // already has the grace period in it
  return !isPodTerminal(object as Pod) && (deletionTimestamp === undefined || Date.parse(deletionTimestamp) > nowMs);
}

/** Amounts of `b` that `a` has not are as if they were 0 there. */
export function addAmounts(a: Amounts, b: Amounts): Amounts {
  const result = { ...a };
  for (const [name, amount] of Object.entries(b)) result[name] = addQuantities(result[name] ?? "0", amount);
  return result;
}

export const isZeroAmount = (amount: string): boolean => parseQuantity(amount).nano === 0n;
