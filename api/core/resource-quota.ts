import { invalid, nil, type Problems, required } from "../../apimachinery/field-error.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import type { ResourceQuota } from "../generated/core-v1.ts";
import { ResourceQuotas } from "../generated/resources.ts";
import { capitalized, column, defineResource, immutable, namespaced, rules, shown, statusOnly } from "../kind.ts";
import { isQuotaResource, validateAmount, validateQuotaResource } from "./resource-names.ts";

export const resourceQuotas = defineResource(ResourceQuotas, {
  shortNames: ["quota"],
  subresources: ["status"],
  ...statusOnly<ResourceQuota>(() => ({})),
  ...rules(
    namespaced,
    validateSpec,
    ({ spec }, old) =>
      sameJson([...new Set(spec.scopes)].sort(), [...new Set(old.spec.scopes)].sort())
        ? []
        : [invalid("spec.scopes", spec.scopes ?? nil, immutable)],
    ({ status }) => [...validateAmounts(status?.hard, "status.hard"), ...validateAmounts(status?.used, "status.used")],
  ),
  columns: shown(
    column("Request", (quota) => used(quota, false), "What is asked for, out of what may be."),
    column("Limit", (quota) => used(quota, true), "Limits in use, out of what may be."),
  ),
});

/** `cpu: 1/2, pods: 3/10`; limits stand in a column of their own. */
function used({ status }: ResourceQuota, limits: boolean): string {
  return Object.entries(status?.hard ?? {})
    .filter(([name]) => name.startsWith("limits.") === limits)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, hard]) => `${name}: ${status?.used?.[name] ?? "0"}/${hard}`)
    .join(", ");
}

function* validateAmounts(amounts: Record<string, string> | undefined, path: string): Problems {
  for (const [name, quantity] of Object.entries(amounts ?? {})) {
    yield* validateQuotaResource(name, `${path}[${name}]`);
    yield* validateAmount(name, quantity, `${path}[${name}]`);
  }
}

function* validateSpec({ spec }: ResourceQuota): Problems {
  yield* validateAmounts(spec.hard, "spec.hard");
  const { hard = {}, scopes = [], scopeSelector } = spec;
  const at = "spec.scopes";
  for (const scope of scopes) {
    if (!(scope in resourcesOf)) yield invalid(at, scopes, "unsupported scope");
    yield* applied(scope, hard).map(() => invalid(at, scopes, "unsupported scope applied to resource"));
  }
  yield* conflicts(scopes, scopes, at);
  const path = "spec.scopeSelector.matchExpressions"; // upstream leaves the index out
  const expressions = scopeSelector?.matchExpressions ?? [];
  const told = { MatchExpressions: expressions.map((one) => capitalized({ ...one, values: one.values ?? null })) };
  for (const { scopeName, operator, values = [] } of expressions) {
    if (!(scopeName in resourcesOf)) yield invalid(`${path}.scopeName`, scopeName, "unsupported scope");
    yield* applied(scopeName, hard).map(() => invalid(path, told, "unsupported scope applied to resource"));
    if (scopeName in resourcesOf && !/Class$/.test(scopeName) && operator !== "Exists")
      yield invalid(`${path}.operator`, operator, onlyExists);
    if (operator === "In" || operator === "NotIn") {
      if (values.length === 0) yield required(`${path}.values`, someValue);
    } else if (operator !== "Exists" && operator !== "DoesNotExist")
      yield invalid(`${path}.operator`, operator, "not a valid selector operator");
    else if (values.length > 0) yield invalid(`${path}.values`, values, noValue);
  }
  const selected = expressions.map(({ scopeName }) => scopeName);
  yield* conflicts(selected, scopes, path);
}

const onlyExists =
  "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
const someValue = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
const noValue = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";

const ofPods = "pods cpu memory requests.cpu requests.memory limits.cpu limits.memory";
/** What each scope can narrow. */
const resourcesOf: Record<string, string> = {
  Terminating: ofPods,
  NotTerminating: ofPods,
  NotBestEffort: ofPods,
  PriorityClass: ofPods,
  CrossNamespacePodAffinity: ofPods,
  BestEffort: "pods",
  VolumeAttributesClass: "persistentvolumeclaims requests.storage",
};

/** The resources of a quota that a scope says nothing about. */
const applied = (scope: string, hard: object): string[] =>
  Object.keys(hard).filter((name) => isQuotaResource(name) && !(resourcesOf[scope] ?? name).split(" ").includes(name));

function* conflicts(given: readonly string[], scopes: readonly string[], at: string): Problems {
  for (const scope of ["BestEffort", "Terminating"])
    if (given.includes(scope) && given.includes(`Not${scope}`)) yield invalid(at, scopes, "conflicting scopes");
}
