import type { Pod, Toleration } from "../../api/generated/core-v1.ts";
import type { RuntimeClass } from "../../api/generated/node-v1.ts";
import { RuntimeClasses } from "../../api/generated/resources.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { forbidden } from "../../apimachinery/status.ts";
import { type Attributes, isFor, type Plugin } from "./chain.ts";

/** RuntimeClass: a Pod takes over what its class says running costs (KEP-688), and where it may run. */
export const runtimeClass: Plugin = {
  name: "RuntimeClass",
  mutate(attributes, cluster) {
    if (attributes.operation !== "CREATE" || !isFor(attributes, "pods")) return false;
    const name = (attributes.object as Pod).spec.runtimeClassName;
    if (!name) return apply(attributes, undefined);
    const found = cluster.get(RuntimeClasses, { name });
    if (found !== undefined) return apply(attributes, found);
    return cluster.live(RuntimeClasses, { name }).then((live) => {
      const text = `pod rejected: RuntimeClass ${JSON.stringify(name)} not found`;
      if (live === undefined) throw forbidden(attributes.resource, attributes.name, text);
      return apply(attributes, live);
    });
  },
};

function apply({ resource, name, object }: Attributes, found: RuntimeClass | undefined): false {
  const { spec } = object as Pod;
  const refuse = (text: string) => forbidden(resource, name, text);
  const fixed = found?.overhead?.podFixed;
  if (spec.overhead !== undefined && Object.keys(spec.overhead).length > 0) {
    if (fixed === undefined)
      throw refuse("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead");
    if (!sameJson(spec.overhead, fixed))
      throw refuse("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead");
  } else if (fixed !== undefined) spec.overhead = { ...fixed };
  const { nodeSelector = {}, tolerations = [] } = found?.scheduling ?? {};
  for (const [key, value] of Object.entries(nodeSelector)) {
    const own = spec.nodeSelector?.[key];
    if (own !== undefined && own !== value)
      throw refuse(
        `conflict: runtimeClass.scheduling.nodeSelector[${key}] = ${value}; pod.spec.nodeSelector[${key}] = ${own}`,
      );
    spec.nodeSelector = { ...spec.nodeSelector, [key]: value };
  }
  const isNew = (wanted: Toleration) => !(spec.tolerations ?? []).some((own) => sameJson(own, wanted));
  const added = tolerations.filter(isNew);
  if (added.length > 0) spec.tolerations = [...(spec.tolerations ?? []), ...added];
  return false;
}
