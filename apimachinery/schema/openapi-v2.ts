import { Writer } from "../../proto/writer.ts";
import { isObject, set } from "./normalize.ts";
import type { Json } from "./openapi-v3.ts";

/**
 * The one OpenAPI v2 document of all group-versions, made of their v3 documents: what v2 cannot say is left out, as
 * upstream does (unions, nullable values, what is below unknown fields), so that a client that validates by it refuses
 * nothing that the server takes. As JSON, and as the protobuf of gnostic (openapiv2/OpenAPIv2.proto). Both are a third of a
 * second's work: who drives them may do something else at each step.
 */
export function* openApiV2(documents: readonly Json[]): Generator<undefined, Json> {
  const paths: Json = {};
  const definitions: Json = {};
  for (const { paths: own, components } of documents) {
    for (const [path, item] of Object.entries(own as Json)) set(paths, path, pathOf(item as Json));
    for (const [name, schema] of Object.entries((components as { schemas: Json }).schemas))
      if (!Object.hasOwn(definitions, name)) {
        const definition = schemaOf(schema as Json);
        // What Go always writes is not always asked for: the server says what is missing, old clients must not.
        if (name.startsWith("io.k8s.")) delete definition["required"];
        set(definitions, name, definition);
      }
    yield;
  }
  return { swagger: "2.0", info: { title: "Kubernetes", version: "v1.34.0" }, paths, definitions };
}

function pathOf(item: Json): Json {
  const entries = Object.entries(item).map(([key, value]) =>
    key === "parameters" ? [key, (value as Json[]).map(parameterOf)] : [key, operationOf(value as Json)],
  );
  return Object.fromEntries(entries) as Json;
}

function operationOf({ parameters = [], requestBody, responses, ...rest }: Json): Json {
  const body = requestBody as { content: Record<string, { schema: Json }>; required?: boolean } | undefined;
  const types = body && Object.keys(body.content);
  const schema = body && schemaOf(Object.values(body.content)[0]!.schema);
  const bodies = body ? [{ name: "body", in: "body", ...(body.required ? { required: true } : {}), schema }] : [];
  const answers = Object.entries(responses as Record<string, Json>).map(([code, { description, content }]) => {
    const [first] = Object.values((content ?? {}) as Record<string, { schema: Json }>);
    return [code, { description, ...(first ? { schema: schemaOf(first.schema) } : {}) }];
  });
  return {
    ...rest,
    ...(types ? { consumes: types } : {}),
    produces: ["application/json", "application/yaml"],
    parameters: [...bodies, ...(parameters as Json[]).map(parameterOf)],
    responses: Object.fromEntries(answers) as Json,
  };
}

const parameterOf = ({ schema, ...rest }: Json): Json => ({ ...rest, ...(schema as Json) });

const plainKeys = ["description", "title", "enum", "format", "maximum", "minimum", "maxLength", "minLength", "pattern"];
const keys = new Set([...plainKeys, "type", "required", "maxItems", "minItems", "maxProperties", "minProperties"]);

function schemaOf(schema: Json): Json {
  const result: Json = {};
  for (const [key, value] of Object.entries(schema))
    if (keys.has(key) || (key.startsWith("x-kubernetes-") && key !== "x-kubernetes-validations")) result[key] = value;
  const [only] = (schema["allOf"] ?? []) as Json[];
  const ref = (schema["$ref"] ?? only?.["$ref"]) as string | undefined;
  if (ref !== undefined) return { ...result, $ref: ref.replace("#/components/schemas/", "#/definitions/") };
  if (schema["oneOf"] && !schema["type"]) result["type"] = "string"; // quantities and their like
  if (schema["x-kubernetes-int-or-string"]) Object.assign(result, { type: "string", format: "int-or-string" });
  if (schema["nullable"]) delete result["type"];
  if (schema["nullable"] || schema["x-kubernetes-preserve-unknown-fields"]) return result;
  const { properties, items, additionalProperties: rest } = schema;
  if (properties) {
    const own: Json = {};
    for (const [name, inner] of Object.entries(properties)) set(own, name, schemaOf(inner as Json));
    result["properties"] = own;
  }
  if (items) result["items"] = schemaOf(items as Json);
  if (rest !== undefined) result["additionalProperties"] = isObject(rest) ? schemaOf(rest) : rest;
  return result;
}

/**
 * A line a message: its number for x-... keys, then how each key is written, its number and a type. `[T]` is repeated,
 * `{T}1` a message of named values (its own number of them behind it), `T>1.2` is wrapped in messages with these numbers.
 */
