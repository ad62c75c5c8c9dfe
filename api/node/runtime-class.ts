import { duplicate, type FieldError, shaped } from "../../apimachinery/field-error.ts";
import { dns1123Label } from "../../apimachinery/names.ts";
import { validateLabels } from "../../apimachinery/selectors.ts";
import { validateResources } from "../core/container-validation.ts";
import { validateTolerations } from "../core/pod-validation.ts";
import type { Toleration } from "../generated/core-v1.ts";
import { RuntimeClasses } from "../generated/resources.ts";
import { clusterWide, column, defineResource, immutableField, rules, shown } from "../kind.ts";

export const runtimeClasses = defineResource(RuntimeClasses, {
  unconditionalUpdate: false,
  ...rules(
    clusterWide,
    ({ handler, overhead, scheduling }) => [
      ...shaped("handler", handler ?? "", dns1123Label),
      ...validateResources({ limits: overhead?.podFixed ?? {} }, "overhead"),
      ...validateLabels(scheduling?.nodeSelector, "scheduling.nodeSelector"),
      ...validateTolerations(scheduling?.tolerations ?? [], "scheduling.tolerations"),
      ...duplicates(scheduling?.tolerations ?? [], "scheduling.tolerations"),
    ],
    ({ handler }, old) => immutableField("handler", handler, old.handler),
  ),
  columns: shown(column("Handler", ({ handler }) => handler ?? "", "The runtime's own name for it.")),
});

/** By all but their seconds. */
function duplicates(tolerations: Toleration[], at: string): FieldError[] {
  const text = ({ key, operator, value, effect }: Toleration) => JSON.stringify([key, operator, value, effect]);
  const texts = tolerations.map(text);
  return tolerations.flatMap((toleration, i) =>
    texts.indexOf(texts[i]!) < i ? [duplicate(`${at}[${i}]`, toleration)] : [],
  );
}
