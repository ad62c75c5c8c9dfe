import type { ClusterRole, PolicyRule } from "../../api/generated/rbac-v1.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { labelSelector, matches } from "../../apimachinery/selectors.ts";

export interface State {
  /** One with an aggregationRule. */
  clusterRole: ClusterRole;
  /** All there are, in the order of their names. */
  others: readonly ClusterRole[];
}

export interface Action {
  type: "SetRules";
  rules: PolicyRule[];
}

/** The rules of an aggregate are those of the roles that its selectors find, each once. */
export function reconcile({ clusterRole, others }: State): Action[] {
  const rules: PolicyRule[] = [];
  for (const selector of clusterRole.aggregationRule?.clusterRoleSelectors ?? []) {
    const wanted = labelSelector(selector);
    for (const { metadata, rules: own = [] } of others) {
      if (metadata.name === clusterRole.metadata.name || !matches(wanted, metadata.labels)) continue;
      for (const rule of own) if (!rules.some((known) => sameJson(known, rule))) rules.push(rule);
    }
  }
  return sameJson(rules, clusterRole.rules ?? []) ? [] : [{ type: "SetRules", rules }];
}