const grammar = `
Document 16: swagger 1 string, info 2 Info, paths 8 {Path}2, definitions 9 {Schema}1
Info 7: title 1 string, version 2 string
Path 10: get 2 Operation, put 3 Operation, post 4 Operation, delete 5 Operation, patch 8 Operation, parameters 9 [Parameter]
Operation 13: tags 1 [string], description 3 string, operationId 5 string, produces 6 [string], consumes 7 [string], \
  parameters 8 [Parameter], responses 9 {Response>1}1
body 6: description 1 string, name 2 string, in 3 string, required 4 bool, schema 5 Schema
query 23: required 1 bool, in 2 string, description 3 string, name 4 string, type 6 string, format 7 string, uniqueItems 20 bool
path 22: required 1 bool, in 2 string, description 3 string, name 4 string, type 5 string, format 6 string, uniqueItems 19 bool
Response 5: description 1 string, schema 2 Schema>1
Schema 31: $ref 1 string, format 2 string, title 3 string, description 4 string, maximum 7 double, minimum 9 double, \
  maxLength 11 int64, minLength 12 int64, pattern 13 string, maxItems 14 int64, minItems 15 int64, maxProperties 17 int64, \
  minProperties 18 int64, required 19 [string], enum 20 [any], additionalProperties 21 more, type 22 string>1, \
  items 23 Schema>1, properties 25 {Schema}1`;

const messages = new Map(
  [...grammar.matchAll(/^(\w+) (\d+): (.*)$/gm)].map(([, name, extension, keys]) => {
    const fields = keys!.split(/,\s*/).map((field) => field.split(" ") as [key: string, number: string, type: string]);
    return [name, { extension: Number(extension), fields: new Map(fields.map(([key, ...how]) => [key, how])) }];
  }),
);
const parameterWraps: Record<string, number[]> = { body: [1, 1], query: [1, 2, 3], path: [1, 2, 4] };

export function* encodeOpenApiV2(document: Json): Generator<undefined, Buffer> {
  const writer = new Writer(); // not the shared one: others write between the steps
  for (const [key, value] of Object.entries(document)) {
    const [number, how] = messages.get("Document")!.fields.get(key)!;
    if (!how!.startsWith("{")) {
      writeMessage(writer, "Document", { [key]: value });
      continue;
    }
    writer.uint32((Number(number) << 3) | 2).fork();
    for (const entry of Object.entries(value as Json)) {
      writeValue(writer, [], how!, Object.fromEntries([entry]));
      yield;
    }
    writer.ldelim();
  }
  return writer.finish();
}

function nested(writer: Writer, numbers: readonly number[], write: () => void): void {
  const [number, ...rest] = numbers;
  if (number === undefined) return write();
  writer.uint32((number << 3) | 2).fork();
  nested(writer, rest, write);
  writer.ldelim();
}

function writeMessage(writer: Writer, type: string, value: Json): void {
  const { fields, extension } = messages.get(type)!;
  for (const key of Object.keys(value)) {
    const [number, how] = fields.get(key) ?? [];
    if (key.startsWith("x-"))
      nested(writer, [extension], () => {
        writer.uint32((1 << 3) | 2).string(key);
        writeValue(writer, [2], "any", value[key]);
      });
    else if (how !== undefined) writeValue(writer, [Number(number)], how, value[key]);
  }
}

function writeValue(writer: Writer, at: readonly number[], type: string, value: unknown): void {
  const number = at.at(-1)!;
  const outer = at.slice(0, -1);
  const [, list, map, mapNumber] = /^(?:\[(.+)\]|\{(.+)\}(\d))$/.exec(type) ?? [];
  if (list) for (const item of value as unknown[]) writeValue(writer, at, list, item);
  else if (map)
    nested(writer, at, () => {
      for (const [name, inner] of Object.entries(value as Json))
        nested(writer, [Number(mapNumber)], () => {
          writer.uint32((1 << 3) | 2).string(name);
          writeValue(writer, [2], map, inner);
        });
    });
  else if (type.includes(">")) {
    const [inner = "", ...wraps] = type.split(/[>.]/);
    writeValue(writer, [...at, ...wraps.map(Number)], inner, value);
  } else if (type === "Parameter") {
    const parameter = value as Json & { in: string };
    nested(writer, [...at, ...parameterWraps[parameter.in]!], () => writeMessage(writer, parameter.in, parameter));
  } else if (type === "more")
    writeValue(writer, [...at, isObject(value) ? 1 : 2], isObject(value) ? "Schema" : "bool", value);
  else if (type === "any") writeValue(writer, [...at, 2], "string", JSON.stringify(value));
  else if (type === "string") nested(writer, outer, () => void writer.uint32((number << 3) | 2).string(String(value)));
  else if (type === "bool") nested(writer, outer, () => void writer.uint32(number << 3).bool(Boolean(value)));
  else if (type === "int64") nested(writer, outer, () => void writer.uint32(number << 3).int64(Number(value)));
  else if (type === "double") nested(writer, outer, () => void writer.uint32((number << 3) | 1).double(Number(value)));
  else nested(writer, at, () => writeMessage(writer, type, value as Json));
}
