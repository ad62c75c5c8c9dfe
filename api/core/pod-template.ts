import type { PodTemplate } from "../generated/core-v1.ts";
import { PodTemplates } from "../generated/resources.ts";
import { column, containerColumns, defineResource, labelsText, nameColumn, namespaced, rules } from "../kind.ts";
import { generationOnly } from "../strategy.ts";
import { defaultTemplate } from "./pod-defaults.ts";
import { validateTemplate } from "./pod-validation.ts";

export const podTemplates = defineResource(PodTemplates, {
  defaults: defaultTemplate,
  ...generationOnly,
  ...rules(namespaced, ({ template }) => validateTemplate(template, "template")),
  columns: [
    nameColumn,
    ...containerColumns<PodTemplate>(({ template }) => template),
    column("Pod Labels", ({ template }) => labelsText(template?.metadata?.labels), "Labels of its Pods."),
  ],
});
