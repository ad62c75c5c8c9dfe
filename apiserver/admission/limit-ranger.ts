import { podResources } from "../../api/core/pod-resources.ts";
import type { Container, LimitRangeItem, PersistentVolumeClaim, Pod, PodSpec } from "../../api/generated/core-v1.ts";
import { LimitRanges } from "../../api/generated/resources.ts";
import { aggregate } from "../../apimachinery/field-error.ts";
import { compareQuantities as compare, parseQuantity } from "../../apimachinery/quantity.ts";
import { forbidden } from "../../apimachinery/status.ts";
import { type Attributes, isFor, type Plugin } from "./chain.ts";

type Amounts = Record<string, string>;

/**
 * LimitRanger: containers get the defaults of their Namespace's LimitRanges, and containers, Pods and claims have to keep
 * within them. Texts are upstream's (plugin/pkg/admission/limitranger).
 */
export const limitRanger: Plugin = {
  name: "LimitRanger",
  mutate(attributes, cluster) {
    const { namespace, object } = attributes;
    if (attributes.operation !== "CREATE" || !isFor(attributes, "pods")) return false;
    const pod = object as Pod;
    const changes: string[] = [];
    for (const range of cluster.list(LimitRanges, namespace)) {
      const item = range.spec?.limits.findLast(({ type }) => type === "Container");
      if (item === undefined) continue;
      for (const container of pod.spec.containers) changes.push(...giveDefaults(container, item, "container"));
      for (const container of pod.spec.initContainers ?? [])
        changes.push(...giveDefaults(container, item, "init container"));
    }
    if (changes.length === 0) return false;
    const text = `LimitRanger plugin set: ${changes.join("; ")}`;
    pod.metadata.annotations = { ...pod.metadata.annotations, "kubernetes.io/limit-ranger": text };
    return true;
  },
  validate(attributes, cluster) {
    const { operation, namespace, object, resource, subresource, name } = attributes;
    const resized = resource.resource === "pods" && resource.group === "" && subresource === "resize";
    const isPod = resized || (isFor(attributes, "pods") && operation === "CREATE");
    const isClaim = isFor(attributes, "persistentvolumeclaims") && (operation === "CREATE" || operation === "UPDATE");
    if ((!isPod && !isClaim) || object!.metadata.deletionTimestamp !== undefined) return;
    for (const range of cluster.list(LimitRanges, namespace)) {
      const limits = range.spec?.limits ?? [];
      const problems = isPod ? podProblems(object as Pod, limits) : claimProblems(attributes, limits);
      if (problems.length > 0) throw forbidden(resource, name, aggregate(problems));
    }
  },
};

function giveDefaults(
  container: Container,
  { default: limits = {}, defaultRequest = {} }: LimitRangeItem,
  what: string,
) {
  const given = container.resources ?? {};
  const set = (field: "requests" | "limits", defaults: Amounts) => {
    const missing = Object.keys(defaults).filter((name) => given[field]?.[name] === undefined);
    if (missing.length === 0) return [];
    given[field] = { ...given[field], ...Object.fromEntries(missing.map((name) => [name, defaults[name]!])) };
    return [`${missing.sort().join(", ")} ${field.slice(0, -1)} for ${what} ${container.name}`];
  };
  const changes = [...set("requests", defaultRequest), ...set("limits", limits)];
  if (changes.length > 0) container.resources = given;
  return changes;
}

function podProblems({ spec }: Pod, items: readonly LimitRangeItem[]): string[] {
  return items.flatMap((item) => {
    if (item.type === "Pod") return problemsOf(item, podResources(spec, "requests"), podResources(spec, "limits"));
    if (item.type !== "Container") return [];
    return allContainers(spec).flatMap(({ resources = {} }) =>
      problemsOf(item, resources.requests ?? {}, resources.limits ?? {}),
    );
  });
}

const allContainers = (spec: PodSpec) => [...spec.containers, ...(spec.initContainers ?? [])];

/** Each kind of constraint in the order of upstream's checks, resources by name. */
function problemsOf(
  { type, min = {}, max = {}, maxLimitRequestRatio = {} }: LimitRangeItem,
  requests: Amounts,
  limits: Amounts,
) {
  const problems: string[] = [];
  const each = (amounts: Amounts, check: (name: string, enforced: string) => string | false | undefined) => {
    for (const [name, enforced] of sorted(amounts)) {
      const problem = check(name, enforced);
      if (problem) problems.push(problem);
    }
  };
  each(min, (name, least) => {
    const text = `minimum ${name} usage per ${type} is ${least}`;
    if (requests[name] === undefined) return `${text}.  No request is specified`;
    if (compare(requests[name], least) < 0) return `${text}, but request is ${requests[name]}`;
    return limits[name] !== undefined && compare(limits[name], least) < 0 && `${text}, but limit is ${limits[name]}`;
  });
  each(max, (name, most) => {
    const text = `maximum ${name} usage per ${type} is ${most}`;
    if (limits[name] === undefined) return `${text}.  No limit is specified`;
    if (compare(limits[name], most) > 0) return `${text}, but limit is ${limits[name]}`;
    return (
      requests[name] !== undefined && compare(requests[name], most) > 0 && `${text}, but request is ${requests[name]}`
    );
  });
  each(maxLimitRequestRatio, (name, most) => {
    const text = `${name} max limit to request ratio per ${type} is ${most}`;
    const [request, limit, allowed] = [requests[name] ?? "0", limits[name] ?? "0", most].map(
      (q) => parseQuantity(q).nano,
    );
    if (request === 0n) return `${text}, but no request is specified or request is 0`;
    if (limit === 0n) return `${text}, but no limit is specified or limit is 0`;
    const ratio = Number(limit) / Number(request);
    return ratio > Number(allowed) / 1e9 && `${text}, but provided ratio is ${ratio.toFixed(6)}`;
  });
  return problems;
}

function claimProblems({ object }: Attributes, items: readonly LimitRangeItem[]): string[] {
  const { requests = {} } = (object as PersistentVolumeClaim).spec?.resources ?? {};
  return items
    .filter(({ type }) => type === "PersistentVolumeClaim")
    .flatMap(({ type, min = {}, max = {} }) => [
      ...boundProblems(requests, min, `minimum NAME usage per ${type} is`, -1),
      ...boundProblems(requests, max, `maximum NAME usage per ${type} is`, 1),
    ]);
}

function boundProblems(requests: Amounts, bounds: Amounts, text: string, sign: number): string[] {
  return sorted(bounds).flatMap(([name, bound]) => {
    const start = `${text.replace("NAME", name)} ${bound}`;
    if (requests[name] === undefined) return [`${start}.  No request is specified`];
    return compare(requests[name], bound) * sign > 0 ? [`${start}, but request is ${requests[name]}`] : [];
  });
}

const sorted = (amounts: Amounts) => Object.entries(amounts).sort(([a], [b]) => (a < b ? -1 : 1));
