import * as field from "../../apimachinery/field-error.ts";
import { pathSegmentName, qualifiedName } from "../../apimachinery/names.ts";
import { validateLabelSelector } from "../../apimachinery/selectors.ts";
import type * as v1 from "../generated/admissionregistration-v1.ts";
import { compileProblems, variablesOf } from "./expressions.ts";

/** What webhooks and policies share: which requests they see. */
const operations = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const scopes = ["*", "Cluster", "Namespaced"];

export function defaultMatch(match: v1.MatchResources): void {
  match.matchPolicy ??= "Equivalent";
  match.namespaceSelector ??= {};
  match.objectSelector ??= {};
  for (const rule of [...(match.resourceRules ?? []), ...(match.excludeResourceRules ?? [])]) rule.scope ??= "*";
}

export function* validateMatch(match: v1.MatchResources, at: string): field.Problems {
  yield* field.oneOf(`${at}.matchPolicy`, match.matchPolicy, ["Equivalent", "Exact"], match.matchPolicy === undefined);
  for (const key of ["namespaceSelector", "objectSelector"] as const)
    if (match[key]) yield* validateLabelSelector(match[key], `${at}.${key}`);
    else yield field.required(`${at}.${key}`);
  for (const key of ["resourceRules", "excludeResourceRules"] as const)
    yield* field.each(match[key], `${at}.${key}`, validateNamedRule);
}

function* validateNamedRule(rule: v1.NamedRuleWithOperations, at: string): field.Problems {
  const shape = (name: string, path: string) => field.shaped(path, name, pathSegmentName);
  yield* field.each(rule.resourceNames, `${at}.resourceNames`, shape, { key: String });
  yield* validateRule(rule, at);
}

export function* validateRule(rule: v1.RuleWithOperations, at: string): field.Problems {
  yield* someOf(rule.operations, `${at}.operations`, "operations");
  yield* field.each(rule.operations, `${at}.operations`, (given, path) => field.oneOf(path, given, operations, false));
  yield* someOf(rule.apiGroups, `${at}.apiGroups`, "API groups");
  yield* someOf(rule.apiVersions, `${at}.apiVersions`, "API versions");
  yield* field.each(rule.apiVersions, `${at}.apiVersions`, (version, path) => (version ? [] : [field.required(path)]));
  yield* validateResources(rule.resources ?? [], `${at}.resources`);
  if (rule.scope !== undefined) yield* field.oneOf(`${at}.scope`, rule.scope, scopes, false);
}

function* someOf(values: string[] = [], at: string, word: string): field.Problems {
  if (values.length === 0) yield field.required(at);
  if (values.length > 1 && values.includes("*"))
    yield field.invalid(at, values, `if '*' is present, must not specify other ${word}`);
}

/** `pods`, `pods/status`, `pods/*`, `*` + `/scale`: nothing is named twice. */
function* validateResources(resources: string[], at: string): field.Problems {
  if (resources.length === 0) yield field.required(at);
  for (const [i, resource] of resources.entries()) {
    const [name, part] = resource.split(/\/(.*)/s);
    if (!resource) yield field.required(`${at}[${i}]`);
    else if (part === undefined) continue;
    for (const all of new Set([`${name}/*`, `*/${part}`]))
      if (resources.indexOf(all) < i && resources.includes(all))
        yield field.invalid(`${at}[${i}]`, resource, `if '${all}' is present, must not specify ${resource}`);
  }
  const wrong = (star: string, others: string) =>
    field.invalid(at, resources, `if '${star}' is present, must not specify other ${others}`);
  if (resources.length > 1 && resources.includes("*/*")) yield wrong("*/*", "resources");
  const last = resources.findLast((resource) => resource && !resource.includes("/"));
  // Upstream looks at the last one without a part.
  if (resources.includes("*") && last !== "*") yield wrong("*", "resources without subresources");
}

export function* validateConditions(
  conditions: v1.MatchCondition[] = [],
  at: string,
  names = variablesOf({}),
): field.Problems {
  const check = (condition: v1.MatchCondition, path: string) => validateCondition(condition, path, names);
  yield* field.each(conditions, at, check, { max: 64, key: ({ name }) => name || undefined, at: "name" });
}

function* validateCondition({ name, expression = "" }: v1.MatchCondition, at: string, names: string[]): field.Problems {
  if (expression.trim()) yield* compileProblems(`${at}.expression`, expression.trim(), names, "bool");
  else yield field.required(`${at}.expression`);
  yield* field.requiredName(`${at}.name`, name, qualifiedName);
}
