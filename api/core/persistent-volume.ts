import { posix } from "node:path";
import { forbidden, notSupported, oneOf, type Problems, required } from "../../apimachinery/field-error.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import type { PersistentVolume, PersistentVolumeSpec } from "../generated/core-v1.ts";
import { PersistentVolumes } from "../generated/resources.ts";
import { ageColumn, column, defineResource, nameColumn, phaseColumn, statusOnly, unset, wide } from "../kind.ts";
import { clusterWide, immutableField, rules } from "../metadata.ts";
import { validateNodeSelector } from "./pod-rules.ts";
import * as volumes from "./volume-rules.ts";
import { validateSources } from "./volume-sources.ts";

export const persistentVolumes = defineResource(PersistentVolumes, {
  shortNames: ["pv"],
  subresources: ["status"],
  defaults(volume) {
    volume.status ??= {};
    volume.status.phase ||= "Pending";
    const { spec } = volume;
    spec.persistentVolumeReclaimPolicy ||= "Retain";
    spec.volumeMode ??= "Filesystem";
    if (spec.hostPath) spec.hostPath.type ??= "";
    if (spec.iscsi) spec.iscsi.iscsiInterface ||= "default";
  },
  // The phase begins with the volume.
  ...statusOnly<PersistentVolume>(({ metadata: { creationTimestamp: since } }) => ({
    phase: "Pending",
    ...(since ? { lastPhaseTransitionTime: since } : {}),
  })),
  ...rules(clusterWide, validateSpec, onlySome),
  columns: [
    nameColumn,
    column("Capacity", ({ spec }) => spec.capacity?.["storage"] ?? "0", "How much it holds."),
    column("Access Modes", ({ spec }) => volumes.accessModesText(spec.accessModes), "How it may be mounted."),
    column("Reclaim Policy", ({ spec }) => spec.persistentVolumeReclaimPolicy ?? "", "What becomes of it."),
    phaseColumn<PersistentVolume>(),
    column("Claim", ({ spec: { claimRef: c } }) => (c ? `${c.namespace}/${c.name}` : ""), "Who has it."),
    column("StorageClass", ({ metadata, spec }) => volumes.classOf(metadata, spec), "Its class."),
    column("VolumeAttributesClass", ({ spec }) => spec.volumeAttributesClassName ?? unset, "Class of its attributes."),
    column("Reason", ({ status }) => status?.reason ?? "", "Why it is in this phase."),
    ageColumn,
    column("VolumeMode", ({ spec }) => spec.volumeMode ?? unset, "File system or block device.", wide),
  ],
});

const common = new Set<string>([
  ...(["capacity", "accessModes", "claimRef", "persistentVolumeReclaimPolicy", "storageClassName"] as const),
  ...(["mountOptions", "volumeMode", "nodeAffinity", "volumeAttributesClassName"] as const),
] satisfies (keyof PersistentVolumeSpec)[]);

const sourceOf = (spec: PersistentVolumeSpec) =>
  Object.fromEntries(Object.entries(spec).filter(([key, value]) => !common.has(key) && value !== undefined));

function* validateSpec({ spec }: PersistentVolume): Problems {
  yield* volumes.validateAccessModes(spec.accessModes, "spec.accessModes", "");
  const { capacity = {} } = spec;
  if (Object.keys(capacity).length === 0) yield required("spec.capacity");
  else if (!("storage" in capacity) || Object.keys(capacity).length > 1)
    yield notSupported("spec.capacity", capacity, ["storage"]);
  for (const [name, quantity] of Object.entries(capacity))
    yield* volumes.validatePositive(quantity, `spec.capacity[${name}]`);
  const policy = spec.persistentVolumeReclaimPolicy;
  yield* oneOf("spec.persistentVolumeReclaimPolicy", policy, ["Delete", "Recycle", "Retain"], false);
  const sources = Object.keys(sourceOf(spec));
  if (sources.length === 0) yield required("spec", "must specify a volume type");
  for (const extra of sources.slice(1)) yield forbidden(`spec.${extra}`, "may not specify more than 1 volume type");
  yield* validatePlace(spec);
  yield* volumes.validateClassName(spec.storageClassName, "spec.storageClassName");
  yield* volumes.validateVolumeMode(spec.volumeMode, "spec.volumeMode");
  const { volumeAttributesClassName: attributes } = spec;
  if (attributes === undefined) return;
  if (attributes === "") yield required("spec.volumeAttributesClassName", "an empty string is disallowed");
  else yield* volumes.validateClassName(attributes, "spec.volumeAttributesClassName");
  if (!spec.csi) yield required("spec.csi", "has to be specified when using volumeAttributesClassName");
}

function* validatePlace(spec: PersistentVolumeSpec): Problems {
  const { hostPath, local, nodeAffinity, persistentVolumeReclaimPolicy: policy } = spec;
  yield* validateSources(sourceOf(spec), "spec", true);
  if (hostPath && posix.normalize(hostPath.path) === "/" && policy === "Recycle")
    yield forbidden("spec.persistentVolumeReclaimPolicy", "may not be 'recycle' for a hostPath mount of '/'");
  if (local && !nodeAffinity) yield required("spec.nodeAffinity", "Local volume requires node affinity");
  if (nodeAffinity && !nodeAffinity.required)
    yield required("spec.nodeAffinity.required", "must specify required node constraints");
  else if (nodeAffinity?.required) yield* validateNodeSelector(nodeAffinity.required, "spec.nodeAffinity.required");
}

function* onlySome({ spec }: PersistentVolume, { spec: old }: PersistentVolume): Problems {
  const [now, then] = [sourceOf(spec), sourceOf(old)];
  // A driver's secret for growing may be added later.
  if (then["csi"] && now["csi"] && !old.csi?.controllerExpandSecretRef) {
    const { controllerExpandSecretRef: _, ...csi } = spec.csi!;
    now["csi"] = csi;
  }
  // Differs: upstream adds Go's diff of the two sources.
  if (!sameJson(now, then))
    yield forbidden("spec.persistentvolumesource", "spec.persistentvolumesource is immutable after creation");
  // Upstream's paths.
  yield* immutableField("volumeMode", spec.volumeMode, old.volumeMode);
  if (old.nodeAffinity) yield* immutableField("nodeAffinity", spec.nodeAffinity, old.nodeAffinity);
  yield* volumes.keepsAttributes(spec.volumeAttributesClassName, old.volumeAttributesClassName);
}
