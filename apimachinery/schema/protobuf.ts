import { Reader, readInt64, Writer } from "../../proto/wire.ts";
import { canonicalQuantity } from "../quantity.ts";
import { formatMicroTime, formatTime, parseTime } from "../time.ts";
import { isObject, type JsonObject, set } from "./normalize.ts";
import type { Field, Message, Scalar, Schema } from "./table.ts";

/**
 * Kubernetes' protobuf as the JSON object it stands for, and back. An object on the wire is
 *
 *   6b 38 73 00 | Unknown { typeMeta = 1 { apiVersion = 1, kind = 2 }, raw = 2, contentEncoding = 3, contentType = 4 }
 *
 * with the kind's own message in `raw`. Go writes every plain scalar, zero or not, so zeros that mean absence are
 * dropped here. Throws an Error on anything malformed.
 */
export interface Envelope {
  apiVersion: string;
  kind: string;
  raw: Uint8Array;
}

const magic = [0x6b, 0x38, 0x73, 0x00];

export const isProtobuf = (bytes: Uint8Array): boolean => magic.every((byte, i) => bytes[i] === byte);

export function decodeEnvelope(bytes: Uint8Array): Envelope {
  if (!isProtobuf(bytes))
    throw new Error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]");
  const envelope: Envelope = { apiVersion: "", kind: "", raw: new Uint8Array(0) };
  const reader = Reader.create(bytes.subarray(4));
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === 0x0a) {
      const end = reader.uint32() + reader.pos;
      while (reader.pos < end) {
        const inner = reader.uint32();
        if (inner === 0x0a) envelope.apiVersion = reader.string();
        else if (inner === 0x12) envelope.kind = reader.string();
        else reader.skipType(inner & 7);
      }
    } else if (tag === 0x12) envelope.raw = reader.bytes();
    else reader.skipType(tag & 7);
  }
  return envelope;
}

export function decodeMessage(schema: Schema, message: Message, bytes: Uint8Array): JsonObject {
  const object: JsonObject = {};
  const reader = Reader.create(bytes);
  read(schema, message, reader, reader.len, object, 0);
  return object;
}

const maxDepth = 100;

function read(schema: Schema, message: Message, reader: Reader, end: number, into: JsonObject, depth: number): void {
  if (depth > maxDepth) throw new Error("exceeded max depth");
  if (end > reader.len) throw new Error("unexpected EOF");
  while (reader.pos < end) {
    const tag = reader.uint32();
    const field = message.numbers.get(tag >>> 3);
    if (!field) {
      reader.skipType(tag & 7);
      continue;
    }
    if (field.inline) {
      read(schema, schema.message(field.messageId!), reader, reader.uint32() + reader.pos, into, depth + 1);
      continue;
    }
    if (field.shape === "map") {
      readEntry(schema, field, reader, into, depth);
      continue;
    }
    if (field.shape === "list") {
      const list = (into[field.name] ?? []) as unknown[];
      into[field.name] = list;
      if ((tag & 7) === 2 && field.scalar && !/string|bytes/.test(field.scalar)) {
        const stop = reader.uint32() + reader.pos;
        while (reader.pos < stop) list.push(readValue(schema, field, reader, depth));
      } else list.push(readValue(schema, field, reader, depth));
      continue;
    }
    const value = readValue(schema, field, reader, depth);
    const zero = value === "" || value === 0 || value === false;
    if (value === undefined || (zero && field.scalar && !field.required && !field.presence)) delete into[field.name];
    else into[field.name] = value;
  }
  if (reader.pos > end) throw new Error("unexpected EOF");
}

function readEntry(schema: Schema, field: Field, reader: Reader, into: JsonObject, depth: number): void {
  const map = (into[field.name] ?? {}) as JsonObject;
  into[field.name] = map;
  const stop = reader.uint32() + reader.pos;
  let key = "";
  let value: unknown;
  while (reader.pos < stop) {
    const tag = reader.uint32();
    if (tag >>> 3 === 1) key = reader.string();
    else if (tag >>> 3 === 2) value = readValue(schema, field, reader, depth);
    else reader.skipType(tag & 7);
  }
  set(map, key, value ?? (field.scalar ? "" : {}));
}

const readers: Record<Scalar, (reader: Reader) => unknown> = {
  string: (reader) => reader.string(),
  bool: (reader) => reader.bool(),
  int32: (reader) => reader.int32(),
  int64: readInt64,
  double: (reader) => reader.double(),
  bytes: (reader) => Buffer.from(reader.bytes()).toString("base64"),
};

function readValue(schema: Schema, { scalar, messageId }: Field, reader: Reader, depth: number): unknown {
  return scalar ? readers[scalar](reader) : readMessage(schema, schema.message(messageId!), reader, depth);
}

interface Wire {
  string?: string;
  type?: number;
  intVal?: number;
  strVal?: string;
  seconds?: number;
  nanos?: number;
  raw?: string;
  Raw?: string;
  duration?: number;
  items?: unknown[];
  /** The unions in JSON schemas: a schema, or one of the others. */
  schema?: unknown;
  jSONSchemas?: unknown[];
  property?: unknown[];
  allows?: boolean;
}

