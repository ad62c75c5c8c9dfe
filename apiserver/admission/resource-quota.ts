import { type Amounts, addAmounts, countsFor, isZeroAmount, quotaIsFor, usageOf } from "../../api/core/quota-usage.ts";
import type { Pod, ResourceQuota } from "../../api/generated/core-v1.ts";
import { ResourceQuotas } from "../../api/generated/resources.ts";
import { compareQuantities, subtractQuantities } from "../../apimachinery/quantity.ts";
import { conflict, forbidden } from "../../apimachinery/status.ts";
import type { Attributes, Plugin } from "./chain.ts";
import type { Cluster } from "./cluster.ts";

/**
 * ResourceQuota: what an object takes is reserved in the status of its Namespace's quotas before it is written, by
 * compare-and-swap, so that several apiservers together admit no more than there is. What was reserved for a write that
 * failed is given back when the controller counts anew. Source: k8s.io/apiserver/pkg/admission/plugin/resourcequota.
 */
export function resourceQuota(): Plugin {
  /** Requests of one Namespace take turns, rather than try again and again against each other. */
  const turns = new Map<string, Promise<unknown>>();
  return {
    name: "ResourceQuota",
    validate(attributes, cluster) {
      if (!isCounted(attributes)) return;
      const { namespace, resource, object } = attributes;
      const quotas = cluster.list(ResourceQuotas, namespace).filter((quota) => quotaIsFor(quota, resource, object!));
      if (quotas.length === 0) return;
      const names = quotas.map(({ metadata }) => metadata.name);
      const before = turns.get(namespace) ?? Promise.resolve();
      const turn = before.then(() => reserve(attributes, names, cluster));
      const settled: Promise<unknown> = turn
        .catch(() => {})
        .then(() => {
          if (turns.get(namespace) === settled) turns.delete(namespace);
        });
      turns.set(namespace, settled);
      return turn;
    },
  };
}

function isCounted({ operation, resource, subresource, namespace }: Attributes): boolean {
  if (namespace === "" || resource.resource === "namespaces") return false;
  const isPod = resource.group === "" && resource.resource === "pods";
  if (operation === "CREATE") return subresource === "";
  if (operation !== "UPDATE") return false;
  if (isPod) return subresource === "resize";
  return subresource === "" && resource.group === "" && /^(services|persistentvolumeclaims)$/.test(resource.resource);
}

async function reserve(attributes: Attributes, names: readonly string[], cluster: Cluster): Promise<void> {
  let open = names;
  for (let attempt = 0; attempt < maxAttempts; attempt++) {
    const live = await Promise.all(
      open.map((name) => cluster.live(ResourceQuotas, { namespace: attributes.namespace, name })),
    );
    const changed = live.flatMap((quota) => (quota ? (charged(quota, attributes) ?? []) : []));
    if (attributes.dryRun) return;
    const written = await Promise.all(changed.map((quota) => cluster.replace(ResourceQuotas, quota)));
    open = changed.filter((_, i) => !written[i]).map(({ metadata }) => metadata.name);
    if (open.length === 0) return;
  }
  throw conflict(ResourceQuotas, open[0]!);
}

const maxAttempts = 20;

/** The quota with what the request takes, undefined when that is nothing; throws 403 when it is too much. */
export function charged(quota: ResourceQuota, attributes: Attributes): ResourceQuota | undefined {
  const { resource, name, operation, object, oldObject } = attributes;
  const { hard = {}, used = {} } = quota.status ?? {};
  const quotaName = quota.metadata.name;
  const counted = Object.keys(hard).filter((key) => countsFor(resource, key));
  if (counted.length === 0 || !quotaIsFor(quota, resource, object!)) return undefined;
  const missing = resource.group === "" && resource.resource === "pods" ? unspecified(object as Pod, counted) : "";
  if (missing) throw forbidden(resource, name, `failed quota: ${quotaName}: must specify ${missing}`);
  const unknown = counted.filter((key) => used[key] === undefined).sort();
  if (unknown.length > 0)
    throw forbidden(resource, name, `status unknown for quota: ${quotaName}, resources: ${unknown.join(",")}`);
  const requested = deltaOf(
    usageOf(resource, object!),
    operation === "UPDATE" && oldObject ? usageOf(resource, oldObject) : {},
    counted,
  );
  if (Object.keys(requested).length === 0) return undefined;
  const next = addAmounts(used, requested);
  const exceeded = Object.keys(requested)
    .filter((key) => compareQuantities(requested[key]!, "0") > 0 && compareQuantities(next[key]!, hard[key]!) > 0)
    .sort();
  if (exceeded.length === 0) return { ...quota, status: { ...quota.status, used: next } };
  const text = (amounts: Amounts) => exceeded.map((key) => `${key}=${amounts[key]}`).join(",");
  throw forbidden(
    resource,
    name,
    `exceeded quota: ${quotaName}, requested: ${text(requested)}, used: ${text(used)}, limited: ${text(hard)}`,
  );
}

function deltaOf(usage: Amounts, old: Amounts, names: readonly string[]): Amounts {
  const delta = names.map((name): [string, string] => [name, subtractQuantities(usage[name] ?? "0", old[name] ?? "0")]);
  return Object.fromEntries(delta.filter(([, amount]) => !isZeroAmount(amount)));
}

const mustSpecify = new Set("cpu memory requests.cpu requests.memory limits.cpu limits.memory".split(" "));

/** `limits.cpu for: a,b; memory for: a`: where a quota counts something, each container has to say it. */
function unspecified({ spec }: Pod, counted: readonly string[]): string {
  const containers = [...(spec.initContainers ?? []), ...spec.containers];
  const problems = counted
    .filter((name) => mustSpecify.has(name))
    .sort()
    .map((key) => {
      const [field, name] = key.includes(".")
        ? (key.split(".") as ["requests" | "limits", string])
        : (["requests", key] as const);
      const silent = containers.filter(({ resources }) => resources?.[field]?.[name] === undefined);
      return silent.length > 0 ? `${key} for: ${[...new Set(silent.map((c) => c.name))].sort().join(",")}` : "";
    });
  return problems.filter(Boolean).join("; ");
}
