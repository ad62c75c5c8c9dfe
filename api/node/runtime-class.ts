import { invalidValue, required } from "../../apimachinery/field-error.ts";
import { dns1123Label } from "../../apimachinery/names.ts";
import { validateLabels } from "../../apimachinery/selectors.ts";
import { validateTolerations } from "../core/pod-validation.ts";
import type { RuntimeClass } from "../generated/node-v1.ts";
import { RuntimeClasses } from "../generated/resources.ts";
import { clusterWide, column, defineResource, immutableField, type Resource, rules, shown } from "../kind.ts";

export const runtimeClasses: Resource<RuntimeClass> = defineResource(RuntimeClasses, {
  unconditionalUpdate: false,
  ...rules(
    clusterWide,
    ({ handler, scheduling }) => [
      ...(handler ? dns1123Label(handler).map((p) => invalidValue("handler", handler, p)) : [required("handler")]),
      ...validateLabels(scheduling?.nodeSelector, "scheduling.nodeSelector"),
      ...validateTolerations(scheduling?.tolerations ?? [], "scheduling.tolerations"),
    ],
    ({ handler }, old) => immutableField("handler", handler, old.handler),
  ),
  columns: shown(column("Handler", ({ handler }) => handler ?? "", "The runtime's own name for it.")),
});
