import { posix } from "node:path";
import type { Problems } from "../../apimachinery/field-error.ts";
import { forbidden, invalid, nil, notSupported, oneOf, required } from "../../apimachinery/field-error.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { ageColumn, column, nameColumn, phaseColumn, unset, wide } from "../columns.ts";
import type { PersistentVolume, PersistentVolumeSpec } from "../generated/core-v1.ts";
import { PersistentVolumes } from "../generated/resources.ts";
import {
  clusterWide,
  defineResource,
  immutable,
  immutableField,
  keepAllButStatus,
  rules,
  statusOnly,
} from "../kind.ts";
import { defaultSource } from "./pod-defaults.ts";
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
    defaultSource(spec);
  },
  // The phase begins with the volume, and changes with a time.
  ...statusOnly<PersistentVolume>(({ metadata: { creationTimestamp: since } }) => ({
    phase: "Pending",
    ...(since ? { lastPhaseTransitionTime: since } : {}),
  })),
  prepareForStatusUpdate(volume, old, now) {
    keepAllButStatus(volume, old);
    const { status = {} } = volume;
    const { phase, lastPhaseTransitionTime: then } = old.status ?? {};
    if (status.phase === phase && then) status.lastPhaseTransitionTime ??= then;
    else if (status.phase !== phase && (status.lastPhaseTransitionTime ?? then) === then)
      status.lastPhaseTransitionTime = now!;
  },
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

/** In the order in which upstream looks for them: the first is the volume's, the others are too many. */
const kinds =
  "hostPath gcePersistentDisk awsElasticBlockStore glusterfs flocker nfs rbd quobyte cephfs iscsi cinder fc flexVolume azureFile vsphereVolume photonPersistentDisk portworxVolume azureDisk scaleIO local storageos csi".split(
    " ",
  ) as (keyof PersistentVolumeSpec)[];

const sourceOf = (spec: PersistentVolumeSpec): Partial<PersistentVolumeSpec> =>
  Object.fromEntries(kinds.flatMap((kind) => (spec[kind] === undefined ? [] : [[kind, spec[kind]]])));

function* validateSpec({ spec }: PersistentVolume): Problems {
  yield* volumes.validateAccessModes(spec.accessModes, "spec.accessModes", "");
  const { capacity = {} } = spec;
  if (Object.keys(capacity).length === 0) yield required("spec.capacity");
  if (!("storage" in capacity) || Object.keys(capacity).length > 1)
    yield notSupported("spec.capacity", spec.capacity ?? nil, ["storage"]);
  for (const [name, quantity] of Object.entries(capacity)) {
    yield* volumes.validateNotNegative(quantity, `spec.capacity[${name}]`);
    yield* volumes.validatePositive(quantity, `spec.capacity[${name}]`);
  }
  const policy = spec.persistentVolumeReclaimPolicy;
  yield* oneOf("spec.persistentVolumeReclaimPolicy", policy, ["Delete", "Recycle", "Retain"], false);
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
  const { hostPath, nodeAffinity, persistentVolumeReclaimPolicy: policy } = spec;
  if (nodeAffinity && !nodeAffinity.required)
    yield required("spec.nodeAffinity.required", "must specify required node constraints");
  else if (nodeAffinity?.required) yield* validateNodeSelector(nodeAffinity.required, "spec.nodeAffinity.required");
  const [first, ...others] = Object.entries(sourceOf(spec));
  if (first) yield* validateSources(Object.fromEntries([first]), "spec", true);
  if (first?.[0] === "local" && !nodeAffinity)
    yield required("spec.nodeAffinity", "Local volume requires node affinity");
  yield* others.map(([kind]) => forbidden(`spec.${kind}`, "may not specify more than 1 volume type"));
  if (!first) yield required("spec", "must specify a volume type");
  if (hostPath && posix.normalize(hostPath.path) === "/" && policy === "Recycle")
    yield forbidden("spec.persistentVolumeReclaimPolicy", "may not be 'recycle' for a hostPath mount of '/'");
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
  if (old.nodeAffinity && !sameJson(spec.nodeAffinity, old.nodeAffinity))
    yield invalid("nodeAffinity", spec.nodeAffinity, `${immutable}, except for updating from beta label to GA`);
  if (old.volumeAttributesClassName !== undefined && spec.volumeAttributesClassName === undefined)
    yield forbidden("spec.volumeAttributesClassName", "update from non-nil value to nil is forbidden");
}
