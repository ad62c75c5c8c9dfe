import * as field from "../../apimachinery/field-error.ts";
import { dns1123Label, dns1123Subdomain, qualifiedName } from "../../apimachinery/names.ts";
import { compareQuantities } from "../../apimachinery/quantity.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { validateLabelSelector } from "../../apimachinery/selectors.ts";
import { ageColumn, column, nameColumn, phaseColumn, unset, wide } from "../columns.ts";
import type { PersistentVolumeClaim, PersistentVolumeClaimSpec } from "../generated/core-v1.ts";
import { PersistentVolumeClaims } from "../generated/resources.ts";
import { defineResource, immutable, immutableField, keepAllButStatus, keepStatus, namespaced, rules } from "../kind.ts";
import { isNative } from "./resource-names.ts";
import * as volumes from "./volume-rules.ts";

export const persistentVolumeClaims = defineResource(PersistentVolumeClaims, {
  shortNames: ["pvc"],
  subresources: ["status"],
  defaults(claim) {
    claim.status ??= {};
    claim.status.phase ||= "Pending";
    claim.spec ??= {};
    claim.spec.volumeMode ??= "Filesystem";
  },
  prepareForStatusUpdate: keepAllButStatus,
  prepareForCreate(claim) {
    claim.status = { phase: "Pending" };
    levelSources(claim.spec!, {});
  },
  prepareForUpdate(claim, old) {
    keepStatus(claim, old);
    levelSources(claim.spec!, old.spec ?? {});
  },
  ...rules(namespaced, ({ spec }) => validateClaimSpec(spec ?? {}, "spec"), onlySome, validateStatus),
  columns: [
    nameColumn,
    phaseColumn<PersistentVolumeClaim>(),
    column("Volume", ({ spec }) => spec?.volumeName ?? "", "The volume it has."),
    column("Capacity", (c) => (bound(c) ? (c.status?.capacity?.["storage"] ?? "0") : ""), "How much it holds."),
    column(
      "Access Modes",
      (c) => (bound(c) ? volumes.accessModesText(c.status?.accessModes) : ""),
      "Ways to mount it.",
    ),
    column("StorageClass", ({ metadata, spec }) => volumes.classOf(metadata, spec), "Its class."),
    column("VolumeAttributesClass", ({ spec }) => spec?.volumeAttributesClassName ?? unset, "Class of its attributes."),
    ageColumn,
    column("VolumeMode", ({ spec }) => spec?.volumeMode ?? unset, "File system or block device.", wide),
  ],
});

const bound = ({ spec }: PersistentVolumeClaim): boolean => Boolean(spec?.volumeName);

/**
 * dataSource is the older name of dataSourceRef (KEP-1495): either fills the other, but it knows claims and snapshots
 * only. A source in another namespace is behind a feature gate that is off.
 */
function levelSources(spec: PersistentVolumeClaimSpec, old: PersistentVolumeClaimSpec): void {
  if (spec.dataSourceRef?.namespace && !old.dataSourceRef) delete spec.dataSourceRef;
  if (!spec.dataSourceRef && !old.dataSource && !old.dataSourceRef && !isOldSource(spec.dataSource))
    delete spec.dataSource;
  const { dataSource, dataSourceRef } = spec;
  if (dataSource && !dataSourceRef) spec.dataSourceRef = { ...dataSource };
  else if (dataSourceRef && !dataSource && !dataSourceRef.namespace) {
    const { apiGroup, kind, name } = dataSourceRef;
    spec.dataSource = { ...(apiGroup === undefined ? {} : { apiGroup }), kind, name };
  }
}

const isOldSource = ({ apiGroup = "", kind = "" } = {}) =>
  /^(PersistentVolumeClaim\.|VolumeSnapshot\.snapshot\.storage\.k8s\.io)$/.test(`${kind}.${apiGroup}`);

const onlyClaims = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";

export function* validateClaimSpec(spec: PersistentVolumeClaimSpec, at: string): field.Problems {
  yield* volumes.validateAccessModes(spec.accessModes, `${at}.accessModes`, "at least 1 access mode is required");
  yield* validateLabelSelector(spec.selector, `${at}.selector`);
  const storage = spec.resources?.requests?.["storage"];
  const path = `${at}.resources[storage]`;
  if (storage === undefined) yield field.required(path);
  else yield* volumes.validatePositive(storage, path);
  yield* volumes.validateClassName(spec.storageClassName, `${at}.storageClassName`);
  yield* volumes.validateVolumeMode(spec.volumeMode, `${at}.volumeMode`);
  for (const key of ["dataSource", "dataSourceRef"] as const) {
    const source = spec[key];
    if (!source) continue;
    if (!source.name) yield field.required(`${at}.${key}.name`);
    if (!source.kind) yield field.required(`${at}.${key}.kind`);
    if (source.apiGroup) yield* field.shaped(`${at}.${key}.apiGroup`, source.apiGroup, dns1123Subdomain);
    else if (source.kind !== "PersistentVolumeClaim") yield field.invalid(`${at}.${key}`, source.kind, onlyClaims);
  }
  const { dataSource, dataSourceRef: { namespace, ...ref } = {}, volumeAttributesClassName: attributes } = spec;
  if (namespace) yield* field.shaped(`${at}.dataSourceRef.namespace`, namespace, dns1123Label);
  const wrong = (text: string) => field.invalid(at, `${at}.dataSource`, text);
  if (dataSource && namespace) yield wrong("may not be specified when dataSourceRef.namespace is specified");
  else if (dataSource && spec.dataSourceRef && !sameJson(dataSource, ref)) yield wrong("must match dataSourceRef");
  yield* volumes.validateClassName(attributes, `${at}.volumeAttributesClassName`);
}

