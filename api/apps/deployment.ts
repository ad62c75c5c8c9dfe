import { forbidden, invalid, notSupported, type Problems, required } from "../../apimachinery/field-error.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { ageColumn, column, nameColumn, readyColumn, selectorText, templateColumns } from "../columns.ts";
import { defaultTemplate } from "../core/pod-defaults.ts";
import { templateWarnings } from "../core/pod-warnings.ts";
import type { Deployment } from "../generated/apps-v1.ts";
import { Deployments } from "../generated/resources.ts";
import { amountOf, asInGo, atMost100Percent, intOrPercent, namespaced, notNegative, rules } from "../kind.ts";
import { defineResource, scaleSubresource } from "../resource.ts";
import { countGeneration, keepAllButStatus, keepStatus, specAndStatus } from "../strategy.ts";
import * as templates from "./template-rules.ts";

export const deployments = defineResource(Deployments, {
  warnings: templateWarnings,
  shortNames: ["deploy"],
  categories: ["all"],
  subresources: [scaleSubresource, "status"],
  scale: templates.templatedScale,
  defaults({ spec }) {
    spec.replicas ??= 1;
    spec.strategy ??= {};
    spec.strategy.type ||= "RollingUpdate";
    if (spec.strategy.type === "RollingUpdate")
      spec.strategy.rollingUpdate = { maxUnavailable: "25%", maxSurge: "25%", ...spec.strategy.rollingUpdate };
    spec.revisionHistoryLimit ??= 10;
    spec.progressDeadlineSeconds ??= 600;
    defaultTemplate(spec);
  },
  prepareForCreate: specAndStatus.prepareForCreate,
  prepareForUpdate(deployment, old) {
    keepStatus(deployment, old);
    countGeneration(deployment, old);
    // Annotations reach the ReplicaSets, so they count too.
    if (!sameJson(deployment.metadata.annotations ?? {}, old.metadata.annotations ?? {}))
      deployment.metadata.generation = (old.metadata.generation ?? 0) + 1;
  },
  prepareForStatusUpdate(deployment, old) {
    keepAllButStatus(deployment, old);
    delete deployment.status?.terminatingReplicas; // DeploymentReplicaSetTerminatingReplicas
    if (old.metadata.labels) deployment.metadata.labels = old.metadata.labels;
    else delete deployment.metadata.labels;
  },
  ...rules(namespaced, validateSpec, templates.validateSelectorUpdate, function* ({ status }, old) {
    const parts = "updatedReplicas readyReplicas availableReplicas";
    const counters = `observedGeneration replicas ${parts} unavailableReplicas`;
    yield* templates.validateCounts(status, counters, parts, "readyReplicas");
    yield* templates.validateCollisions(status, old.status);
  }),
  columns: [
    nameColumn,
    readyColumn<Deployment>(),
    column("Up-to-date", ({ status }) => status?.updatedReplicas ?? 0, "Pods of the newest template."),
    column("Available", ({ status }) => status?.availableReplicas ?? 0, "Pods ready for minReadySeconds."),
    ageColumn,
    ...templateColumns<Deployment>((spec) => selectorText(spec.selector)),
  ],
});

function* validateSpec({ spec }: Deployment): Problems {
  yield* notNegative(spec.replicas, "spec.replicas");
  yield* templates.validateTemplated(spec, "ReplicaSet");
  yield* validateStrategy(spec.strategy ?? {}, "spec.strategy");
  for (const key of ["minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"] as const)
    yield* notNegative(spec[key], `spec.${key}`);
  const deadline = spec.progressDeadlineSeconds;
  if (deadline !== undefined && deadline <= (spec.minReadySeconds ?? 0))
    yield invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds");
}

function* validateStrategy(strategy: NonNullable<Deployment["spec"]["strategy"]>, at: string): Problems {
  const { type, rollingUpdate } = strategy;
  if (type === "Recreate") {
    if (rollingUpdate)
      yield forbidden(`${at}.rollingUpdate`, "may not be specified when strategy `type` is 'Recreate'");
    return;
  }
  if (type !== "RollingUpdate")
    return yield notSupported(at, asInGo(strategy, { maxUnavailable: 0, maxSurge: 0 }), ["Recreate", "RollingUpdate"]);
  if (!rollingUpdate) return yield required(`${at}.rollingUpdate`, "this should be defaulted and never be nil");
  const { maxUnavailable = 0, maxSurge = 0 } = rollingUpdate;
  const path = `${at}.rollingUpdate`;
  yield* intOrPercent(maxUnavailable, `${path}.maxUnavailable`);
  yield* intOrPercent(maxSurge, `${path}.maxSurge`);
  if (amountOf(maxUnavailable) === 0 && amountOf(maxSurge) === 0)
    yield invalid(`${path}.maxUnavailable`, maxUnavailable, "may not be 0 when `maxSurge` is 0");
  yield* atMost100Percent(maxUnavailable, `${path}.maxUnavailable`);
}