function readMessage(schema: Schema, message: Message, reader: Reader, depth: number): unknown {
  const end = reader.uint32() + reader.pos;
  const object: JsonObject = {};
  read(schema, message, reader, end, object, depth + 1);
  const wire = object as Wire;
  switch (message.jsonForm) {
    case undefined:
      return object;
    case "quantity":
      return canonicalQuantity(wire.string ?? "0");
    case "int-or-string":
      return wire.type === 1 ? (wire.strVal ?? "") : (wire.intVal ?? 0);
    case "time":
    case "micro-time": {
      if (wire.seconds === undefined && wire.nanos === undefined) return undefined;
      const ms = (wire.seconds ?? 0) * 1000;
      if (message.jsonForm === "time") return formatTime(ms);
      const micros = Math.floor((wire.nanos ?? 0) / 1000);
      return formatMicroTime(ms + Math.floor(micros / 1000), micros % 1000);
    }
    case "duration":
      return `${(wire.duration ?? 0) / 1e9}s`;
    case "list":
      return wire.items ?? [];
    default: {
      const union = wire.schema ?? wire.jSONSchemas ?? wire.property ?? wire.allows;
      if (union !== undefined) return union;
      const text = Buffer.from(wire.raw ?? wire.Raw ?? "", "base64").toString();
      return text === "" ? undefined : (JSON.parse(text) as unknown);
    }
  }
}

/** `raw` in its envelope. */
export function encodeEnvelope({ apiVersion, kind, raw }: Envelope): Buffer {
  const writer = Writer.create().uint32(0x0a).fork();
  writer.uint32(0x0a).string(apiVersion).uint32(0x12).string(kind).ldelim();
  writer.uint32(0x12).bytes(raw).uint32(0x1a).string("").uint32(0x22).string("");
  return Buffer.concat([Buffer.from(magic), writer.finish()]);
}

/** The message of an object in its canonical JSON (quantities and times as `decodeMessage` gives them). */
export function encodeMessage(schema: Schema, message: Message, object: JsonObject): Buffer {
  const writer = Writer.create();
  write(schema, message, object, writer);
  return writer.finish();
}

function write(schema: Schema, message: Message, object: JsonObject, writer: Writer): void {
  for (const field of message.numbers.values()) {
    if (field.inline) {
      const inner = schema.message(field.messageId!);
      if ([...inner.fields.keys()].every((name) => object[name] === undefined)) continue;
      tag(writer, field, 2).fork();
      write(schema, inner, object, writer);
      writer.ldelim();
      continue;
    }
    const value = Object.hasOwn(object, field.name) ? (object[field.name] ?? undefined) : undefined;
    if (value === undefined) continue;
    if (field.shape === "single") writeValue(schema, field, value, writer);
    else if (field.shape === "list") for (const item of value as unknown[]) writeValue(schema, field, item, writer);
    else
      for (const [key, item] of Object.entries(value)) {
        tag(writer, field, 2).fork().uint32(0x0a).string(key);
        writeValue(schema, { ...field, number: 2 }, item, writer);
        writer.ldelim();
      }
  }
}

const tag = (writer: Writer, { number }: Field, wireType: number): Writer => writer.uint32((number << 3) | wireType);

const writers: Record<Scalar, [wireType: number, write: (writer: Writer, value: never) => unknown]> = {
  string: [2, (writer, value) => writer.string(value)],
  bool: [0, (writer, value) => writer.bool(value)],
  int32: [0, (writer, value) => writer.int32(value)],
  int64: [0, (writer, value) => writer.int64(value)],
  double: [1, (writer, value) => writer.double(value)],
  bytes: [2, (writer, value) => writer.bytes(Buffer.from(value, "base64"))],
};

function writeValue(schema: Schema, field: Field, value: unknown, writer: Writer): void {
  if (field.scalar) {
    const [wireType, write] = writers[field.scalar];
    tag(writer, field, wireType);
    write(writer, value as never);
    return;
  }
  const message = schema.message(field.messageId!);
  tag(writer, field, 2).fork();
  write(schema, message, wireOf(message, value) as JsonObject, writer);
  writer.ldelim();
}

/** What `readMessage` makes JSON of. */
function wireOf(message: Message, value: unknown): Wire | JsonObject {
  switch (message.jsonForm) {
    case undefined:
      return value as JsonObject;
    case "quantity":
      return { string: String(value) };
    case "int-or-string":
      return typeof value === "string" ? { type: 1, intVal: 0, strVal: value } : { type: 0, intVal: value as number };
    case "time":
    case "micro-time": {
      const fraction = /\.(\d+)/.exec(value as string)?.[1] ?? "";
      return { seconds: Math.floor(parseTime(value as string) / 1000), nanos: Number(fraction.padEnd(9, "0")) };
    }
    case "list":
      return { items: value as unknown[] };
    default: {
      if (typeof value === "boolean" && message.fields.has("allows")) return { allows: value };
      if (Array.isArray(value) && message.fields.has("jSONSchemas")) return { jSONSchemas: value };
      if (Array.isArray(value) && message.fields.has("property")) return { property: value };
      if (isObject(value) && message.fields.has("schema")) return { allows: true, schema: value };
      const raw = Buffer.from(JSON.stringify(value)).toString("base64");
      return message.fields.has("Raw") ? { Raw: raw } : { raw };
    }
  }
}
