import { ageColumn, column, integer, nameColumn, selectorText, templateColumns } from "../columns.ts";
import { defaultTemplate } from "../core/pod-defaults.ts";
import { templateWarnings } from "../core/pod-warnings.ts";
import type { ReplicaSet } from "../generated/apps-v1.ts";
import { ReplicaSets } from "../generated/resources.ts";
import { defineResource, namespaced, notNegative, rules, scaleSubresource, without } from "../kind.ts";
import * as templates from "./template-rules.ts";

export const replicaSets = defineResource(ReplicaSets, {
  warnings: templateWarnings,
  shortNames: ["rs"],
  categories: ["all"],
  subresources: [scaleSubresource, "status"],
  scale: templates.templatedScale,
  defaults({ spec }) {
    spec.replicas ??= 1;
    defaultTemplate(spec);
  },
  ...without(["status.terminatingReplicas"], templates.noReplicas),
  ...rules(
    namespaced,
    function* ({ spec }: ReplicaSet) {
      for (const key of ["replicas", "minReadySeconds"] as const) yield* notNegative(spec[key], `spec.${key}`);
      yield* templates.validateTemplated(spec, "ReplicaSet");
    },
    templates.validateSelectorUpdate,
    ({ status }) => templates.validateReplicas(status),
  ),
  columns: [
    nameColumn,
    column("Desired", ({ spec }) => spec.replicas ?? 0, "Pods wanted.", integer),
    column("Current", ({ status }) => status?.replicas ?? 0, "Pods there are.", integer),
    column("Ready", ({ status }) => status?.readyReplicas ?? 0, "Pods that are ready.", integer),
    ageColumn,
    ...templateColumns<ReplicaSet>((spec) => selectorText(spec.selector)),
  ],
});
