import { RE2JS } from "@bufbuild/re2";
import { LRUCache } from "lru-cache";
import { memo } from "../../base/memo.ts";
import { duplicate, type FieldError, invalid, notSupported, required, tooLong, tooMany } from "../field-error.ts";
import { sameJson } from "../same-json.ts";
import { formats } from "./formats.ts";
import { isObject, type JsonObject } from "./normalize.ts";
import { isEmbedded, type JsonSchema, schemaOfField } from "./structural.ts";

/**
 * A value against a structural schema; every problem in upstream's words (k8s.io/kube-openapi, pkg/validation, and
 * apiextensions' texts around it). With `old`, what has not changed is not looked at again (KEP-4008, ratcheting).
 */
export function validateValue(value: unknown, schema: JsonSchema, at = "", old?: unknown): FieldError[] {
  if (old !== undefined && at !== "" && sameJson(value, old)) return [];
  if (value === null && schema.nullable) return [];
  const body = `${at} in body`;
  const bad = (text: string) => invalid(at, value, `${body} ${text}`);
  const errors = validateType(value, schema, at);
  if (errors.length > 0) return errors;
  if (schema.enum && !schema.enum.some((one) => sameJson(one, value)))
    errors.push(notSupportedAmong(at, value, schema.enum));
  if (typeof value === "string") {
    const { maxLength, minLength, pattern, format = "" } = schema;
    const length = maxLength === undefined && minLength === undefined ? 0 : [...value].length;
    if (maxLength !== undefined && length > maxLength) errors.push(tooLong(at, maxLength));
    if (minLength !== undefined && length < minLength) errors.push(bad(`should be at least ${minLength} chars long`));
    if (pattern && !compilePattern(pattern).test(value)) errors.push(bad(`should match '${pattern}'`));
    if (Object.hasOwn(formats, format) && !formats[format]!(value))
      errors.push(typeInvalid(at, value, `${body} must be of type ${format}: ${JSON.stringify(value)}`));
  } else if (typeof value === "number") errors.push(...validateNumber(value, schema, bad));
  else if (Array.isArray(value)) {
    const { maxItems, minItems } = schema;
    if (minItems !== undefined && value.length < minItems) errors.push(bad(`should have at least ${minItems} items`));
    if (maxItems !== undefined && value.length > maxItems) errors.push(tooMany(at, value.length, maxItems));
    errors.push(...validateListType(value, schema, at));
    const before = correlated(value, schema, old);
    if (schema.items)
      for (const [i, item] of value.entries())
        errors.push(...validateValue(item, schema.items, `${at}[${i}]`, before(item)));
  } else if (isObject(value)) errors.push(...validateObject(value, schema, at, bad, old));
  return [...errors, ...validateCombined(value, schema, at)];
}

/** The item of the old list that this one stands for: only lists of type map have one. */
export function correlated(value: unknown, schema: JsonSchema, old: unknown): (item: unknown) => unknown {
  const keys = schema["x-kubernetes-list-map-keys"] ?? [];
  if (schema["x-kubernetes-list-type"] !== "map" || !Array.isArray(value) || !Array.isArray(old))
    return () => undefined;
  const keyOf = (item: unknown) => JSON.stringify(keys.map((key) => (item as JsonObject | null)?.[key]));
  const known = new Map(old.map((item) => [keyOf(item), item]));
  return (item) => known.get(keyOf(item));
}

function validateObject(
  value: JsonObject,
  schema: JsonSchema,
  at: string,
  bad: (text: string) => FieldError,
  old: unknown,
): FieldError[] {
  const errors: FieldError[] = [];
  const below = (key: string) => (at ? `${at}.${key}` : key);
  const count = Object.keys(value).length;
  const { minProperties, maxProperties } = schema;
  if (minProperties !== undefined && count < minProperties)
    errors.push(bad(`should have at least ${minProperties} properties`));
  if (maxProperties !== undefined && count > maxProperties) errors.push(tooMany(at, count, maxProperties));
  for (const key of schema.required ?? []) if (!Object.hasOwn(value, key)) errors.push(required(below(key)));
  if (isEmbedded(schema))
    for (const key of ["apiVersion", "kind"]) if (!value[key]) errors.push(required(below(key), "must not be empty"));
  for (const key of Object.keys(value)) {
    const inner = schemaOfField(schema, key);
    const before = isObject(old) && Object.hasOwn(old, key) ? old[key] : undefined;
    if (inner) errors.push(...validateValue(value[key], inner, below(key), before));
  }
  return errors;
}

