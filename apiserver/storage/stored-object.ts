import { schema } from "../../api/schema.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { decodeStored } from "../../apimachinery/schema/decode.ts";

/**
 * An object as the bytes that will be sent (DESIGN decision 3). In the store a value is the object's JSON without a
 * resourceVersion; here the store's revision stands in it, first in `metadata`:
 *
 *   value  {"kind":"Pod","apiVersion":"v1","metadata":{"name":"web",...
 *   bytes  {"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"17","name":"web",...
 *
 * Immutable. `parse()` gives a fresh copy that the caller may change.
 */
export class StoredObject {
  readonly key: string;
  /** The revision of its last change, or of its deletion. */
  readonly revision: number;
  readonly bytes: Buffer;
  /** In the store it is not encrypted as it would be now: a write renews it even when it changes nothing. */
  stale = false;
  #attributes: (Attributes & { fieldsOf: unknown }) | undefined;

  constructor(key: string, revision: number, bytes: Buffer) {
    this.key = key;
    this.revision = revision;
    this.bytes = bytes;
  }

  parse(): KubernetesObject {
    return JSON.parse(this.bytes.toString("utf8")) as KubernetesObject;
  }

  /** Labels and selectable fields, read once: users of one object nearly always ask with the same `fieldsOf`. */
  attributes(fieldsOf: (object: KubernetesObject) => Record<string, string>): Attributes {
    if (this.#attributes?.fieldsOf !== fieldsOf) {
      const object = this.parse();
      const { name, namespace = "", labels = {} } = object.metadata;
      const fields = { ...fieldsOf(object), "metadata.name": name, "metadata.namespace": namespace };
      this.#attributes = { labels, fields, fieldsOf };
    }
    return this.#attributes;
  }

  /** The same object with another revision: the last state of a deleted object carries the deletion's. */
  at(revision: number): StoredObject {
    const start = this.bytes.indexOf(revisionMark);
    const end = this.bytes.indexOf(0x22, start + revisionMark.length);
    const text = Buffer.from(`${revision}`);
    const bytes = Buffer.allocUnsafeSlow(this.bytes.length - (end - start - revisionMark.length) + text.length);
    const from = start + revisionMark.length;
    this.bytes.copy(bytes, 0, 0, from);
    text.copy(bytes, from);
    this.bytes.copy(bytes, from + text.length, end);
    return new StoredObject(this.key, revision, bytes);
  }
}

export interface Attributes {
  labels: Record<string, string>;
  fields: Record<string, string>;
}

const revisionMark = Buffer.from('"resourceVersion":"');

/** What is written to the store: kind, apiVersion and metadata first, no resourceVersion. */
export function encodeValue(object: KubernetesObject): Buffer {
  const { kind, apiVersion, metadata, ...rest } = object;
  const { resourceVersion: _, ...stored } = metadata;
  return Buffer.from(JSON.stringify({ kind, apiVersion, metadata: stored, ...rest }));
}

/**
 * A value of the store with its revision in it. Always a copy: a slice would keep a whole network buffer alive.
 * Values that others wrote (another order, an upstream apiserver's protobuf) are read and written anew. Throws an Error
 * when there is no object in them.
 */
export function decodeValue(key: string, value: Uint8Array, revision: number): StoredObject {
  const at = headLength(value);
  if (at < 0) {
    const rewritten = encodeValue(parseForeign(key, value));
    if (headLength(rewritten) < 0) throw new SyntaxError(`the value of ${key} is not an object`);
    return decodeValue(key, rewritten, revision);
  }
  const mark = Buffer.from(`"resourceVersion":"${revision}",`);
  const bytes = Buffer.allocUnsafeSlow(value.length + mark.length);
  bytes.set(value.subarray(0, at), 0);
  bytes.set(mark, at);
  bytes.set(value.subarray(at), at + mark.length);
  return new StoredObject(key, revision, bytes);
}

/** Length of `{"kind":"K","apiVersion":"V","metadata":{` at the start of a value in our order, else -1. */
function headLength(value: Uint8Array): number {
  const head = Buffer.from(value.buffer, value.byteOffset, Math.min(value.length, 256)).toString("latin1");
  const match = /^\{"kind":"[A-Za-z0-9-]+","apiVersion":"[a-z0-9./-]+","metadata":\{(?=")/.exec(head);
  return match === null || head.startsWith('"resourceVersion"', match[0].length) ? -1 : match[0].length;
}

function parseForeign(key: string, value: Uint8Array): KubernetesObject {
  const object = decodeStored(schema, value) as unknown as KubernetesObject | null;
  if (typeof object?.metadata !== "object") throw new SyntaxError(`the value of ${key} is not an object`);
  return object;
}
