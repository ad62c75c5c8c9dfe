import { each, forbidden, invalid, notSupported, type Problems, required } from "../../apimachinery/field-error.ts";
import { isObject } from "../../apimachinery/schema/normalize.ts";
import { compileRule, rulesOf } from "../../apimachinery/schema/rules.ts";
import { isEmbedded, type JsonSchema, prune } from "../../apimachinery/schema/structural.ts";
import { compilePattern, validateValue } from "../../apimachinery/schema/validate.ts";

/** What makes a schema structural and allowed (apiextensions validation; KEP "Vanilla OpenAPI Subset"). */
export function* validateSchema(schema: JsonSchema, at: string): Problems {
  if (schema.nullable) yield forbidden(`${at}.nullable`, "nullable cannot be true at the root");
  if (schema.type && schema.type !== "object") yield invalid(`${at}.type`, schema.type, "must be object at the root");
  for (const key of ["apiVersion", "kind"]) {
    const own = schema.properties?.[key];
    if (own?.type && own.type !== "string") yield invalid(`${at}.properties[${key}].type`, own.type, "must be string");
  }
  const metadata = schema.properties?.["metadata"];
  if (metadata) yield* validateMetadata(metadata, `${at}.properties[metadata]`);
  yield* validateLevel(schema, at, "at the root");
}

const onlyNames = "must not specify anything other than name and generateName, but metadata is implicitly specified";

function* validateMetadata(metadata: JsonSchema, at: string): Problems {
  const { type, description: _, properties = {}, ...rest } = metadata;
  if (type && type !== "object") return yield invalid(`${at}.type`, type, "must be object");
  const others = Object.keys(properties).some((key) => key !== "name" && key !== "generateName");
  if (others || Object.keys(rest).length > 0) yield forbidden(at, onlyNames);
}

const unsupported = ["id", "$ref", "patternProperties", "additionalItems", "definitions", "dependencies"] as const;
const structure = ["type", "description", "default", "additionalProperties", "nullable", "title"] as const;

const noUniqueItems = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";

function* validateLevel(schema: JsonSchema, at: string, where: string): Problems {
  const given = schema as Record<string, unknown>;
  const preserves = schema["x-kubernetes-preserve-unknown-fields"];
  const intOrString = schema["x-kubernetes-int-or-string"] === true;
  if (!schema.type && !intOrString && !(preserves && where !== "at the root"))
    yield required(`${at}.type`, `must not be empty ${where}`);
  if (schema.type === "null")
    yield forbidden(`${at}.type`, "type cannot be set to null, use nullable as an alternative");
  if (schema.type && intOrString)
    yield invalid(`${at}.type`, schema.type, "must be empty if x-kubernetes-int-or-string is true");
  if (given["uniqueItems"]) yield forbidden(`${at}.uniqueItems`, noUniqueItems);
  for (const key of unsupported)
    if (given[key] !== undefined) yield forbidden(`${at}.${key}`, `${key} is not supported`);
  if (preserves === false)
    yield invalid(`${at}.x-kubernetes-preserve-unknown-fields`, false, "must be true or undefined");
  if (schema.pattern !== undefined) yield* validatePattern(schema.pattern, `${at}.pattern`);
  yield* validateListAndMap(schema, at);
  if (isEmbedded(schema)) {
    const why = "if x-kubernetes-embedded-resource is true";
    if (schema.type !== "object") yield invalid(`${at}.type`, schema.type ?? "", `must be object ${why}`);
    if (!preserves && !schema.properties)
      yield required(`${at}.properties`, `must not be empty ${why} without x-kubernetes-preserve-unknown-fields`);
  }
  yield* validateRules(schema, `${at}.x-kubernetes-validations`);
  if (schema.default !== undefined) yield* validateDefault(schema, `${at}.default`);
  for (const key of ["allOf", "anyOf", "oneOf"] as const)
    for (const [i, inner] of (schema[key] ?? []).entries())
      yield* validateOnly(inner, `${at}.${key}[${i}]`, intOrString);
  if (schema.not) yield* validateOnly(schema.not, `${at}.not`, false);
  for (const [key, inner] of Object.entries(schema.properties ?? {}))
    yield* validateLevel(inner, `${at}.properties[${key}]`, "for specified object fields");
  const more = schema.additionalProperties;
  if (isObject(more))
    yield* validateLevel(more as JsonSchema, `${at}.additionalProperties`, "for specified object fields");
  if (Array.isArray(schema.items)) yield forbidden(`${at}.items`, "items must be a schema object and not an array");
  else if (schema.items) yield* validateLevel(schema.items, `${at}.items`, "for specified array items");
  else if (schema.type === "array") yield required(`${at}.items`, "must be specified");
}

