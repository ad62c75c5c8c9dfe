import { invalid, notSupported, type Problems, required } from "../../apimachinery/field-error.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { ageColumn, column, integer, labelsText, nameColumn, selectorText, templateColumns } from "../columns.ts";
import { defaultTemplate } from "../core/pod-defaults.ts";
import { templateWarnings } from "../core/pod-warnings.ts";
import type { DaemonSet, DaemonSetUpdateStrategy } from "../generated/apps-v1.ts";
import { DaemonSets } from "../generated/resources.ts";
import { amountOf, asInGo, atMost100Percent, intOrPercent, notNegative } from "../int-or-percent.ts";
import { defineResource, namespaced, rules } from "../kind.ts";
import { countGeneration, keepAllButStatus, keepStatus, startGeneration } from "../strategy.ts";
import { validateCollisions, validateCounts, validateSelectorUpdate, validateTemplated } from "./template-rules.ts";

/** Counts changes of the template; apps/v1 carries it as an annotation. */
const templateGeneration = "deprecated.daemonset.template.generation";

export const daemonSets = defineResource(DaemonSets, {
  warnings: templateWarnings,
  shortNames: ["ds"],
  categories: ["all"],
  subresources: ["status"],
  defaults({ spec }) {
    spec.updateStrategy ??= {};
    spec.updateStrategy.type ||= "RollingUpdate";
    if (spec.updateStrategy.type === "RollingUpdate")
      spec.updateStrategy.rollingUpdate = { maxUnavailable: 1, maxSurge: 0, ...spec.updateStrategy.rollingUpdate };
    spec.revisionHistoryLimit ??= 10;
    defaultTemplate(spec);
  },
  prepareForCreate(set) {
    set.status = { currentNumberScheduled: 0, numberMisscheduled: 0, desiredNumberScheduled: 0, numberReady: 0 };
    startGeneration(set);
    count(set, Math.max(1, generationOf(set)));
  },
  prepareForUpdate(set, old) {
    keepStatus(set, old);
    countGeneration(set, old);
    const changed = !sameJson(set.spec.template, old.spec.template);
    count(set, generationOf(old) + (changed ? 1 : 0));
  },
  prepareForStatusUpdate: keepAllButStatus,
  ...rules(namespaced, validateSpec, validateSelectorUpdate, function* ({ status }, old) {
    const nodes = "currentNumberScheduled numberMisscheduled desiredNumberScheduled numberReady observedGeneration";
    yield* validateCounts(status, `${nodes} updatedNumberScheduled numberAvailable numberUnavailable`);
    yield* validateCollisions(status, old.status);
  }),
  columns: [
    nameColumn,
    column("Desired", ({ status }) => status?.desiredNumberScheduled ?? 0, "Nodes that should have a Pod.", integer),
    column("Current", ({ status }) => status?.currentNumberScheduled ?? 0, "Nodes that have one.", integer),
    column("Ready", ({ status }) => status?.numberReady ?? 0, "Nodes whose Pod is ready.", integer),
    column("Up-to-date", ({ status }) => status?.updatedNumberScheduled ?? 0, "Pods of the newest template.", integer),
    column("Available", ({ status }) => status?.numberAvailable ?? 0, "Pods ready for minReadySeconds.", integer),
    column("Node Selector", ({ spec }) => labelsText(spec.template.spec.nodeSelector), "Labels of its nodes."),
    ageColumn,
    ...templateColumns<DaemonSet>((spec) => selectorText(spec.selector)),
  ],
});

const generationOf = ({ metadata }: KubernetesObject): number => {
  const value = Number(metadata.annotations?.[templateGeneration]);
  return Number.isSafeInteger(value) ? value : 0;
};

function count({ metadata }: KubernetesObject, generation: number): void {
  metadata.annotations = { ...metadata.annotations, [templateGeneration]: String(generation) };
}

function* validateSpec({ spec }: DaemonSet): Problems {
  yield* validateTemplated(spec, "DaemonSet");
  yield* notNegative(spec.minReadySeconds, "spec.minReadySeconds");
  yield* validateStrategy(spec.updateStrategy ?? {}, "spec.updateStrategy");
  yield* notNegative(spec.revisionHistoryLimit, "spec.revisionHistoryLimit");
}

function* validateStrategy(strategy: DaemonSetUpdateStrategy, at: string): Problems {
  const { type, rollingUpdate } = strategy;
  if (type === "OnDelete") return;
  if (type !== "RollingUpdate")
    return yield notSupported(at, asInGo(strategy, { maxUnavailable: 0, maxSurge: 0 }), ["RollingUpdate", "OnDelete"]);
  const path = `${at}.rollingUpdate`;
  if (!rollingUpdate) return yield required(path);
  const { maxUnavailable = 0, maxSurge = 0 } = rollingUpdate;
  for (const rule of [intOrPercent, atMost100Percent])
    for (const key of ["maxUnavailable", "maxSurge"] as const) yield* rule(rollingUpdate[key], `${path}.${key}`);
  if (amountOf(maxUnavailable) !== 0 && amountOf(maxSurge) !== 0)
    yield invalid(`${path}.maxSurge`, maxSurge, "may not be set when maxUnavailable is non-zero");
  if (amountOf(maxUnavailable) === 0 && amountOf(maxSurge) === 0)
    yield required(`${path}.maxUnavailable`, "cannot be 0 when maxSurge is 0");
}
