import { column, containerColumns, labelsText, nameColumn } from "../columns.ts";
import type { PodTemplate } from "../generated/core-v1.ts";
import { PodTemplates } from "../generated/resources.ts";
import { namespaced, rules } from "../metadata.ts";
import { defineResource, type Resource } from "../resource.ts";
import { generationOnly } from "../strategy.ts";
import { defaultTemplate } from "./pod-defaults.ts";
import { validateTemplate } from "./pod-validation.ts";

export const podTemplates: Resource<PodTemplate> = defineResource(PodTemplates, {
  defaults: defaultTemplate,
  ...generationOnly,
  ...rules(namespaced, ({ template }) => validateTemplate(template, "template")),
  columns: [
    nameColumn,
    ...containerColumns<PodTemplate>(({ template }) => template),
    column("Pod Labels", ({ template }) => labelsText(template?.metadata?.labels), "Labels of its Pods."),
  ],
});