const reasons = ["FieldValueRequired", "FieldValueForbidden", "FieldValueInvalid", "FieldValueDuplicate"];

function* validateRules(schema: JsonSchema, at: string): Problems {
  yield* each(rulesOf(schema), at, function* (rule, place) {
    if (!rule.rule?.trim()) yield required(`${place}.rule`);
    else yield* validateExpression(rule.rule, "bool", `${place}.rule`);
    if (rule.messageExpression)
      yield* validateExpression(rule.messageExpression, "string", `${place}.messageExpression`);
    if (rule.message?.includes("\n"))
      yield invalid(`${place}.message`, rule.message, "message must not contain line breaks");
    if (rule.reason && !reasons.includes(rule.reason)) yield notSupported(`${place}.reason`, rule.reason, reasons);
  });
}

function* validateExpression(expression: string, type: "bool" | "string", at: string): Problems {
  try {
    const program = compileRule(expression);
    const must = type === "bool" ? "cel expression must evaluate to a bool" : "must evaluate to a string";
    if (program.type !== type && program.type !== "dyn") yield invalid(at, expression, must);
  } catch (error) {
    yield invalid(at, expression, `compilation failed: ${(error as Error).message}`);
  }
}

function* validatePattern(pattern: string, at: string): Problems {
  try {
    compilePattern(pattern);
  } catch (error) {
    yield invalid(at, pattern, `must be a valid regular expression, but isn't: ${(error as Error).message}`);
  }
}

const mustBeMap = "must be map if x-kubernetes-list-map-keys is non-empty";
const mustHaveKey =
  "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";

function* validateListAndMap(schema: JsonSchema, at: string): Problems {
  const ofType = function* (type: string, option: string): Problems {
    const detail = `must be ${type} if ${option} is specified`;
    if (schema.type === type) return;
    yield schema.type ? invalid(`${at}.type`, schema.type, detail) : required(`${at}.type`, detail);
  };
  const mapType = schema["x-kubernetes-map-type"];
  const listType = schema["x-kubernetes-list-type"];
  const keys = schema["x-kubernetes-list-map-keys"] ?? [];
  if (mapType !== undefined) {
    yield* ofType("object", "x-kubernetes-map-type");
    if (!["atomic", "granular"].includes(mapType))
      yield notSupported(`${at}.x-kubernetes-map-type`, mapType, ["atomic", "granular"]);
  }
  if (listType !== undefined) {
    yield* ofType("array", "x-kubernetes-list-type");
    if (!["atomic", "map", "set"].includes(listType))
      yield notSupported(`${at}.x-kubernetes-list-type`, listType, ["atomic", "map", "set"]);
  }
  if (keys.length > 0 && listType !== "map") yield invalid(`${at}.x-kubernetes-list-type`, listType ?? null, mustBeMap);
  if (listType === "map") {
    const at2 = `${at}.x-kubernetes-list-map-keys`;
    if (keys.length === 0) yield required(at2, "must not be empty if x-kubernetes-list-type is map");
    const properties = schema.items?.properties ?? {};
    for (const key of keys) {
      const property = properties[key];
      if (!property) yield invalid(at2, key, "entries must all be names of item properties");
      else if (property.default === undefined && !schema.items?.required?.includes(key))
        yield required(`${at}.items.properties[${key}].default`, mustHaveKey);
    }
  }
  if (isObject(schema.additionalProperties) && Object.keys(schema.properties ?? {}).length > 0)
    yield forbidden(`${at}.additionalProperties`, "additionalProperties and properties are mutual exclusive");
}

function* validateDefault(schema: JsonSchema, at: string): Problems {
  const unknown: string[] = [];
  const copy = structuredClone(schema.default);
  prune(copy, schema, false, unknown);
  if (unknown.length > 0) return yield invalid(at, schema.default, "must not have unknown fields");
  yield* validateValue(schema.default, schema, at);
}

/** Below allOf and its like only values may be restricted: the structure is told outside. */
function* validateOnly(schema: JsonSchema, at: string, intOrString: boolean): Problems {
  for (const key of [...structure, ...Object.keys(schema).filter((k) => /^x-kubernetes-(?!validations)/.test(k))])
    if ((schema as Record<string, unknown>)[key] !== undefined && !(key === "type" && intOrString))
      yield forbidden(`${at}.${key}`, "must be empty to be structural");
  for (const [key, inner] of Object.entries(schema.properties ?? {}))
    yield* validateOnly(inner, `${at}.properties[${key}]`, false);
  if (schema.items) yield* validateOnly(schema.items, `${at}.items`, false);
  for (const key of ["allOf", "anyOf", "oneOf"] as const)
    for (const [i, inner] of (schema[key] ?? []).entries())
      yield* validateOnly(inner, `${at}.${key}[${i}]`, intOrString);
}
