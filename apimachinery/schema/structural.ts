import { memo } from "../../base/memo.ts";
import { type Atom, deduced, leaf, type Struct, structOf } from "../apply/atom.ts";
import { isObject, normalize, set } from "./normalize.ts";
import type { Schema } from "./table.ts";

/**
 * Structural schemas of custom resources: how unknown fields go, defaults come, and fields are owned. An object's root
 * and whatever is an embedded resource have apiVersion, kind and metadata, which no schema needs to name.
 * Source: KEP "Pruning for Custom Resources" (apiextensions); k8s.io/apiextensions-apiserver, pkg/apiserver/schema.
 */
export interface JsonSchema {
  type?: string;
  format?: string;
  description?: string;
  default?: unknown;
  nullable?: boolean;
  enum?: unknown[];
  pattern?: string;
  maximum?: number;
  exclusiveMaximum?: boolean;
  minimum?: number;
  exclusiveMinimum?: boolean;
  multipleOf?: number;
  maxLength?: number;
  minLength?: number;
  maxItems?: number;
  minItems?: number;
  maxProperties?: number;
  minProperties?: number;
  required?: string[];
  items?: JsonSchema;
  properties?: Record<string, JsonSchema>;
  additionalProperties?: JsonSchema | boolean;
  allOf?: JsonSchema[];
  anyOf?: JsonSchema[];
  oneOf?: JsonSchema[];
  not?: JsonSchema;
  "x-kubernetes-preserve-unknown-fields"?: boolean;
  "x-kubernetes-embedded-resource"?: boolean;
  "x-kubernetes-int-or-string"?: boolean;
  "x-kubernetes-list-type"?: string;
  "x-kubernetes-list-map-keys"?: string[];
  "x-kubernetes-map-type"?: string;
  "x-kubernetes-validations"?: unknown[];
}

const metaFields = new Set(["apiVersion", "kind", "metadata"]);

/** The schema of one field of an object: its own, or that of all. */
export function schemaOfField(schema: JsonSchema, key: string): JsonSchema | undefined {
  if (schema.properties && Object.hasOwn(schema.properties, key)) return schema.properties[key];
  return isObject(schema.additionalProperties) ? (schema.additionalProperties as JsonSchema) : undefined;
}

export const isEmbedded = (schema: JsonSchema): boolean => schema["x-kubernetes-embedded-resource"] === true;
const preserves = (schema: JsonSchema) => schema["x-kubernetes-preserve-unknown-fields"] === true;

/** Drops what the schema does not specify; `unknown` receives the paths. Works in place. */
export function prune(value: unknown, schema: JsonSchema | undefined, root: boolean, unknown: string[], at = ""): void {
  if (Array.isArray(value)) {
    const items = schema && (schema.items ?? (preserves(schema) ? anything : undefined));
    for (const [i, item] of value.entries()) prune(item, items, false, unknown, `${at}[${i}]`);
    return;
  }
  if (!isObject(value)) return;
  for (const key of Object.keys(value)) {
    if (schema && (root || isEmbedded(schema)) && metaFields.has(key)) continue;
    const path = at ? `${at}.${key}` : key;
    const known = schema && schemaOfField(schema, key);
    if (known !== undefined) prune(value[key], known, false, unknown, path);
    else if (schema?.additionalProperties === true) prune(value[key], undefined, false, unknown, path);
    else if (schema === undefined || !preserves(schema)) {
      unknown.push(path);
      delete value[key];
    }
  }
}

const anything: JsonSchema = { "x-kubernetes-preserve-unknown-fields": true };

/** Nulls where none may be: they give way to the default, or go. */
const isNonNullableNull = (value: unknown, schema: JsonSchema | undefined): boolean =>
  value === null && schema !== undefined && schema.nullable !== true;

