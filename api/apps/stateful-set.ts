import * as field from "../../apimachinery/field-error.ts";
import { dns1123Label } from "../../apimachinery/names.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { defaultTemplate } from "../core/pod-defaults.ts";
import { templateWarnings } from "../core/pod-warnings.ts";
import type { StatefulSet } from "../generated/apps-v1.ts";
import { StatefulSets } from "../generated/resources.ts";
import { atMost100Percent, intOrPercent, notNegative } from "../int-or-percent.ts";
import { ageColumn, nameColumn, readyColumn, rules, startingStatus, templateColumns } from "../kind.ts";
import { defineResource, scaleSubresource } from "../resource.ts";
import { templatedScale, validateCollisions, validateCounts, validateTemplated } from "./template-rules.ts";

/** Its name is in its Pods' hostnames. */
const named = { namespaced: true, name: dns1123Label };

export const statefulSets = defineResource(StatefulSets, {
  warnings: templateWarnings,
  shortNames: ["sts"],
  categories: ["all"],
  subresources: [scaleSubresource, "status"],
  scale: templatedScale,
  defaults({ spec }) {
    spec.podManagementPolicy ||= "OrderedReady";
    spec.updateStrategy ??= {};
    const strategy = spec.updateStrategy;
    if (!strategy.type) {
      strategy.type = "RollingUpdate";
      strategy.rollingUpdate ??= {};
    }
    if (strategy.type === "RollingUpdate" && strategy.rollingUpdate) strategy.rollingUpdate.partition ??= 0;
    spec.persistentVolumeClaimRetentionPolicy ??= { whenDeleted: "", whenScaled: "" };
    spec.persistentVolumeClaimRetentionPolicy.whenDeleted ||= "Retain";
    spec.persistentVolumeClaimRetentionPolicy.whenScaled ||= "Retain";
    spec.replicas ??= 1;
    spec.revisionHistoryLimit ??= 10;
    defaultTemplate(spec);
    for (const claim of spec.volumeClaimTemplates ?? []) {
      // Claims inside say what they are, as upstream's do.
      claim.apiVersion = "v1";
      claim.kind = "PersistentVolumeClaim";
      claim.spec ??= {};
      claim.spec.volumeMode ??= "Filesystem";
      claim.status ??= {};
      claim.status.phase ||= "Pending";
    }
  },
  ...startingStatus(() => ({ replicas: 0 })),
  ...rules(named, validateSpec, onlySomeChange, function* ({ status }, old) {
    const parts = "readyReplicas currentReplicas updatedReplicas availableReplicas";
    yield* validateCounts(status, `replicas ${parts} observedGeneration`, parts, "status.readyReplicas");
    yield* validateCollisions(status, old.status);
  }),
  columns: [nameColumn, readyColumn<StatefulSet>(), ageColumn, ...templateColumns<StatefulSet>()],
});

function* validateSpec(set: StatefulSet): field.Problems {
  const { spec } = set;
  yield* validateTemplated(set, "StatefulSet");
  const policy = spec.podManagementPolicy;
  if (!policy) yield field.required("spec.podManagementPolicy");
  else if (policy !== "OrderedReady" && policy !== "Parallel")
    yield field.invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'");
  yield* validateStrategy(spec.updateStrategy ?? {}, "spec.updateStrategy");
  for (const key of ["whenDeleted", "whenScaled"] as const) {
    const value = spec.persistentVolumeClaimRetentionPolicy?.[key] ?? "Retain";
    if (value !== "Retain" && value !== "Delete")
      yield field.notSupported(`spec.persistentVolumeClaimRetentionPolicy.${key}`, value, ["Retain", "Delete"]);
  }
  yield* notNegative(spec.minReadySeconds, "spec.minReadySeconds");
  yield* notNegative(spec.ordinals?.start, "spec.ordinals.start");
  if (spec.serviceName) yield* field.shaped("spec.serviceName", spec.serviceName, dns1123Label);
}

function* validateStrategy(strategy: StatefulSet["spec"]["updateStrategy"], at: string): field.Problems {
  const { type, rollingUpdate } = strategy;
  if (!type) return yield field.required(at);
  if (type === "OnDelete") {
    if (rollingUpdate)
      yield field.invalid(`${at}.rollingUpdate`, rollingUpdate, "only allowed for updateStrategy 'RollingUpdate'");
    return;
  }
  if (type !== "RollingUpdate") return yield field.invalid(at, strategy, "must be 'RollingUpdate' or 'OnDelete'");
  const path = `${at}.rollingUpdate`;
  yield* notNegative(rollingUpdate?.partition, `${path}.partition`);
  const most = rollingUpdate?.maxUnavailable;
  if (most === undefined) return;
  yield* intOrPercent(most, `${path}.maxUnavailable`);
  yield* atMost100Percent(most, `${path}.maxUnavailable`);
  if (Number.parseInt(String(most), 10) === 0) yield field.invalid(`${path}.maxUnavailable`, most, "cannot be 0");
}

const mutable = [
  ..."replicas ordinals template updateStrategy revisionHistoryLimit".split(" "),
  ...["persistentVolumeClaimRetentionPolicy", "minReadySeconds"],
];

/** What names Pods and claims stays: it says which are whose. */
function* onlySomeChange({ spec }: StatefulSet, old: StatefulSet): field.Problems {
  const fixed = (whole: StatefulSet["spec"]) =>
    Object.fromEntries(Object.entries(whole).filter(([key]) => !mutable.includes(key)));
  if (sameJson(fixed(spec), fixed(old.spec))) return;
  const list = mutable.map((key) => `'${key}'`);
  const text = `${list.slice(0, -1).join(", ")} and ${list.at(-1)}`;
  yield field.forbidden("spec", `updates to statefulset spec for fields other than ${text} are forbidden`);
}
