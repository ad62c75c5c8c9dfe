import { each, forbidden, invalid, notSupported, type Problems, required } from "../../apimachinery/field-error.ts";
import { isObject } from "../../apimachinery/schema/normalize.ts";
import { compileRule, rulesOf } from "../../apimachinery/schema/rules.ts";
import { isEmbedded, type JsonSchema, prune } from "../../apimachinery/schema/structural.ts";
import { compilePattern, validateValue } from "../../apimachinery/schema/validate.ts";

/** What makes a schema structural and allowed (apiextensions validation; KEP "Vanilla OpenAPI Subset"). */
export function* validateSchema(schema: JsonSchema, at: string, withStatus = false): Problems {
  if (withStatus && Object.entries(schema).some(([key, value]) => value && !atRoot.includes(goName(key))))
    yield invalid(at, schema, onlyAtRoot);
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

/** What a schema may say outside of its properties when the status is written apart, by Go's names. */
const atRoot = [
  ..."Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength".split(" "),
  ..."Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example".split(" "),
  ...["XPreserveUnknownFields", "XValidations"],
];
const goName = (key: string) =>
  key.replace(/^x-kubernetes/, "x").replace(/(?:^|-)[a-z]/g, (start) => start.slice(-1).toUpperCase());
const onlyAtRoot = `only [${atRoot.join(" ")}] fields are allowed at the root of the schema if the status subresource is enabled`;

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
  if (schema.type && !types.includes(schema.type)) yield notSupported(`${at}.type`, schema.type, types);
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

const types = ["array", "boolean", "integer", "number", "object", "string"];
const reasons = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
const oneLine = "must not contain line breaks";
const notBlank = "must be non-empty if specified";

function* validateRules(schema: JsonSchema, at: string): Problems {
  yield* each(rulesOf(schema), at, function* (rule, place) {
    const { message = "", messageExpression = "", fieldPath = "" } = rule;
    if (!rule.rule?.trim()) yield required(`${place}.rule`, "rule is not specified");
    else if (message && !message.trim()) yield invalid(`${place}.message`, message, notBlank);
    else if (/[\n\r]/.test(message.trim())) yield invalid(`${place}.message`, message, oneLine);
    else if (/[\n\r]/.test(rule.rule.trim()) && !message)
      yield required(`${place}.message`, "message must be specified if rule contains line breaks");
    if (messageExpression && !messageExpression.trim())
      yield required(`${place}.messageExpression`, `messageExpression ${notBlank}`);
    if (fieldPath && !fieldPath.trim()) yield invalid(`${place}.fieldPath`, fieldPath, notBlank);
    if (/[\n\r]/.test(fieldPath)) yield invalid(`${place}.fieldPath`, fieldPath, oneLine);
    if (rule.rule?.trim()) yield* validateExpression(rule.rule, "bool", `${place}.rule`);
    if (messageExpression.trim()) yield* validateExpression(messageExpression, "string", `${place}.messageExpression`);
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
const isKey = "this property is in x-kubernetes-list-map-keys, so it";
const ofSet = "must be atomic as item of a list with x-kubernetes-list-type=set";

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
    if (!["atomic", "set", "map"].includes(listType))
      yield notSupported(`${at}.x-kubernetes-list-type`, listType, ["atomic", "set", "map"]);
  }
  const { items } = schema;
  const inner = items?.type === "array" ? "list" : "map";
  const kept = items?.[`x-kubernetes-${inner}-type`] ?? (inner === "list" ? "atomic" : undefined);
  if (listType === "set" && (items?.type === "array" || items?.type === "object") && kept !== "atomic")
    yield invalid(`${at}.items.x-kubernetes-${inner}-type`, items["x-kubernetes-list-type"] ?? null, ofSet);
  if (keys.length > 0 && !listType) yield required(`${at}.x-kubernetes-list-type`, mustBeMap);
  else if (keys.length > 0 && listType !== "map") yield invalid(`${at}.x-kubernetes-list-type`, listType, mustBeMap);
  if (listType === "map") yield* validateKeys(keys, items, at);
  if ((listType === "map" || listType === "set") && items?.nullable)
    yield forbidden(`${at}.items.nullable`, `cannot be nullable when x-kubernetes-list-type is ${listType}`);
  const more = schema.additionalProperties;
  if ((more === false || isObject(more)) && Object.keys(schema.properties ?? {}).length > 0)
    yield forbidden(`${at}.additionalProperties`, "additionalProperties and properties are mutual exclusive");
}

function* validateKeys(keys: string[], items: JsonSchema | undefined, at: string): Problems {
  const listed = `${at}.x-kubernetes-list-map-keys`;
  if (keys.length === 0) yield required(listed, "must not be empty if x-kubernetes-list-type is map");
  if (!items) return yield required(`${at}.items`, "must have a schema if x-kubernetes-list-type is map");
  if (items.type !== "object")
    return yield invalid(
      `${at}.items.type`,
      items.type ?? "",
      "must be object if parent array's x-kubernetes-list-type is map",
    );
  for (const [i, key] of keys.entries()) {
    const property = items.properties?.[key];
    const path = `${at}.items.properties[${key}]`;
    if (!property) yield invalid(listed, keys, "entries must all be names of item properties");
    else if (property.type === "array" || property.type === "object")
      yield invalid(
        `${path}.type`,
        items.type,
        "must be a scalar type if parent array's x-kubernetes-list-type is map",
      );
    if (keys.indexOf(key) < i) yield invalid(listed, keys, "must not contain duplicate entries");
    if (property && property.default === undefined && !items.required?.includes(key))
      yield required(`${path}.default`, `${isKey} must have a default or be a required property`);
    if (property?.nullable) yield forbidden(`${path}.nullable`, `${isKey} cannot be nullable`);
  }
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
