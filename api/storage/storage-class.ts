import * as field from "../../apimachinery/field-error.ts";
import { qualifiedName } from "../../apimachinery/names.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import type { TopologySelectorLabelRequirement, TopologySelectorTerm } from "../generated/core-v1.ts";
import { StorageClasses, VolumeAttributesClasses } from "../generated/resources.ts";
import type { StorageClass, VolumeAttributesClass } from "../generated/storage-v1.ts";
import { ageColumn, clusterWide, column, immutableField, nameColumn, rules } from "../kind.ts";
import { type Column, defineResource } from "../resource.ts";

const fixed = <T extends object>(now: T, old: T, keys: (keyof T & string)[]): field.FieldError[] =>
  keys
    .filter((key) => !sameJson(now[key], old[key]))
    .map((key) => field.forbidden(key, `updates to ${key} are forbidden.`));

/** Which of the classes is the default is an annotation's to say. */
const className = (...annotations: string[]): Column<StorageClass & VolumeAttributesClass> => ({
  ...nameColumn,
  cell: ({ metadata }) =>
    metadata.name + (annotations.some((key) => metadata.annotations?.[key] === "true") ? " (default)" : ""),
});

export const storageClasses = defineResource(StorageClasses, {
  shortNames: ["sc"],
  defaults(storage) {
    storage.reclaimPolicy ??= "Delete";
    storage.volumeBindingMode ??= "Immediate";
  },
  ...rules(
    clusterWide,
    (storage) => [
      ...validateProvisioner(storage.provisioner, "provisioner"),
      ...validateParameters(storage.parameters),
      ...field.oneOf("reclaimPolicy", storage.reclaimPolicy, ["Delete", "Retain"], false),
      ...field.oneOf("volumeBindingMode", storage.volumeBindingMode, ["Immediate", "WaitForFirstConsumer"], true),
      ...validateTopologies(storage.allowedTopologies, "allowedTopologies"),
    ],
    (storage, old) => [
      ...fixed(storage, old, ["parameters", "provisioner", "reclaimPolicy"]),
      ...immutableField("volumeBindingMode", storage.volumeBindingMode, old.volumeBindingMode),
    ],
  ),
  columns: [
    className("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"),
    column("Provisioner", ({ provisioner }) => provisioner ?? "", "Who makes its volumes."),
    column("ReclaimPolicy", ({ reclaimPolicy }) => reclaimPolicy ?? "Delete", "What becomes of them."),
    column("VolumeBindingMode", (storage) => storage.volumeBindingMode ?? "Immediate", "When they are bound."),
    column("AllowVolumeExpansion", (storage) => storage.allowVolumeExpansion ?? false, "Whether they can grow."),
    ageColumn,
  ],
});

export const volumeAttributesClasses = defineResource(VolumeAttributesClasses, {
  shortNames: ["vac"],
  ...rules(
    clusterWide,
    ({ driverName, parameters }) => [
      ...validateProvisioner(driverName, "driverName"),
      ...(parameters && Object.keys(parameters).length
        ? validateParameters(parameters)
        : [field.required("parameters", "must contain at least one key/value pair")]),
    ],
    (attributes, old) => fixed(attributes, old, ["driverName", "parameters"]),
  ),
  columns: [
    className("volumeattributesclass.alpha.kubernetes.io/is-default-class"),
    column("DriverName", ({ driverName }) => driverName ?? "", "Who applies it."),
    ageColumn,
  ],
});

const maxParameters = 512;
const maxParameterBytes = 256 * 1024;

function* validateProvisioner(name: string | undefined, at: string): field.Problems {
  if (!name) return yield field.required(at);
  yield* qualifiedName(name.toLowerCase()).map((p) => field.invalid(at, name, p));
}

function* validateParameters(parameters: Record<string, string> = {}): field.Problems {
  const entries = Object.entries(parameters);
  if (entries.length > maxParameters) return yield field.tooLong("parameters", maxParameters);
  if ("" in parameters) yield field.invalid("parameters", "", "field can not be empty.");
  if (entries.reduce((sum, [k, v]) => sum + Buffer.byteLength(k) + Buffer.byteLength(v), 0) > maxParameterBytes)
    yield field.tooLong("parameters", maxParameterBytes);
}

function* validateExpression({ key = "", values = [] }: TopologySelectorLabelRequirement, at: string): field.Problems {
  if (values.length === 0) yield field.required(`${at}.values`);
  yield* field.each(values, `${at}.values`, () => [], { key: String });
  yield* field.shaped(`${at}.key`, key, qualifiedName);
}

function* validateTopologies(terms: TopologySelectorTerm[] = [], path: string): field.Problems {
  for (const [i, { matchLabelExpressions: expressions = [] }] of terms.entries()) {
    const own = { key: (one: TopologySelectorLabelRequirement) => one.key ?? "", at: "key" };
    yield* field.each(expressions, `${path}[${i}].matchLabelExpressions`, validateExpression, own);
    const text = (term: TopologySelectorTerm) =>
      JSON.stringify(term.matchLabelExpressions?.map(({ key, values = [] }) => [key, [...values].sort()]).sort());
    if (terms.slice(0, i).some((term) => text(term) === text(terms[i]!)))
      yield field.duplicate(`${path}[${i}].matchLabelExpressions`, "");
  }
}
