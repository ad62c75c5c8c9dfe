import { forbidden, invalid, type Problems, shaped, tooLong } from "../../apimachinery/field-error.ts";
import { configMapKey } from "../../apimachinery/names.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import type { ConfigMap } from "../generated/core-v1.ts";
import { ConfigMaps } from "../generated/resources.ts";
import { column, defineResource, namespaced, rules, shown } from "../kind.ts";

/** Of all values together, for ConfigMaps and Secrets. */
export const maxDataBytes = 1024 * 1024;

const count = ({ data, binaryData }: ConfigMap) =>
  Object.keys(data ?? {}).length + Object.keys(binaryData ?? {}).length;

export const configMaps = defineResource(ConfigMaps, {
  shortNames: ["cm"],
  ...rules(namespaced, validateData, (map, old) => frozen(map, old, ["data", "binaryData"])),
  columns: shown(column("Data", count, "How many keys it has.")),
});

/** Once `immutable` is set, it and the data stay. */
export function* frozen<T extends { immutable?: boolean }>(object: T, old: T, keys: (keyof T & string)[]): Problems {
  if (!old.immutable) return;
  const text = "field is immutable when `immutable` is set";
  if (!object.immutable) yield forbidden("immutable", text);
  for (const key of keys) if (!sameJson(object[key] ?? {}, old[key] ?? {})) yield forbidden(key, text);
}

function* validateData({ data = {}, binaryData = {} }: ConfigMap): Problems {
  let size = 0;
  for (const [key, value] of Object.entries(data)) {
    yield* shaped(`data[${key}]`, key, configMapKey);
    if (Object.hasOwn(binaryData, key)) yield invalid(`data[${key}]`, key, "duplicate of key present in binaryData");
    size += Buffer.byteLength(value);
  }
  for (const [key, value] of Object.entries(binaryData)) {
    yield* shaped(`binaryData[${key}]`, key, configMapKey);
    size += Buffer.byteLength(value, "base64");
  }
  if (size > maxDataBytes) yield tooLong("", maxDataBytes);
}
