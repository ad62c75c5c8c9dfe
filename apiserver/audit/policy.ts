import { parseYaml } from "../../apimachinery/schema/yaml.ts";
import type { Attributes } from "../authz/authorizer.ts";

/** How much is written of a request; each has all of those before it. */
export const levels = ["None", "Metadata", "Request", "RequestResponse"] as const;
export type Level = (typeof levels)[number];
export type Stage = "RequestReceived" | "ResponseStarted" | "ResponseComplete" | "Panic";

/** audit.k8s.io/v1 Policy: the first rule that matches decides; what no rule matches is not written. */
export interface Policy {
  omitStages?: Stage[];
  omitManagedFields?: boolean;
  rules: Rule[];
}

interface Rule {
  level: Level;
  users?: string[];
  userGroups?: string[];
  verbs?: string[];
  resources?: { group?: string; resources?: string[]; resourceNames?: string[] }[];
  namespaces?: string[];
  nonResourceURLs?: string[];
  omitStages?: Stage[];
  omitManagedFields?: boolean;
}

export interface Decided {
  level: Level;
  omitStages: readonly Stage[];
  omitManagedFields: boolean;
}

/** Throws RangeError for what is no policy. */
export function parsePolicy(text: string): Policy {
  const policy = parseYaml(text).value as (Policy & { apiVersion?: string; kind?: string }) | null;
  if (policy?.kind !== "Policy" || policy.apiVersion !== "audit.k8s.io/v1")
    throw new RangeError("the audit policy is no audit.k8s.io/v1 Policy");
  if (!Array.isArray(policy.rules) || policy.rules.length === 0)
    throw new RangeError("the audit policy has 0 rules, at least one is needed");
  for (const [i, { level }] of policy.rules.entries())
    if (!levels.includes(level))
      throw new RangeError(
        `rules[${i}].level: Unsupported value: ${JSON.stringify(level)}: supported values: ${levels.map((l) => JSON.stringify(l)).join(", ")}`,
      );
  return policy;
}

export function decide(policy: Policy, attributes: Attributes): Decided {
  const rule = policy.rules.find((candidate) => matches(candidate, attributes));
  return {
    level: rule?.level ?? "None",
    omitStages: [...(policy.omitStages ?? []), ...(rule?.omitStages ?? [])],
    omitManagedFields: rule?.omitManagedFields ?? policy.omitManagedFields ?? false,
  };
}

function matches(rule: Rule, attributes: Attributes): boolean {
  const { user, verb } = attributes;
  const { users = [], userGroups = [], verbs = [], resources = [], namespaces = [], nonResourceURLs = [] } = rule;
  if (users.length > 0 && !users.includes(user.name)) return false;
  if (userGroups.length > 0 && !userGroups.some((group) => user.groups.includes(group))) return false;
  if (verbs.length > 0 && !verbs.includes(verb)) return false;
  if (namespaces.length > 0 || resources.length > 0) {
    if ("path" in attributes) return false;
    const { target } = attributes;
    if (namespaces.length > 0 && !namespaces.includes(target.namespace)) return false;
    return resources.length === 0 || resources.some((resource) => matchesResource(resource, target));
  }
  if (nonResourceURLs.length === 0) return true;
  if (!("path" in attributes)) return false;
  const { path } = attributes;
  return nonResourceURLs.some((url) => (url.endsWith("*") ? path.startsWith(url.slice(0, -1)) : url === path));
}

function matchesResource(
  { group = "", resources = [], resourceNames = [] }: NonNullable<Rule["resources"]>[number],
  target: { group: string; resource: string; subresource: string; name: string },
): boolean {
  if (group !== target.group) return false;
  if (resources.length === 0) return true;
  if (resourceNames.length > 0 && !resourceNames.includes(target.name)) return false;
  const { resource, subresource } = target;
  const names = ["*", subresource ? `${resource}/${subresource}` : resource, `${resource}/*`];
  if (subresource) names.push(`*/${subresource}`);
  return resources.some((name) => names.includes(name));
}
