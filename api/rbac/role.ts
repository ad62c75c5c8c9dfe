import { invalid, type Problems, required } from "../../apimachinery/field-error.ts";
import { pathSegmentName } from "../../apimachinery/names.ts";
import { validateLabelSelector } from "../../apimachinery/selectors.ts";
import type { ClusterRole, PolicyRule, Role } from "../generated/rbac-v1.ts";
import { ClusterRoles, Roles } from "../generated/resources.ts";
import { createdColumn, defineResource, nameColumn, rules } from "../kind.ts";

/** Roles; whether a client may write them (escalation) is the authorizer's question. */
export const roles = defineResource(Roles, {
  createOnUpdate: true,
  ...rules({ namespaced: true, name: pathSegmentName }, (role: Role) => validateRules(role.rules, true)),
  columns: [nameColumn, createdColumn],
});

export const clusterRoles = defineResource(ClusterRoles, {
  createOnUpdate: true,
  ...rules({ namespaced: false, name: pathSegmentName }, (role: ClusterRole) => [
    ...validateRules(role.rules, false),
    ...validateAggregation(role),
  ]),
  columns: [nameColumn, createdColumn],
});

function* validateRules(list: readonly PolicyRule[] = [], namespaced: boolean): Problems {
  for (const [i, rule] of list.entries()) yield* validateRule(rule, namespaced, `rules[${i}]`);
}

function* validateRule(rule: PolicyRule, namespaced: boolean, at: string): Problems {
  const { verbs = [], apiGroups = [], resources = [], resourceNames = [], nonResourceURLs = [] } = rule;
  if (verbs.length === 0) yield required(`${at}.verbs`, "verbs must contain at least one value");
  if (nonResourceURLs.length > 0) {
    const wrong = (detail: string) => invalid(`${at}.nonResourceURLs`, nonResourceURLs, detail);
    if (namespaced) yield wrong("namespaced rules cannot apply to non-resource URLs");
    if (apiGroups.length + resources.length + resourceNames.length > 0)
      yield wrong("rules cannot apply to both regular resources and non-resource URLs");
    return;
  }
  if (apiGroups.length === 0) yield required(`${at}.apiGroups`, "resource rules must supply at least one api group");
  if (resources.length === 0) yield required(`${at}.resources`, "resource rules must supply at least one resource");
}

function* validateAggregation({ aggregationRule }: ClusterRole): Problems {
  if (!aggregationRule) return;
  const at = "aggregationRule.clusterRoleSelectors";
  const selectors = aggregationRule.clusterRoleSelectors ?? [];
  if (selectors.length === 0)
    return yield required(at, "at least one clusterRoleSelector required if aggregationRule is non-nil");
  for (const [i, selector] of selectors.entries()) {
    const wrong = [...validateLabelSelector(selector, `${at}[${i}]`)];
    yield* wrong;
    if (wrong.length > 0) yield invalid(`${at}[${i}]`, null, "invalid label selector.");
  }
}