function* validateStatus({ spec, status = {} }: PersistentVolumeClaim): field.Problems {
  if (!spec?.accessModes?.length) yield field.required("Spec.accessModes"); // upstream's path
  for (const [name, amount] of Object.entries(status.capacity ?? {}))
    yield* volumes.validateNotNegative(amount, `status.capacity[${name}]`);
  for (const [name, what] of Object.entries(status.allocatedResourceStatuses ?? {})) {
    yield* validateGrowing(name, "status.allocatedResourceStatus");
    if (!resizes.includes(what)) yield field.notSupported("status.allocatedResourceStatus", name, resizes);
  }
  for (const [name, amount] of Object.entries(status.allocatedResources ?? {})) {
    const problems = [...validateGrowing(name, "status.allocatedResources")];
    yield* problems;
    if (problems.length === 0) yield* volumes.validateNotNegative(amount, `status.allocatedResources[${name}]`);
  }
}

/** Of what Kubernetes itself knows, claims have storage alone. */
function* validateGrowing(name: string, at: string): field.Problems {
  const problems = qualifiedName(name);
  yield* problems.map((problem) => field.invalid(at, name, problem));
  if (problems.length === 0 && isNative(name) && name !== "storage") yield field.notSupported(at, name, ["storage"]);
}

const resizes = [
  ...["ControllerResizeInProgress", "ControllerResizeInfeasible"],
  ...["NodeResizeInProgress", "NodeResizeInfeasible", "NodeResizePending"],
];

const fixedSpec =
  "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
const applied = "is forbidden when status.currentVolumeAttributesClassName is not nil";

/** A claim is bound once; later only more may be asked for. */
function* onlySome(claim: PersistentVolumeClaim, { metadata, spec: old = {} }: PersistentVolumeClaim): field.Problems {
  const { spec = {}, status } = claim;
  const { resources, ...rest } = spec;
  const { resources: before, ...oldRest } = old;
  const given = claim.metadata.annotations?.[volumes.classAnnotation];
  const named = metadata.annotations?.[volumes.classAnnotation];
  // A class given to a claim that had none: a new default class, or the one that an annotation named.
  const isNew =
    old.storageClassName === undefined && (spec.storageClassName ?? named) === (named ?? spec.storageClassName);
  if (given !== named && !(isNew && named !== undefined && spec.storageClassName === named && given === undefined))
    yield field.invalid(`metadata.annotations.${volumes.classAnnotation}`, given ?? "", immutable);
  const fixed = (given: PersistentVolumeClaimSpec, whole: PersistentVolumeClaimSpec) => ({
    ...given,
    ...(status?.phase === "Bound" ? { volumeAttributesClassName: undefined } : {}),
    ...(old.volumeName ? {} : { volumeName: undefined }),
    ...(isNew ? { storageClassName: undefined } : {}),
    resources: status?.phase === "Bound" ? withoutStorage(whole.resources) : whole.resources,
  });
  // Differs: upstream adds Go's diff of the two specs.
  if (!sameJson(fixed(rest, spec), fixed(oldRest, old))) yield field.forbidden("spec", fixedSpec);
  const [now, then] = [resources?.requests?.["storage"], before?.requests?.["storage"]];
  const has = status?.capacity?.["storage"] ?? "0";
  if (now !== undefined && then !== undefined && compareQuantities(now, then) < 0)
    if (compareQuantities(now, has) <= 0)
      yield field.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity");
  yield* immutableField("volumeMode", spec.volumeMode, old.volumeMode); // upstream's path
  const { volumeAttributesClassName: attributes } = spec;
  const taken = !attributes && attributes !== old.volumeAttributesClassName;
  if (taken && status?.currentVolumeAttributesClassName !== undefined)
    yield field.forbidden(
      "spec.volumeAttributesClassName",
      `update to ${attributes === "" ? "empty string" : "nil"} ${applied}`,
    );
}

function withoutStorage(resources: PersistentVolumeClaimSpec["resources"]): unknown {
  const { storage: _, ...requests } = resources?.requests ?? {};
  return { ...resources, requests };
}
