import { duplicate, type FieldError, invalidValue, required } from "../../apimachinery/field-error.ts";
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

export function validateMatch(match: MatchResources, at: string): FieldError[] {
  return [
    ...(match.matchPolicy === undefined
      ? [required(`${at}.matchPolicy`)]
      : oneOf(`${at}.matchPolicy`, match.matchPolicy, ["Equivalent", "Exact"], false)),
    ...validateLabelSelector(match.namespaceSelector, `${at}.namespaceSelector`),
    ...validateLabelSelector(match.objectSelector, `${at}.objectSelector`),
    ...(["resourceRules", "excludeResourceRules"] as const).flatMap((key) =>
      (match[key] ?? []).flatMap((rule, i) => validateRule(rule, `${at}.${key}[${i}]`)),
    ),
  ];
}

export function validateRule(rule: RuleWithOperations, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const given = rule.operations ?? [];
  if (given.length === 0) errors.push(required(`${at}.operations`));
  for (const [i, operation] of given.entries())
    errors.push(...oneOf(`${at}.operations[${i}]`, operation, operations, false));
  errors.push(...onlyStar(given, `${at}.operations`, "operations"));
  for (const key of ["apiGroups", "apiVersions"] as const) {
    const values = rule[key] ?? [];
    if (values.length === 0) errors.push(required(`${at}.${key}`));
    errors.push(...onlyStar(values, `${at}.${key}`, key === "apiGroups" ? "API groups" : "API versions"));
    if (key === "apiVersions")
      for (const [i, value] of values.entries()) if (value === "") errors.push(required(`${at}.${key}[${i}]`));
  }
  const resources = rule.resources ?? [];
  if (resources.length === 0) errors.push(required(`${at}.resources`));
  for (const [i, resource] of resources.entries()) if (resource === "") errors.push(required(`${at}.resources[${i}]`));
  if (resources.includes("*/*") && resources.length > 1)
    errors.push(invalidValue(`${at}.resources`, resources, "if '*/*' is present, must not specify other resources"));
  if (rule.scope !== undefined) errors.push(...oneOf(`${at}.scope`, rule.scope, scopes, false));
  return errors;
}

const onlyStar = (values: string[], at: string, word: string): FieldError[] =>
  values.length > 1 && values.includes("*")
    ? [invalidValue(at, values, `if '*' is present, must not specify other ${word}`)]
    : [];

/** Differs: expressions are not compiled; a wrong one is found out when it is evaluated. */
export function validateConditions(list: MatchCondition[] | undefined, at: string): FieldError[] {
  const conditions = list ?? [];
  if (conditions.length > maxConditions)
    return [
      {
        type: "FieldValueTooMany",
        field: at,
        badValue: conditions.length,
        detail: `must have at most ${maxConditions} items`,
      },
    ];
  const names = new Set<string>();
  return conditions.flatMap(({ name, expression }, i) => {
    const path = `${at}[${i}]`;
    const field = `${path}.expression`;
    const errors = expression?.trim() ? compileProblems(field, expression, "bool") : [required(field)];
    if (!name) return [...errors, required(`${path}.name`)];
    for (const p of qualifiedName(name)) errors.push(invalidValue(`${path}.name`, name, p));
    if (names.has(name)) errors.push(duplicate(`${path}.name`, name));
    names.add(name);
    return errors;
  });
}
