import { forbidden, oneOf, type Problems } from "../../apimachinery/field-error.ts";
import { PriorityClasses } from "../generated/resources.ts";
import type { PriorityClass } from "../generated/scheduling-v1.ts";
import { ageColumn, boolean, column, defineResource, integer, nameColumn, startGeneration } from "../kind.ts";
import { clusterWide, immutableField, rules } from "../metadata.ts";

/** Higher ones are the system's. */
const highestUserPriority = 1_000_000_000;
const systemPrefix = "system-";

/** The classes that every cluster has. */
export const systemPriorityClasses = {
  "system-node-critical": 2_000_001_000,
  "system-cluster-critical": 2_000_000_000,
};

export const priorityClasses = defineResource(PriorityClasses, {
  shortNames: ["pc"],
  defaults(priority) {
    priority.value ??= 0;
    priority.preemptionPolicy ??= "PreemptLowerPriority";
  },
  prepareForCreate: startGeneration,
  ...rules(clusterWide, validateClass, (priority, old) => [
    ...(priority.value === old.value ? [] : [forbidden("value", "may not be changed in an update.")]),
    ...immutableField("preemptionPolicy", priority.preemptionPolicy, old.preemptionPolicy),
  ]),
  columns: [
    nameColumn,
    column("Value", ({ value }) => value ?? 0, "The priority it gives.", integer),
    column("Global-Default", ({ globalDefault }) => globalDefault ?? false, "For Pods that name none.", boolean),
    ageColumn,
    column("PreemptionPolicy", ({ preemptionPolicy }) => preemptionPolicy ?? "", "Whether its Pods push others out."),
  ],
});

function* validateClass({ metadata, value, globalDefault, preemptionPolicy }: PriorityClass): Problems {
  const { name = "" } = metadata;
  if (name.startsWith(systemPrefix)) {
    const problem = systemProblem(name, value, globalDefault ?? false);
    const text = "priority class names with 'system-' prefix are reserved for system use only";
    if (problem) yield forbidden("metadata.name", `${text}. error: ${problem}`);
  } else if (value > highestUserPriority)
    yield forbidden("value", `maximum allowed value of a user defined priority is ${highestUserPriority}`);
  const policies = ["PreemptLowerPriority", "Never"];
  yield* oneOf("preemptionPolicy", preemptionPolicy, policies, true);
}

function systemProblem(name: string, value: number, globalDefault: boolean): string | undefined {
  const known = Object.entries(systemPriorityClasses).find(([n]) => n === name);
  if (!known) return `${name} is not a known system priority class`;
  if (known[1] !== value) return `value of ${name} PriorityClass must be ${known[1]}`;
  return globalDefault ? `globalDefault of ${name} PriorityClass must be false` : undefined;
}
