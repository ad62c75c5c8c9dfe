import { enums, messages } from "../../proto/generated/etcd-json.ts";
import type { JsonField } from "../../proto/wire.ts";

/**
 * etcd's messages as JSON and back (protobuf's JSON mapping, as etcd's gateway is set up): fields by their names in the
 * .proto file, bytes as base64, 64-bit integers as strings, enums by name; what is zero is left out. Read are also
 * lowerCamelCase names, integers as numbers, enums as numbers and base64 for URLs; unknown fields are skipped.
 */
export class JsonError extends Error {
  override name = "JsonError";
}

type Message = Record<string, unknown>;

export function messageToJson(type: string, message: Message): Message {
  const json: Message = {};
  for (const field of messages[type]!) {
    const value = message[field.key];
    if (field.repeated) {
      const list = (value ?? []) as unknown[];
      if (list.length > 0) json[field.name] = list.map((item) => valueToJson(field, item));
    } else if (!isZero(value)) json[field.name] = valueToJson(field, value);
  }
  return json;
}

/** Throws JsonError when a value has not the field's type. */
export function messageFromJson(type: string, json: unknown): Message {
  if (typeof json !== "object" || json === null || Array.isArray(json)) throw wrong(type, json);
  const message: Message = {};
  for (const field of messages[type]!) {
    const value = (json as Message)[field.name] ?? (json as Message)[jsonName(field.name)];
    if (value === undefined || value === null) continue;
    if (!field.repeated) message[field.key] = valueFromJson(field, value);
    else if (Array.isArray(value)) message[field.key] = value.map((item) => valueFromJson(field, item));
    else throw wrong(field.name, value);
  }
  return message;
}

function isZero(value: unknown): boolean {
  if (value instanceof Uint8Array) return value.length === 0;
  return value === undefined || value === 0 || value === 0n || value === "" || value === false;
}

function valueToJson(field: JsonField, value: unknown): unknown {
  switch (field.kind) {
    case "message":
      return messageToJson(field.type!, value as Message);
    case "enum":
      return nameOf(enums[field.type!]!, value as number) ?? value;
    case "bytes": {
      const { buffer, byteOffset, byteLength } = value as Uint8Array;
      return Buffer.from(buffer, byteOffset, byteLength).toString("base64");
    }
    case "int64":
    case "uint64":
      return `${value}`;
    default:
      return value;
  }
}

function valueFromJson(field: JsonField, value: unknown): unknown {
  switch (field.kind) {
    case "message":
      return messageFromJson(field.type!, value);
    case "enum": {
      const number = typeof value === "string" ? enums[field.type!]![value] : value;
      if (typeof number !== "number") throw wrong(field.name, value);
      return number;
    }
    case "bytes":
      if (typeof value !== "string" || !/^[\w+/-]*={0,2}$/.test(value)) throw wrong(field.name, value);
      return Buffer.from(value, "base64");
    case "string":
      if (typeof value !== "string") throw wrong(field.name, value);
      return value;
    case "bool":
      if (typeof value !== "boolean") throw wrong(field.name, value);
      return value;
    default:
      return integer(field, value);
  }
}

function integer(field: JsonField, value: unknown): bigint | number {
  const text = typeof value === "number" ? `${value}` : value;
  if (typeof text !== "string" || !/^-?\d{1,20}$/.test(text)) throw wrong(field.name, value);
  const number = BigInt(text);
  const [min, max] = field.kind.startsWith("u") ? [0n, 2n ** 64n - 1n] : [-(2n ** 63n), 2n ** 63n - 1n];
  if (number < min || number > max) throw wrong(field.name, value);
  return field.wide ? number : Number(number);
}

const nameOf = (values: Record<string, number>, number: number) =>
  Object.keys(values).find((name) => values[name] === number);

const jsonName = (name: string) => name.replace(/_([a-z])/g, (_, c: string) => c.toUpperCase());

const wrong = (field: string, value: unknown) =>
  new JsonError(`proto: invalid value for ${field}: ${JSON.stringify(value)}`);
