import type { PolicyRule } from "../../api/generated/rbac-v1.ts";
import type { Attributes } from "./authorizer.ts";

/** What RBAC rules mean (rbac.authorization.k8s.io/v1): whether one allows a request, and whether some cover others. */
export function ruleAllows(rule: PolicyRule, attributes: Attributes): boolean {
  if (!hasOrAll(rule.verbs, attributes.verb)) return false;
  if ("path" in attributes) return (rule.nonResourceURLs ?? []).some((url) => pathCovers(url, attributes.path));
  const { group, resource, subresource, name } = attributes.target;
  if (!hasOrAll(rule.apiGroups, group)) return false;
  if (!resourceCovered(rule.resources, subresource ? `${resource}/${subresource}` : resource)) return false;
  return !rule.resourceNames?.length || rule.resourceNames.includes(name);
}

/** The parts of `wanted` that `held` do not cover, one verb on one thing each. */
export function uncovered(held: readonly PolicyRule[], wanted: readonly PolicyRule[]): PolicyRule[] {
  return wanted.flatMap(parts).filter((part) => !held.some((rule) => covers(rule, part)));
}

function covers(rule: PolicyRule, part: PolicyRule): boolean {
  if (!hasOrAll(rule.verbs, part.verbs[0]!)) return false;
  const url = part.nonResourceURLs?.[0];
  if (url !== undefined) return (rule.nonResourceURLs ?? []).some((own) => pathCovers(own, url));
  if (!hasOrAll(rule.apiGroups, part.apiGroups![0]!) || !resourceCovered(rule.resources, part.resources![0]!))
    return false;
  return !rule.resourceNames?.length || (!!part.resourceNames && rule.resourceNames.includes(part.resourceNames[0]!));
}

function parts({ verbs, apiGroups = [], resources = [], resourceNames = [], nonResourceURLs = [] }: PolicyRule) {
  const result: PolicyRule[] = [];
  for (const group of apiGroups)
    for (const resource of resources)
      for (const verb of verbs) {
        const part = { verbs: [verb], apiGroups: [group], resources: [resource] };
        if (resourceNames.length === 0) result.push(part);
        for (const name of resourceNames) result.push({ ...part, resourceNames: [name] });
      }
  for (const url of nonResourceURLs) for (const verb of verbs) result.push({ verbs: [verb], nonResourceURLs: [url] });
  return result;
}

/** Joins what differs in the verb only, and writes each as upstream's messages do, sorted. */
export function describeRules(rules: readonly PolicyRule[]): string[] {
  const joined = new Map<string, PolicyRule>();
  for (const { verbs, ...rest } of rules) {
    const key = rest.nonResourceURLs ? JSON.stringify([rest, verbs]) : JSON.stringify(rest);
    joined.set(key, { ...rest, verbs: [...(joined.get(key)?.verbs ?? []), ...verbs] });
  }
  const list = (name: string, values: readonly string[] = []) =>
    values.length > 0 ? [`${name}:${quoted(values)}`] : [];
  const texts = [...joined.values()].map((rule) => {
    const fields = [
      ...list("APIGroups", rule.apiGroups),
      ...list("Resources", rule.resources),
      ...list("NonResourceURLs", rule.nonResourceURLs),
      ...list("ResourceNames", rule.resourceNames),
      ...list("Verbs", rule.verbs),
    ];
    return `{${fields.join(", ")}}`;
  });
  return [...new Set(texts)].sort();
}

/** Go's %q of a list of strings. */
export const quoted = (values: readonly string[]): string => `[${values.map((v) => JSON.stringify(v)).join(" ")}]`;

const hasOrAll = (list: readonly string[] | undefined, value: string) =>
  list !== undefined && (list.includes("*") || list.includes(value));

/** `*` covers all, `*\/scale` the subresource of every resource. */
function resourceCovered(list: readonly string[] | undefined, full: string): boolean {
  if (hasOrAll(list, full)) return true;
  const slash = full.indexOf("/");
  return slash > 0 && (list ?? []).includes(`*${full.slice(slash)}`);
}

const pathCovers = (own: string, path: string) =>
  own === path || (own.endsWith("*") && path.startsWith(own.slice(0, -1)));
