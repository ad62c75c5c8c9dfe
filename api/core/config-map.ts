import { isDeepStrictEqual } from "node:util";
import { type FieldError, forbiddenField, invalidValue, tooLong } from "../../apimachinery/field-error.ts";
import { configMapKey } from "../../apimachinery/names.ts";
import { ageColumn, column, integer, nameColumn } from "../columns.ts";
import type { ConfigMap } from "../generated/core-v1.ts";
import { ConfigMaps } from "../generated/resources.ts";
import { validateObjectMeta, validateObjectMetaUpdate } from "../metadata.ts";
import { defineResource, type Resource } from "../resource.ts";

/** Of all values together, for ConfigMaps and Secrets. */
export const maxDataBytes = 1024 * 1024;

const count = ({ data, binaryData }: ConfigMap) =>
  Object.keys(data ?? {}).length + Object.keys(binaryData ?? {}).length;

export const configMaps: Resource<ConfigMap> = defineResource(ConfigMaps, {
  shortNames: ["cm"],
  defaults: () => {},
  validate: (map) => [...validateObjectMeta(map.metadata, { namespaced: true }), ...validateData(map)],
  validateUpdate: (map, old) => [
    ...validateObjectMetaUpdate(map.metadata, old.metadata),
    ...frozen(map, old, ["data", "binaryData"]),
    ...validateData(map),
  ],
  columns: [nameColumn, column("Data", count, "How many keys it has.", integer), ageColumn],
});

/** Once `immutable` is set, it and the data stay. */
export function frozen<T extends { immutable?: boolean }>(
  object: T,
  old: T,
  keys: readonly (keyof T & string)[],
): FieldError[] {
  if (!old.immutable) return [];
  const errors: FieldError[] = [];
  const text = "field is immutable when `immutable` is set";
  if (!object.immutable) errors.push(forbiddenField("immutable", text));
  for (const key of keys)
    if (!isDeepStrictEqual(object[key] ?? {}, old[key] ?? {})) errors.push(forbiddenField(key, text));
  return errors;
}

function validateData({ data = {}, binaryData = {} }: ConfigMap): FieldError[] {
  const errors: FieldError[] = [];
  let size = 0;
  for (const [key, value] of Object.entries(data)) {
    for (const p of configMapKey(key)) errors.push(invalidValue(`data[${key}]`, key, p));
    if (Object.hasOwn(binaryData, key))
      errors.push(invalidValue(`data[${key}]`, key, "duplicate of key present in binaryData"));
    size += Buffer.byteLength(value);
  }
  for (const [key, value] of Object.entries(binaryData)) {
    for (const p of configMapKey(key)) errors.push(invalidValue(`binaryData[${key}]`, key, p));
    size += Math.floor((value.length * 3) / 4);
  }
  if (size > maxDataBytes) errors.push(tooLong("", maxDataBytes));
  return errors;
}
