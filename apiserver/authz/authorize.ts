import type { Target, User } from "../request.ts";
import { nodeForbids, type PodsOf } from "./node.ts";
import { type Binding, policy, type Rule } from "./policy.ts";

/** What is asked: a verb on a resource, or on a path. */
export type Attributes =
  | { user: User; verb: string; target: Target; fieldSelector?: string | undefined }
  | { user: User; verb: string; path: string };

/** Undefined when allowed, else upstream's text of the 403, without `... is forbidden: `. */
export function authorize(
  attributes: Attributes,
  podsOf: PodsOf = () => [],
  bindings: readonly Binding[] = policy,
): string | undefined {
  const { user } = attributes;
  const allowed = bindings.some(
    ({ users = [], groups = [], rules }) =>
      (users.includes(user.name) || groups.some((group) => user.groups.includes(group))) &&
      rules.some((rule) => matches(rule, attributes)),
  );
  if (!allowed) return denial(attributes);
  if ("path" in attributes) return undefined;
  const reason = nodeForbids(user, attributes.verb, attributes.target, attributes.fieldSelector ?? "", podsOf);
  return reason && `${denial(attributes)}: ${reason}`;
}

function matches(rule: Rule, attributes: Attributes): boolean {
  if (!has(rule.verbs, attributes.verb)) return false;
  if ("path" in attributes) return rule.nonResourceURLs?.some((url) => matchesPath(url, attributes.path)) ?? false;
  const { target } = attributes;
  if (rule.resources === undefined || !has(rule.apiGroups ?? [], target.group)) return false;
  if (rule.namespaces && !rule.namespaces.includes(target.namespace)) return false;
  if (rule.resourceNames && !rule.resourceNames.includes(target.name)) return false;
  const { resource, subresource } = target;
  const full = subresource ? `${resource}/${subresource}` : resource;
  return has(rule.resources, full) || (subresource !== "" && rule.resources.includes(`*/${subresource}`));
}

const has = (list: readonly string[], value: string) => list.includes("*") || list.includes(value);

function matchesPath(url: string, path: string): boolean {
  return url.endsWith("*") ? path.startsWith(url.slice(0, -1)) : path === url;
}

function denial(attributes: Attributes): string {
  const { user, verb } = attributes;
  const who = `User ${JSON.stringify(user.name)} cannot ${verb}`;
  if ("path" in attributes) return `${who} path ${JSON.stringify(attributes.path)}`;
  const { group, resource, subresource, namespace } = attributes.target;
  const full = subresource ? `${resource}/${subresource}` : resource;
  const scope = namespace ? `in the namespace ${JSON.stringify(namespace)}` : "at the cluster scope";
  return `${who} resource ${JSON.stringify(full)} in API group ${JSON.stringify(group)} ${scope}`;
}
