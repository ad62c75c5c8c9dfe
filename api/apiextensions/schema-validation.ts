import {
  type FieldError,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
} from "../../apimachinery/field-error.ts";
import { isObject } from "../../apimachinery/schema/normalize.ts";
import { compileRule, rulesOf } from "../../apimachinery/schema/rules.ts";
import { isEmbedded, type JsonSchema, prune } from "../../apimachinery/schema/structural.ts";
import { compilePattern, validateValue } from "../../apimachinery/schema/validate.ts";

/** What makes a schema structural and allowed (apiextensions validation; KEP "Vanilla OpenAPI Subset"). */
export function validateSchema(schema: JsonSchema, at: string): FieldError[] {
  const errors: FieldError[] = [];
  if (schema.nullable) errors.push(forbiddenField(`${at}.nullable`, "nullable cannot be true at the root"));
  if (schema.type && schema.type !== "object")
    errors.push(invalidValue(`${at}.type`, schema.type, "must be object at the root"));
  for (const key of ["apiVersion", "kind"]) {
    const own = schema.properties?.[key];
    if (own?.type && own.type !== "string")
      errors.push(invalidValue(`${at}.properties[${key}].type`, own.type, "must be string"));
  }
  const metadata = schema.properties?.["metadata"];
  if (metadata) errors.push(...validateMetadata(metadata, `${at}.properties[metadata]`));
  return [...errors, ...validateLevel(schema, at, "at the root")];
}

function validateMetadata(metadata: JsonSchema, at: string): FieldError[] {
  const { type, description: _, properties = {}, ...rest } = metadata;
  if (type && type !== "object") return [invalidValue(`${at}.type`, type, "must be object")];
  const others = Object.keys(properties).some((key) => key !== "name" && key !== "generateName");
  return others || Object.keys(rest).length > 0
    ? [
        forbiddenField(
          at,
          "must not specify anything other than name and generateName, but metadata is implicitly specified",
        ),
      ]
    : [];
}

const unsupported = ["id", "$ref", "patternProperties", "additionalItems", "definitions", "dependencies"] as const;
const structure = ["type", "description", "default", "additionalProperties", "nullable", "title"] as const;

function validateLevel(schema: JsonSchema, at: string, where: string): FieldError[] {
  const errors: FieldError[] = [];
  const given = schema as Record<string, unknown>;
  const preserves = schema["x-kubernetes-preserve-unknown-fields"];
  const intOrString = schema["x-kubernetes-int-or-string"] === true;
  if (!schema.type && !intOrString && !(preserves && where !== "at the root"))
    errors.push(required(`${at}.type`, `must not be empty ${where}`));
  if (schema.type === "null")
    errors.push(forbiddenField(`${at}.type`, "type cannot be set to null, use nullable as an alternative"));
  if (schema.type && intOrString)
    errors.push(invalidValue(`${at}.type`, schema.type, "must be empty if x-kubernetes-int-or-string is true"));
  if (given["uniqueItems"])
    errors.push(
      forbiddenField(
        `${at}.uniqueItems`,
        "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
      ),
    );
  for (const key of unsupported)
    if (given[key] !== undefined) errors.push(forbiddenField(`${at}.${key}`, `${key} is not supported`));
  if (preserves === false)
    errors.push(invalidValue(`${at}.x-kubernetes-preserve-unknown-fields`, false, "must be true or undefined"));
  if (schema.pattern !== undefined) errors.push(...validatePattern(schema.pattern, `${at}.pattern`));
  errors.push(...validateListAndMap(schema, at));
  if (isEmbedded(schema)) {
    const why = "if x-kubernetes-embedded-resource is true";
    if (schema.type !== "object") errors.push(invalidValue(`${at}.type`, schema.type ?? "", `must be object ${why}`));
    if (!preserves && !schema.properties)
      errors.push(
        required(`${at}.properties`, `must not be empty ${why} without x-kubernetes-preserve-unknown-fields`),
      );
  }
  errors.push(...validateRules(schema, `${at}.x-kubernetes-validations`));
  if (schema.default !== undefined) errors.push(...validateDefault(schema, `${at}.default`));
  for (const key of ["allOf", "anyOf", "oneOf"] as const)
    for (const [i, inner] of (schema[key] ?? []).entries())
      errors.push(...validateOnly(inner, `${at}.${key}[${i}]`, intOrString));
  if (schema.not) errors.push(...validateOnly(schema.not, `${at}.not`, false));
  for (const [key, inner] of Object.entries(schema.properties ?? {}))
    errors.push(...validateLevel(inner, `${at}.properties[${key}]`, "for specified object fields"));
  if (isObject(schema.additionalProperties))
    errors.push(
      ...validateLevel(
        schema.additionalProperties as JsonSchema,
        `${at}.additionalProperties`,
        "for specified object fields",
      ),
    );
  if (Array.isArray(schema.items))
    errors.push(forbiddenField(`${at}.items`, "items must be a schema object and not an array"));
  else if (schema.items) errors.push(...validateLevel(schema.items, `${at}.items`, "for specified array items"));
  else if (schema.type === "array") errors.push(required(`${at}.items`, "must be specified"));
  return errors;
}