function validateType(value: unknown, schema: JsonSchema, at: string): FieldError[] {
  const is = typeName(value);
  if (schema["x-kubernetes-int-or-string"]) {
    if (is === "integer" || is === "string") return [];
    return [typeInvalid(at, is, `${at} in body must be of type integer,string: ${JSON.stringify(is)}`)];
  }
  const { type } = schema;
  if (!type || is === type || (type === "number" && is === "integer")) return [];
  return [typeInvalid(at, is, `${at} in body must be of type ${type}: ${JSON.stringify(is)}`)];
}

function typeName(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return typeof value === "number" ? (Number.isInteger(value) ? "integer" : "number") : typeof value;
}

function validateNumber(value: number, schema: JsonSchema, bad: (text: string) => FieldError): FieldError[] {
  const { maximum, minimum, multipleOf, exclusiveMaximum, exclusiveMinimum } = schema;
  const errors: FieldError[] = [];
  if (maximum !== undefined && (exclusiveMaximum ? value >= maximum : value > maximum))
    errors.push(bad(`should be less than ${exclusiveMaximum ? "" : "or equal to "}${maximum}`));
  if (minimum !== undefined && (exclusiveMinimum ? value <= minimum : value < minimum))
    errors.push(bad(`should be greater than ${exclusiveMinimum ? "" : "or equal to "}${minimum}`));
  if (multipleOf && Math.abs(value / multipleOf - Math.round(value / multipleOf)) > 1e-9)
    errors.push(bad(`should be a multiple of ${multipleOf}`));
  return errors;
}

function validateListType(list: unknown[], schema: JsonSchema, at: string): FieldError[] {
  const type = schema["x-kubernetes-list-type"];
  if (type !== "set" && type !== "map") return [];
  const keys = schema["x-kubernetes-list-map-keys"] ?? [];
  const seen = new Set<string>();
  const errors: FieldError[] = [];
  for (const [i, item] of list.entries()) {
    const part = (key: string) => (item as JsonObject)[key] ?? schema.items?.properties?.[key]?.default;
    const identity = type === "set" ? item : Object.fromEntries([...keys].sort().map((key) => [key, part(key)]));
    const text = JSON.stringify(identity);
    if (seen.has(text)) errors.push(duplicate(`${at}[${i}]`, identity));
    seen.add(text);
  }
  return errors;
}

function validateCombined(value: unknown, schema: JsonSchema, at: string): FieldError[] {
  const holds = (one: JsonSchema) => validateValue(value, one, at).length === 0;
  const fail = (text: string) => [invalid("<nil>", "", `${JSON.stringify(at)} must ${text}`)];
  const errors: FieldError[] = [];
  if (schema.anyOf && !schema.anyOf.some(holds)) errors.push(...fail("validate at least one schema (anyOf)"));
  if (schema.oneOf) {
    const matched = schema.oneOf.filter(holds).length;
    const found = matched === 0 ? "Found none valid" : `Found ${matched} valid alternatives`;
    if (matched !== 1) errors.push(...fail(`validate one and only one schema (oneOf). ${found}`));
  }
  if (schema.allOf) {
    const inner = schema.allOf.flatMap((one) => validateValue(value, one, at));
    if (inner.length > 0) errors.push(...inner, ...fail("validate all the schemas (allOf)"));
  }
  if (schema.not && holds(schema.not)) errors.push(...fail("not validate the schema (not)"));
  return errors;
}

const typeInvalid = (field: string, badValue: unknown, detail: string): FieldError => {
  return { ...invalid(field, badValue, detail), type: "FieldValueTypeInvalid" };
};

const notSupportedAmong = (at: string, value: unknown, values: unknown[]): FieldError => ({
  ...notSupported(at, value, []),
  detail: `supported values: ${values.map((v) => JSON.stringify(typeof v === "string" ? v : JSON.stringify(v))).join(", ")}`,
});

const patterns = new LRUCache<string, RE2JS>({ max: 2000 });

/** Go's syntax, in linear time whatever the value. Throws an Error that says what is wrong. */
export function compilePattern(pattern: string): RE2JS {
  return memo(patterns, pattern, (text) => new RE2JS(text));
}