/** Sets what is absent and has a default; drops nulls that are not allowed and have none. Works in place. */
export function setDefaults(value: unknown, schema: JsonSchema | undefined): void {
  if (schema === undefined) return;
  if (Array.isArray(value)) {
    for (const [i, item] of value.entries()) {
      if (isNonNullableNull(item, schema.items) && schema.items?.default !== undefined)
        value[i] = structuredClone(schema.items.default);
      setDefaults(value[i], schema.items);
    }
    return;
  }
  if (!isObject(value)) return;
  for (const [key, property] of Object.entries(schema.properties ?? {}))
    if (property.default !== undefined && !Object.hasOwn(value, key))
      set(value, key, structuredClone(property.default));
  for (const key of Object.keys(value)) {
    const inner = schemaOfField(schema, key);
    if (isNonNullableNull(value[key], inner)) {
      if (inner!.default === undefined) {
        delete value[key];
        continue;
      }
      set(value, key, structuredClone(inner!.default));
    }
    setDefaults(value[key], inner);
  }
}

/**
 * Metadata of the object and of embedded resources as Go would have written it. Throws an Error with Go's text when a
 * value has the wrong type; with `drop` what cannot be read goes, as upstream does with what lies in the store.
 */
export function coerceMetadata(table: Schema, value: unknown, schema: JsonSchema | undefined, unknown: string[]): void {
  visit(value, schema, true, "");

  function visit(node: unknown, inner: JsonSchema | undefined, root: boolean, at: string): void {
    if (inner === undefined && !root) return;
    if (Array.isArray(node)) {
      for (const [i, item] of node.entries()) visit(item, inner?.items, false, `${at}[${i}]`);
      return;
    }
    if (!isObject(node)) return;
    const below = (key: string) => (at ? `${at}.${key}` : key);
    if ((root || (inner && isEmbedded(inner))) && isObject(node["metadata"])) {
      const found: string[] = [];
      normalize(table, table.message("meta/v1.ObjectMeta"), node["metadata"], found);
      unknown.push(...found.map((path) => `${below("metadata")}.${path}`));
    }
    for (const key of Object.keys(node))
      if (!root || !metaFields.has(key)) visit(node[key], inner && schemaOfField(inner, key), false, below(key));
  }
}

/** How fields are owned in server-side apply: by x-kubernetes-list-type, -map-type and their like. */
export function structOfSchema(table: Schema, schema: JsonSchema | undefined, root = true): Struct {
  const atoms = new Map<string, Atom>();
  if (root || (schema && isEmbedded(schema))) {
    for (const name of ["apiVersion", "kind"]) atoms.set(name, leaf("string"));
    atoms.set("metadata", structOf(table, table.message("meta/v1.ObjectMeta")));
  }
  return {
    kind: "struct",
    field(name) {
      const inner = schema && schemaOfField(schema, name);
      if (inner) return memo(atoms, name, () => atomOf(table, inner));
      return atoms.get(name) ?? (schema === undefined || preserves(schema) ? deduced : undefined);
    },
  };
}

function atomOf(table: Schema, schema: JsonSchema): Atom {
  if (schema["x-kubernetes-int-or-string"]) return leaf(undefined);
  switch (schema.type) {
    case "string":
      return leaf("string");
    case "boolean":
      return leaf("bool");
    case "integer":
    case "number":
      return leaf("double");
    case "array": {
      const type = schema["x-kubernetes-list-type"];
      if ((type !== "map" && type !== "set") || schema.items === undefined) return leaf(undefined, "list");
      const names = type === "map" ? (schema["x-kubernetes-list-map-keys"] ?? []) : [];
      const keys = names.map((name) => ({ name, default: schema.items?.properties?.[name]?.default }));
      return { kind: "list", keys, item: atomOf(table, schema.items) };
    }
    case "object": {
      if (schema["x-kubernetes-map-type"] === "atomic") return leaf(undefined, "map");
      if (isObject(schema.additionalProperties))
        return { kind: "map", item: atomOf(table, schema.additionalProperties as JsonSchema) };
      if (schema.properties || isEmbedded(schema)) return structOfSchema(table, schema, false);
      return preserves(schema) ? deduced : { kind: "map", item: deduced };
    }
    default:
      return deduced;
  }
}

/** A root that has nothing but what all objects have. */
export const rootFields = (schema: JsonSchema | undefined): string[] => [
  ...new Set([...metaFields, ...Object.keys(schema?.properties ?? {})]),
];
