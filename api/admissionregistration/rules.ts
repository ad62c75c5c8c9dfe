import type { FieldError, Problems } from "../../apimachinery/field-error.ts";
import * as problem from "../../apimachinery/field-error.ts";
import { qualifiedName } from "../../apimachinery/names.ts";
import { validateLabelSelector } from "../../apimachinery/selectors.ts";
import { oneOf } from "../core/container-validation.ts";
import type { MatchCondition, MatchResources, RuleWithOperations } from "../generated/admissionregistration-v1.ts";
import { compileProblems } from "./expressions.ts";

/** What webhooks and policies share: which requests they see. */
const operations = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const scopes = ["*", "Cluster", "Namespaced"];
const maxConditions = 64;

export function defaultMatch(match: MatchResources): void {
  match.matchPolicy ??= "Equivalent";
  match.namespaceSelector ??= {};
  match.objectSelector ??= {};
  for (const rule of [...(match.resourceRules ?? []), ...(match.excludeResourceRules ?? [])]) rule.scope ??= "*";
}

export function* validateMatch(match: MatchResources, at: string): Problems {
  if (match.matchPolicy === undefined) yield problem.required(`${at}.matchPolicy`);
  else yield* oneOf(`${at}.matchPolicy`, match.matchPolicy, ["Equivalent", "Exact"], false);
  yield* validateLabelSelector(match.namespaceSelector, `${at}.namespaceSelector`);
  yield* validateLabelSelector(match.objectSelector, `${at}.objectSelector`);
  for (const key of ["resourceRules", "excludeResourceRules"] as const)
    for (const [i, rule] of (match[key] ?? []).entries()) yield* validateRule(rule, `${at}.${key}[${i}]`);
}

export function* validateRule(rule: RuleWithOperations, at: string): Problems {
  const given = rule.operations ?? [];
  if (given.length === 0) yield problem.required(`${at}.operations`);
  for (const [i, operation] of given.entries()) yield* oneOf(`${at}.operations[${i}]`, operation, operations, false);
  yield* onlyStar(given, `${at}.operations`, "operations");
  for (const key of ["apiGroups", "apiVersions"] as const) {
    const values = rule[key] ?? [];
    if (values.length === 0) yield problem.required(`${at}.${key}`);
    yield* onlyStar(values, `${at}.${key}`, key === "apiGroups" ? "API groups" : "API versions");
    if (key === "apiVersions")
      for (const [i, value] of values.entries()) if (value === "") yield problem.required(`${at}.${key}[${i}]`);
  }
  const resources = rule.resources ?? [];
  if (resources.length === 0) yield problem.required(`${at}.resources`);
  for (const [i, resource] of resources.entries()) if (resource === "") yield problem.required(`${at}.resources[${i}]`);
  if (resources.includes("*/*") && resources.length > 1)
    yield problem.invalidValue(`${at}.resources`, resources, "if '*/*' is present, must not specify other resources");
  if (rule.scope !== undefined) yield* oneOf(`${at}.scope`, rule.scope, scopes, false);
}

const onlyStar = (values: string[], at: string, word: string): FieldError[] =>
  values.length > 1 && values.includes("*")
    ? [problem.invalidValue(at, values, `if '*' is present, must not specify other ${word}`)]
    : [];

/** Differs: expressions are not compiled; a wrong one is found out when it is evaluated. */
export function* validateConditions(conditions: MatchCondition[] = [], at: string): Problems {
  if (conditions.length > maxConditions) return yield problem.tooMany(at, conditions.length, maxConditions);
  const names = new Set<string>();
  for (const [i, { name, expression }] of conditions.entries()) {
    const path = `${at}[${i}]`;
    const field = `${path}.expression`;
    if (expression?.trim()) yield* compileProblems(field, expression, "bool");
    else yield problem.required(field);
    yield* problem.uniqueName(`${path}.name`, name, qualifiedName, names);
  }
}
