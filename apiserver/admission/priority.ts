import type { Pod } from "../../api/generated/core-v1.ts";
import { PriorityClasses } from "../../api/generated/resources.ts";
import type { PriorityClass } from "../../api/generated/scheduling-v1.ts";
import { forbidden } from "../../apimachinery/status.ts";
import { type Attributes, isFor, type Plugin } from "./chain.ts";
import type { Cluster } from "./cluster.ts";

/** Priority: a Pod's class becomes its number, without one that of the global default; there is one such default. */
export const priority: Plugin = {
  name: "Priority",
  mutate(attributes, cluster) {
    if (!isFor(attributes, "pods")) return false;
    const { operation, object, oldObject } = attributes;
    const { spec } = (object ?? { spec: {} }) as Pod;
    if (operation === "UPDATE") {
      const old = (oldObject as Pod).spec;
      if (old.priority !== undefined) spec.priority ??= old.priority;
      if (old.preemptionPolicy !== undefined) spec.preemptionPolicy ??= old.preemptionPolicy;
    }
    if (operation !== "CREATE") return false;
    const found = classOf(attributes, cluster);
    return found instanceof Promise ? found.then((later) => resolve(attributes, later)) : resolve(attributes, found);
  },
  validate(attributes, cluster) {
    if (!isFor(attributes, "priorityclasses", "scheduling.k8s.io")) return;
    const { operation, resource, name, object } = attributes;
    if (operation === "DELETE" || !(object as PriorityClass).globalDefault) return;
    const other = defaultClass(cluster);
    if (other === undefined || other.metadata.name === object!.metadata.name) return;
    const text = `PriorityClass ${other.metadata.name} is already marked as default. Only one default can exist`;
    throw forbidden(resource, name, text);
  },
};

/** A class that was made a moment ago may not be in the cache yet. */
function classOf({ object }: Attributes, cluster: Cluster) {
  const name = (object as Pod).spec.priorityClassName;
  if (!name) return defaultClass(cluster);
  return cluster.get(PriorityClasses, { name }) ?? cluster.live(PriorityClasses, { name });
}

function resolve({ resource, name, object }: Attributes, found: PriorityClass | undefined): false {
  const { spec } = object as Pod;
  const refuse = (message: string) => forbidden(resource, name, message);
  if (found === undefined && spec.priorityClassName)
    throw refuse(`no PriorityClass with name ${spec.priorityClassName} was found`);
  const value = found?.value ?? 0;
  const policy = found?.preemptionPolicy ?? "PreemptLowerPriority";
  const computed = "priority admission controller computed";
  if (spec.priority !== undefined && spec.priority !== value)
    throw refuse(
      `the integer value of priority (${spec.priority}) must not be provided in pod spec; ${computed} ${value} from the given PriorityClass name`,
    );
  if (spec.preemptionPolicy !== undefined && spec.preemptionPolicy !== policy)
    throw refuse(
      `the string value of PreemptionPolicy (${spec.preemptionPolicy}) must not be provided in pod spec; ${computed} ${policy} from the given PriorityClass name`,
    );
  if (found !== undefined) spec.priorityClassName = found.metadata.name;
  spec.priority = value;
  spec.preemptionPolicy = policy;
  return false;
}

/** Of several (two apiservers at once) the one with the lowest value. */
function defaultClass(cluster: Cluster): PriorityClass | undefined {
  const defaults = cluster.list(PriorityClasses).filter(({ globalDefault }) => globalDefault);
  return defaults.reduce<PriorityClass | undefined>(
    (least, it) => (least && least.value <= it.value ? least : it),
    undefined,
  );
}
