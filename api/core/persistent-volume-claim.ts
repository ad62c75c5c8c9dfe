import { forbiddenField, invalidValue, type Problems, required } from "../../apimachinery/field-error.ts";
import { compareQuantities } from "../../apimachinery/quantity.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { validateLabelSelector } from "../../apimachinery/selectors.ts";
import { ageColumn, column, nameColumn, unset, wide } from "../columns.ts";
import type { PersistentVolumeClaim, PersistentVolumeClaimSpec } from "../generated/core-v1.ts";
import { PersistentVolumeClaims } from "../generated/resources.ts";
import { immutableField, namespaced, rules } from "../metadata.ts";
import { defineResource, type Resource } from "../resource.ts";
import { keepStatus, statusOnly } from "../strategy.ts";
import {
  accessModesText,
  classOf,
  validateAccessModes,
  validateClassName,
  validatePositive,
  validateVolumeMode,
} from "./volume-rules.ts";

export const persistentVolumeClaims: Resource<PersistentVolumeClaim> = defineResource(PersistentVolumeClaims, {
  shortNames: ["pvc"],
  subresources: ["status"],
  defaults(claim) {
    claim.status ??= {};
    claim.status.phase ||= "Pending";
    claim.spec ??= {};
    claim.spec.volumeMode ??= "Filesystem";
  },
  ...statusOnly,
  prepareForCreate(claim) {
    claim.status = { phase: "Pending" };
    levelSources(claim.spec!);
  },
  prepareForUpdate(claim, old) {
    keepStatus(claim, old);
    levelSources(claim.spec!);
  },
  ...rules(namespaced, ({ spec }) => validateClaimSpec(spec ?? {}, "spec"), onlySome),
  columns: [
    nameColumn,
    column(
      "Status",
      ({ metadata, status }) => (metadata.deletionTimestamp ? "Terminating" : (status?.phase ?? "")),
      "Its phase.",
    ),
    column("Volume", ({ spec }) => spec?.volumeName ?? "", "The volume it has."),
    column(
      "Capacity",
      (claim) => (bound(claim) ? (claim.status?.capacity?.["storage"] ?? "0") : ""),
      "How much it holds.",
    ),
    column(
      "Access Modes",
      (claim) => (bound(claim) ? accessModesText(claim.status?.accessModes) : ""),
      "How it may be mounted.",
    ),
    column("StorageClass", ({ metadata, spec }) => classOf(metadata.annotations, spec ?? {}), "Its class."),
    column("VolumeAttributesClass", ({ spec }) => spec?.volumeAttributesClassName ?? unset, "Class of its attributes."),
    ageColumn,
    column("VolumeMode", ({ spec }) => spec?.volumeMode ?? unset, "File system or block device.", wide),
  ],
});

const bound = ({ spec }: PersistentVolumeClaim): boolean => Boolean(spec?.volumeName);

/** dataSource is the older name of dataSourceRef: either fills the other, unless it looks into another namespace. */
function levelSources(spec: PersistentVolumeClaimSpec): void {
  const { dataSource, dataSourceRef } = spec;
  if (dataSource && !dataSourceRef) spec.dataSourceRef = { ...dataSource };
  else if (dataSourceRef && !dataSource && !dataSourceRef.namespace) {
    const { apiGroup, kind, name } = dataSourceRef;
    spec.dataSource = { ...(apiGroup === undefined ? {} : { apiGroup }), kind, name };
  }
}

export function* validateClaimSpec(spec: PersistentVolumeClaimSpec, at: string): Problems {
  yield* validateAccessModes(spec.accessModes, `${at}.accessModes`, "at least 1 access mode is required");
  yield* validateLabelSelector(spec.selector, `${at}.selector`);
  const storage = spec.resources?.requests?.["storage"];
  const path = `${at}.resources[storage]`;
  if (storage === undefined) yield required(path);
  else yield* validatePositive(storage, path);
  yield* validateClassName(spec.storageClassName, `${at}.storageClassName`);
  yield* validateVolumeMode(spec.volumeMode, `${at}.volumeMode`);
  for (const key of ["dataSource", "dataSourceRef"] as const) {
    const source = spec[key];
    if (!source) continue;
    if (!source.name) yield required(`${at}.${key}.name`);
    if (!source.kind) yield required(`${at}.${key}.kind`);
    if (!source.apiGroup && source.kind !== "PersistentVolumeClaim")
      yield invalidValue(
        `${at}.${key}`,
        source.kind,
        "must be 'PersistentVolumeClaim' when referencing the default apiGroup",
      );
  }
}

/** A claim is bound once; later only more may be asked for. */
function* onlySome({ spec = {}, status }: PersistentVolumeClaim, { spec: old = {} }: PersistentVolumeClaim): Problems {
  const { resources, ...rest } = spec;
  const { resources: before, ...oldRest } = old;
  const fixed = (given: PersistentVolumeClaimSpec, whole: PersistentVolumeClaimSpec) => ({
    ...given,
    volumeAttributesClassName: undefined,
    ...(old.volumeName ? {} : { volumeName: undefined }),
    // A class given to a claim that had none: a new default class.
    ...(old.storageClassName === undefined ? { storageClassName: undefined } : {}),
    resources: status?.phase === "Bound" ? withoutStorage(whole.resources) : whole.resources,
  });
  // Differs: upstream adds Go's diff of the two specs.
  if (!sameJson(fixed(rest, spec), fixed(oldRest, old)))
    yield forbiddenField(
      "spec",
      "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
    );
  const [now, then] = [resources?.requests?.["storage"], before?.requests?.["storage"]];
  const has = status?.capacity?.["storage"];
  if (now !== undefined && then !== undefined && compareQuantities(now, then) < 0)
    if (has === undefined || compareQuantities(now, has) <= 0)
      yield forbiddenField("spec.resources.requests.storage", "field can not be less than status.capacity");
  yield* immutableField("spec.volumeMode", spec.volumeMode, old.volumeMode);
}

function withoutStorage(resources: PersistentVolumeClaimSpec["resources"]): unknown {
  const { storage: _, ...requests } = resources?.requests ?? {};
  return { ...resources, requests };
}
