import { invalidValue, type Problems, required, shaped } from "../../apimachinery/field-error.ts";
import { qualifiedName } from "../../apimachinery/names.ts";
import { parseQuantity } from "../../apimachinery/quantity.ts";
import { ageColumn, column, nameColumn } from "../columns.ts";
import type { ResourceQuota } from "../generated/core-v1.ts";
import { ResourceQuotas } from "../generated/resources.ts";
import { immutableField, namespaced, rules } from "../metadata.ts";
import { defineResource, type Resource } from "../resource.ts";
import { statusOnly } from "../strategy.ts";

export const resourceQuotas: Resource<ResourceQuota> = defineResource(ResourceQuotas, {
  shortNames: ["quota"],
  subresources: ["status"],
  defaults: () => {},
  ...statusOnly,
  prepareForCreate(quota) {
    quota.status = {};
  },
  ...rules(namespaced, validateSpec, ({ spec }, old) => immutableField("spec.scopes", spec.scopes, old.spec.scopes)),
  columns: [
    nameColumn,
    column("Request", (quota) => used(quota, false), "What is asked for, out of what may be."),
    column("Limit", (quota) => used(quota, true), "Limits in use, out of what may be."),
    ageColumn,
  ],
});

/** `cpu: 1/2, pods: 3/10`; limits stand in a column of their own. */
function used({ status }: ResourceQuota, limits: boolean): string {
  return Object.entries(status?.hard ?? {})
    .filter(([name]) => name.startsWith("limits.") === limits)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, hard]) => `${name}: ${status?.used?.[name] ?? "0"}/${hard}`)
    .join(", ");
}

const standard = new Set([
  ..."cpu memory ephemeral-storage requests.cpu requests.memory requests.storage requests.ephemeral-storage".split(" "),
  ..."limits.cpu limits.memory limits.ephemeral-storage pods resourcequotas services replicationcontrollers".split(" "),
  ..."secrets persistentvolumeclaims configmaps services.nodeports services.loadbalancers".split(" "),
]);
const integers = new Set(
  "pods resourcequotas services replicationcontrollers secrets persistentvolumeclaims configmaps services.nodeports services.loadbalancers".split(
    " ",
  ),
);

function* validateSpec({ spec }: ResourceQuota): Problems {
  for (const [name, quantity] of Object.entries(spec.hard ?? {})) {
    const at = `spec.hard[${name}]`;
    yield* shaped(at, name, qualifiedName);
    if (!name.includes("/") && !standard.has(name) && !/^(requests\.)?hugepages-/.test(name))
      yield invalidValue(at, name, "must be a standard resource for quota");
    const { nano } = parseQuantity(quantity);
    if (nano < 0n) yield invalidValue(at, quantity, "must be greater than or equal to 0");
    if ((integers.has(name) || name.startsWith("count/")) && nano % 1_000_000_000n !== 0n)
      yield invalidValue(at, quantity, "must be an integer");
  }
  const scopes = spec.scopes ?? [];
  if (scopes.some((scope) => !known.has(scope))) yield invalidValue("spec.scopes", scopes, "unsupported scope");
  const conflict = exclusive.some((pair) => pair.every((scope) => scopes.includes(scope)));
  if (conflict) yield invalidValue("spec.scopes", scopes, "conflicting scopes");
  for (const [i, { scopeName, operator, values = [] }] of (spec.scopeSelector?.matchExpressions ?? []).entries()) {
    const at = `spec.scopeSelector.matchExpressions[${i}]`;
    if (!known.has(scopeName)) yield invalidValue(`${at}.scopeName`, scopeName, "unsupported scope");
    if (operator === "In" || operator === "NotIn") {
      if (values.length === 0)
        yield required(
          `${at}.values`,
          "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
        );
    } else if (operator !== "Exists" && operator !== "DoesNotExist")
      yield invalidValue(`${at}.operator`, operator, "not a valid selector operator");
    else if (values.length > 0)
      yield invalidValue(
        `${at}.values`,
        values,
        "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
      );
  }
}

const known = new Set([
  ..."Terminating NotTerminating BestEffort NotBestEffort PriorityClass".split(" "),
  "CrossNamespacePodAffinity",
  "VolumeAttributesClass",
]);
const exclusive = [
  ["Terminating", "NotTerminating"],
  ["BestEffort", "NotBestEffort"],
];
