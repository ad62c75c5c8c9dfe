import type { Init } from "../../proto/wire.ts";

/** Keys and values as callers may give them: text is taken as UTF-8. */
export type Bytes = string | Uint8Array;

export const toBytes = (value: Bytes): Uint8Array => (typeof value === "string" ? Buffer.from(value) : value);

/** The range end that makes [prefix, end) exactly the keys with that prefix; "\0" (everything after) if all is 0xff. */
export function prefixEnd(prefix: Bytes): Uint8Array {
  const end = Buffer.from(toBytes(prefix));
  for (let i = end.length - 1; i >= 0; i--) {
    if (end[i]! < 0xff) {
      end[i]!++;
      return end.subarray(0, i + 1);
    }
  }
  return Buffer.from([0]);
}

/** The smallest key after `key`. */
export const keyAfter = (key: Bytes): Uint8Array => Buffer.concat([toBytes(key), Buffer.from([0])]);

/** A request as etcd's message: all text in these is keys and values, and goes as bytes. */
export function inBytes<T>(request: object): Init<T> {
  const message: Record<string, unknown> = { ...request };
  for (const name in message) message[name] = fieldInBytes(message[name]);
  return message as Init<T>;
}

function fieldInBytes(field: unknown): unknown {
  if (typeof field === "string") return Buffer.from(field);
  if (Array.isArray(field)) return field.map(fieldInBytes);
  return typeof field === "object" && field !== null && !(field instanceof Uint8Array) ? inBytes(field) : field;
}