const reasons = ["FieldValueRequired", "FieldValueForbidden", "FieldValueInvalid", "FieldValueDuplicate"];

function validateRules(schema: JsonSchema, at: string): FieldError[] {
  return rulesOf(schema).flatMap((rule, i) => {
    const place = `${at}[${i}]`;
    const errors: FieldError[] = [];
    const compiles = (field: string, expression: string, type: string) => {
      try {
        const program = compileRule(expression);
        if (program.type === type || program.type === "dyn") return;
        const must = type === "bool" ? "cel expression must evaluate to a bool" : "must evaluate to a string";
        errors.push(invalidValue(`${place}.${field}`, expression, must));
      } catch (error) {
        errors.push(invalidValue(`${place}.${field}`, expression, `compilation failed: ${(error as Error).message}`));
      }
    };
    if (!rule.rule?.trim()) errors.push(required(`${place}.rule`));
    else compiles("rule", rule.rule, "bool");
    if (rule.messageExpression) compiles("messageExpression", rule.messageExpression, "string");
    if (rule.message?.includes("\n"))
      errors.push(invalidValue(`${place}.message`, rule.message, "message must not contain line breaks"));
    if (rule.reason && !reasons.includes(rule.reason))
      errors.push(notSupported(`${place}.reason`, rule.reason, reasons));
    return errors;
  });
}

function validatePattern(pattern: string, at: string): FieldError[] {
  try {
    compilePattern(pattern);
    return [];
  } catch (error) {
    return [invalidValue(at, pattern, `must be a valid regular expression, but isn't: ${(error as Error).message}`)];
  }
}

function validateListAndMap(schema: JsonSchema, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const wrongType = (type: string, option: string) => {
    const detail = `must be ${type} if ${option} is specified`;
    if (schema.type !== type)
      errors.push(schema.type ? invalidValue(`${at}.type`, schema.type, detail) : required(`${at}.type`, detail));
  };
  const mapType = schema["x-kubernetes-map-type"];
  const listType = schema["x-kubernetes-list-type"];
  const keys = schema["x-kubernetes-list-map-keys"] ?? [];
  if (mapType !== undefined) {
    wrongType("object", "x-kubernetes-map-type");
    if (!["atomic", "granular"].includes(mapType))
      errors.push(notSupported(`${at}.x-kubernetes-map-type`, mapType, ["atomic", "granular"]));
  }
  if (listType !== undefined) {
    wrongType("array", "x-kubernetes-list-type");
    if (!["atomic", "map", "set"].includes(listType))
      errors.push(notSupported(`${at}.x-kubernetes-list-type`, listType, ["atomic", "map", "set"]));
  }
  if (keys.length > 0 && listType !== "map")
    errors.push(
      invalidValue(
        `${at}.x-kubernetes-list-type`,
        listType ?? null,
        "must be map if x-kubernetes-list-map-keys is non-empty",
      ),
    );
  if (listType === "map") {
    const at2 = `${at}.x-kubernetes-list-map-keys`;
    if (keys.length === 0) errors.push(required(at2, "must not be empty if x-kubernetes-list-type is map"));
    const properties = schema.items?.properties ?? {};
    for (const key of keys) {
      const property = properties[key];
      if (!property) errors.push(invalidValue(at2, key, "entries must all be names of item properties"));
      else if (property.default === undefined && !schema.items?.required?.includes(key))
        errors.push(
          required(
            `${at}.items.properties[${key}].default`,
            "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
          ),
        );
    }
  }
  if (isObject(schema.additionalProperties) && Object.keys(schema.properties ?? {}).length > 0)
    errors.push(
      forbiddenField(`${at}.additionalProperties`, "additionalProperties and properties are mutual exclusive"),
    );
  return errors;
}

function validateDefault(schema: JsonSchema, at: string): FieldError[] {
  const unknown: string[] = [];
  const copy = structuredClone(schema.default);
  prune(copy, schema, false, unknown);
  if (unknown.length > 0) return [invalidValue(at, schema.default, "must not have unknown fields")];
  return validateValue(schema.default, schema, at);
}

/** Below allOf and its like only values may be restricted: the structure is told outside. */
function validateOnly(schema: JsonSchema, at: string, intOrString: boolean): FieldError[] {
  const errors: FieldError[] = [];
  for (const key of [...structure, ...Object.keys(schema).filter((k) => /^x-kubernetes-(?!validations)/.test(k))])
    if ((schema as Record<string, unknown>)[key] !== undefined && !(key === "type" && intOrString))
      errors.push(forbiddenField(`${at}.${key}`, "must be empty to be structural"));
  for (const [key, inner] of Object.entries(schema.properties ?? {}))
    errors.push(...validateOnly(inner, `${at}.properties[${key}]`, false));
  if (schema.items) errors.push(...validateOnly(schema.items, `${at}.items`, false));
  for (const key of ["allOf", "anyOf", "oneOf"] as const)
    for (const [i, inner] of (schema[key] ?? []).entries())
      errors.push(...validateOnly(inner, `${at}.${key}[${i}]`, intOrString));
  return errors;
}
