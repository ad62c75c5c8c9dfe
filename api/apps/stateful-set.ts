import * as field from "../../apimachinery/field-error.ts";
import { dns1123Label } from "../../apimachinery/names.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { templateColumns } from "../columns.ts";
import { validateClaimSpec } from "../core/persistent-volume-claim.ts";
import { defaultTemplate } from "../core/pod-defaults.ts";
import { templateWarnings } from "../core/pod-warnings.ts";
import type { StatefulSet } from "../generated/apps-v1.ts";
import type { PodTemplateSpec } from "../generated/core-v1.ts";
import { StatefulSets } from "../generated/resources.ts";
import { asInGo, notNegative } from "../int-or-percent.ts";
import { ageColumn, defineResource, nameColumn, readyColumn, rules, scaleSubresource, without } from "../kind.ts";
import { noReplicas, templatedScale, validateCollisions, validateCounts, validateTemplated } from "./template-rules.ts";

const maxUnavailable = "spec.updateStrategy.rollingUpdate.maxUnavailable"; // MaxUnavailableStatefulSet

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
  ...without([maxUnavailable], noReplicas),
  ...rules(named, validateSpec, onlySomeChange, function* ({ status }, old) {
    const parts = "readyReplicas currentReplicas updatedReplicas availableReplicas";
    yield* validateCounts(status, `replicas ${parts} observedGeneration`, parts, "status.readyReplicas");
    yield* validateCollisions(status, old.status);
  }),
  columns: [nameColumn, readyColumn<StatefulSet>(), ageColumn, ...templateColumns<StatefulSet>()],
});

function* validateSpec(set: StatefulSet, old?: StatefulSet): field.Problems {
  const { spec } = set;
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
  const claims = spec.volumeClaimTemplates ?? [];
  // What cannot change is looked at once.
  if (!old)
    for (const [i, claim] of claims.entries())
      yield* validateClaimSpec(claim.spec ?? {}, `spec.volumeClaimTemplates[${i}].spec`);
  for (const key of ["replicas", "minReadySeconds"] as const) yield* notNegative(spec[key], `spec.${key}`);
  yield* notNegative(spec.ordinals?.start, "spec.ordinals.start");
  if (!old && spec.serviceName) yield* field.shaped("spec.serviceName", spec.serviceName, dns1123Label);
  // Templates were not looked at before v1.34: what was wrong may stay so.
  const wrongBefore = old !== undefined && old !== set && !validateSpec(old, old).next().done;
  yield* validateTemplated(spec, "StatefulSet", filledTemplate(spec), wrongBefore);
}

/** As the controller fills it: claims become volumes, and names are its own to give. */
function filledTemplate({ template, volumeClaimTemplates: claims = [] }: StatefulSet["spec"]): PodTemplateSpec {
  if (!template?.spec) return template;
  const { hostname: _, subdomain: __, volumes = [], ...spec } = template.spec;
  const names = claims.map(({ metadata }) => metadata?.name ?? "");
  const claimed = names.map((name) => ({ name, persistentVolumeClaim: { claimName: name } }));
  const all = [...claimed, ...volumes.filter(({ name }) => !names.includes(name))];
  return { ...template, spec: { ...spec, ...(all.length > 0 ? { volumes: all } : {}) } };
}

const onlyRolling = "only allowed for updateStrategy 'RollingUpdate'";

function* validateStrategy(strategy: StatefulSet["spec"]["updateStrategy"], at: string): field.Problems {
  const { type, rollingUpdate } = strategy;
  const printed = asInGo(strategy, { partition: 0, maxUnavailable: null });
  if (!type) return yield field.required(at);
  if (type === "OnDelete") {
    if (rollingUpdate) yield field.invalid(`${at}.rollingUpdate`, printed.RollingUpdate, onlyRolling);
    return;
  }
  if (type !== "RollingUpdate") return yield field.invalid(at, printed, "must be 'RollingUpdate' or 'OnDelete'");
  yield* notNegative(rollingUpdate?.partition, `${at}.rollingUpdate.partition`);
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
