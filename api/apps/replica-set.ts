import { ageColumn, column, integer, nameColumn, selectorText, templateColumns } from "../columns.ts";
import { defaultTemplate } from "../core/pod-defaults.ts";
import { templateWarnings } from "../core/pod-warnings.ts";
import type { ReplicaSet } from "../generated/apps-v1.ts";
import { ReplicaSets } from "../generated/resources.ts";
import { defineResource, namespaced, notNegative, rules, scaleSubresource, startingStatus } from "../kind.ts";
import { templatedScale, validateReplicas, validateSelectorUpdate, validateTemplated } from "./template-rules.ts";

export const replicaSets = defineResource(ReplicaSets, {
  warnings: templateWarnings,
  shortNames: ["rs"],
  categories: ["all"],
  subresources: [scaleSubresource, "status"],
  scale: templatedScale,
  defaults({ spec }) {
    spec.replicas ??= 1;
    defaultTemplate(spec);
  },
  ...startingStatus(() => ({ replicas: 0 })),
  ...rules(
    namespaced,
    function* (set: ReplicaSet) {
      yield* notNegative(set.spec.minReadySeconds, "spec.minReadySeconds");
      yield* validateTemplated(set, "ReplicaSet");
    },
    validateSelectorUpdate,
    ({ status }) => validateReplicas(status),
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
