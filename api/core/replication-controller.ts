import { invalid, type Problems, required } from "../../apimachinery/field-error.ts";
import { labelsSelector, matches } from "../../apimachinery/selectors.ts";
import { templatedScale, validateLongRunning, validateReplicas } from "../apps/template-rules.ts";
import { ageColumn, column, integer, labelsText, nameColumn, templateColumns } from "../columns.ts";
import type { ReplicationController } from "../generated/core-v1.ts";
import { ReplicationControllers } from "../generated/resources.ts";
import { defineResource, namespaced, notNegative, rules, type ScaleAccess, scaleSubresource } from "../kind.ts";
import { startingStatus } from "../strategy.ts";
import { defaultTemplate } from "./pod-defaults.ts";
import { validateTemplate } from "./pod-validation.ts";
import { templateWarnings } from "./pod-warnings.ts";

export const replicationControllers = defineResource(ReplicationControllers, {
  warnings: templateWarnings,
  shortNames: ["rc"],
  categories: ["all"],
  storagePrefix: "controllers",
  subresources: [scaleSubresource, "status"],
  selectable: { "status.replicas": "0" },
  scale: {
    get: ({ spec, ...controller }) =>
      templatedScale.get({ ...controller, spec: { ...spec, selector: { matchLabels: spec.selector ?? {} } } }),
    set: templatedScale.set as ScaleAccess<ReplicationController>["set"],
  },
  defaults({ metadata, spec }) {
    const labels = spec.template?.metadata?.labels;
    if (labels) {
      if (!Object.keys(spec.selector ?? {}).length) spec.selector = { ...labels };
      if (!Object.keys(metadata.labels ?? {}).length) metadata.labels = { ...labels };
    }
    spec.replicas ??= 1;
    if (spec.template) defaultTemplate(spec);
  },
  ...startingStatus(() => ({ replicas: 0 })),
  ...rules(namespaced, validateSpec, undefined, ({ status }) => validateReplicas(status)),
  columns: [
    nameColumn,
    column("Desired", ({ spec }) => spec.replicas ?? 0, "Pods wanted.", integer),
    column("Current", ({ status }) => status?.replicas ?? 0, "Pods there are.", integer),
    column("Ready", ({ status }) => status?.readyReplicas ?? 0, "Pods that are ready.", integer),
    ageColumn,
    ...templateColumns<ReplicationController>((spec) => labelsText(spec.selector)),
  ],
});

function* validateSpec({ spec }: ReplicationController): Problems {
  const { selector = {}, template } = spec;
  yield* notNegative(spec.minReadySeconds, "spec.minReadySeconds");
  if (Object.keys(selector).length === 0) yield required("spec.selector");
  yield* notNegative(spec.replicas, "spec.replicas");
  const labels = template?.metadata?.labels ?? {};
  if (template && !matches(labelsSelector(selector), labels))
    yield invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`");
  yield* validateTemplate(template, "spec.template");
  yield* validateLongRunning(template, "ReplicationController");
}
