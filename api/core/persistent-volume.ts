import { isDeepStrictEqual } from "node:util";
import { forbiddenField, invalidValue, notSupported, type Problems, required } from "../../apimachinery/field-error.ts";
import { ageColumn, column, nameColumn, unset, wide } from "../columns.ts";
import type { PersistentVolume, PersistentVolumeSpec } from "../generated/core-v1.ts";
import { PersistentVolumes } from "../generated/resources.ts";
import { clusterWide, immutableField, rules } from "../metadata.ts";
import { defineResource, type Resource } from "../resource.ts";
import { statusOnly } from "../strategy.ts";
import { oneOf } from "./container-validation.ts";
import { validateVolumePath } from "./pod-validation.ts";
import {
  accessModesText,
  classOf,
  validateAccessModes,
  validateClassName,
  validatePositive,
  validateVolumeMode,
} from "./volume-rules.ts";

export const persistentVolumes: Resource<PersistentVolume> = defineResource(PersistentVolumes, {
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
  ...statusOnly,
  prepareForCreate(volume) {
    volume.status = { phase: "Pending" };
    // The phase begins with the volume.
    const { creationTimestamp } = volume.metadata;
    if (creationTimestamp) volume.status.lastPhaseTransitionTime = creationTimestamp;
  },
  ...rules(clusterWide, validateSpec, onlySome),
  columns: [
    nameColumn,
    column("Capacity", ({ spec }) => spec.capacity?.["storage"] ?? "0", "How much it holds."),
    column("Access Modes", ({ spec }) => accessModesText(spec.accessModes), "How it may be mounted."),
    column("Reclaim Policy", ({ spec }) => spec.persistentVolumeReclaimPolicy ?? "", "What becomes of it."),
    column(
      "Status",
      ({ metadata, status }) => (metadata.deletionTimestamp ? "Terminating" : (status?.phase ?? "")),
      "Its phase.",
    ),
    column(
      "Claim",
      ({ spec: { claimRef } }) => (claimRef ? `${claimRef.namespace}/${claimRef.name}` : ""),
      "Who has it.",
    ),
    column("StorageClass", ({ metadata, spec }) => classOf(metadata.annotations, spec), "Its class."),
    column("VolumeAttributesClass", ({ spec }) => spec.volumeAttributesClassName ?? unset, "Class of its attributes."),
    column("Reason", ({ status }) => status?.reason ?? "", "Why it is in this phase."),
    ageColumn,
    column("VolumeMode", ({ spec }) => spec.volumeMode ?? unset, "File system or block device.", wide),
  ],
});

const common = new Set<string>([
  "capacity",
  "accessModes",
  "claimRef",
  "persistentVolumeReclaimPolicy",
  "storageClassName",
  "mountOptions",
  "volumeMode",
  "nodeAffinity",
  "volumeAttributesClassName",
] satisfies (keyof PersistentVolumeSpec)[]);

const sourceOf = (spec: PersistentVolumeSpec) =>
  Object.fromEntries(Object.entries(spec).filter(([key, value]) => !common.has(key) && value !== undefined));

function* validateSpec({ spec }: PersistentVolume): Problems {
  yield* validateAccessModes(spec.accessModes, "spec.accessModes", "");
  const { capacity = {} } = spec;
  if (Object.keys(capacity).length === 0) yield required("spec.capacity");
  else if (!("storage" in capacity) || Object.keys(capacity).length > 1)
    yield notSupported("spec.capacity", capacity, ["storage"]);
  for (const [name, quantity] of Object.entries(capacity)) yield* validatePositive(quantity, `spec.capacity[${name}]`);
  const policy = spec.persistentVolumeReclaimPolicy;
  yield* oneOf("spec.persistentVolumeReclaimPolicy", policy, ["Delete", "Recycle", "Retain"], false);
  const sources = Object.keys(sourceOf(spec));
  if (sources.length === 0) yield required("spec", "must specify a volume type");
  for (const extra of sources.slice(1))
    yield forbiddenField(`spec.${extra}`, "may not specify more than 1 volume type");
  yield* validateSource(spec);
  yield* validateClassName(spec.storageClassName, "spec.storageClassName");
  yield* validateVolumeMode(spec.volumeMode, "spec.volumeMode");
}

function* validateSource({ hostPath, local, nfs, csi, nodeAffinity, ...spec }: PersistentVolumeSpec): Problems {
  if (hostPath) {
    yield* validateVolumePath(hostPath.path, "spec.hostPath.path");
    if (hostPath.path === "/" && spec.persistentVolumeReclaimPolicy === "Recycle")
      yield forbiddenField("spec.persistentVolumeReclaimPolicy", "may not be 'recycle' for a hostPath mount of '/'");
  }
  if (local) {
    yield* validateVolumePath(local.path, "spec.local.path");
    if (!nodeAffinity) yield required("spec.nodeAffinity", "Local volume requires node affinity");
  }
  if (nfs) {
    if (!nfs.server) yield required("spec.nfs.server");
    if (!nfs.path) yield required("spec.nfs.path");
    else if (!nfs.path.startsWith("/")) yield invalidValue("spec.nfs.path", nfs.path, "must be an absolute path");
  }
  if (csi) {
    if (!csi.driver) yield required("spec.csi.driver");
    if (!csi.volumeHandle) yield required("spec.csi.volumeHandle");
  }
  if (nodeAffinity && !nodeAffinity.required)
    yield required("spec.nodeAffinity.required", "must specify required node constraints");
}

function* onlySome({ spec }: PersistentVolume, old: PersistentVolume): Problems {
  // Differs: upstream adds Go's diff of the two sources.
  if (!isDeepStrictEqual(sourceOf(spec), sourceOf(old.spec)))
    yield forbiddenField("spec.persistentvolumesource", "spec.persistentvolumesource is immutable after creation");
  yield* immutableField("spec.volumeMode", spec.volumeMode, old.spec.volumeMode);
  if (old.spec.nodeAffinity) yield* immutableField("spec.nodeAffinity", spec.nodeAffinity, old.spec.nodeAffinity);
}
