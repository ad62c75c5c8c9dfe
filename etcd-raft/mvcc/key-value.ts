import { putVarint } from "../varint.ts";

/**
 * mvccpb.KeyValue read and written in place, fields in order and zeros left out: byte for byte what the generated codec
 * makes, without an object for each of millions.
 *
 *     0x0a key | 0x10 create | 0x18 mod | 0x20 version | 0x2a value | 0x30 lease
 */
export const tag = { key: 0x0a, create: 0x10, mod: 0x18, version: 0x20, value: 0x2a, lease: 0x30 } as const;

export type Fields = { create: number; mod: number; version: number; lease: bigint };

export const keyFieldBytes = (keyLength: number): number =>
  keyLength === 0 ? 0 : 1 + varintBytes(keyLength) + keyLength;

export function keyValueBytes(keyLength: number, { create, mod, version, lease }: Fields, valueLength: number): number {
  return (
    keyFieldBytes(keyLength) +
    3 +
    varintBytes(create) +
    varintBytes(mod) +
    varintBytes(version) +
    (valueLength === 0 ? 0 : 1 + varintBytes(valueLength) + valueLength) +
    (lease === 0n ? 0 : 1 + bigVarintBytes(lease))
  );
}

/** Returns where it ends. `key`: one character a byte. */
export function writeKey(into: Buffer, start: number, key: string): number {
  const { length } = key;
  if (length === 0) return start;
  into[start] = tag.key;
  const at = putVarint(into, start + 1, length);
  if (length > shortKey) into.write(key, at, "latin1");
  else for (let i = 0; i < length; i++) into[at + i] = key.charCodeAt(i);
  return at + length;
}

/** All but the key. */
export function writeRest(into: Buffer, start: number, fields: Fields, value: Uint8Array): void {
  into[start] = tag.create;
  let at = putVarint(into, start + 1, fields.create);
  into[at] = tag.mod;
  at = putVarint(into, at + 1, fields.mod);
  into[at] = tag.version;
  at = putVarint(into, at + 1, fields.version);
  if (value.length > 0) {
    into[at] = tag.value;
    at = putVarint(into, at + 1, value.length);
    into.set(value, at);
    at += value.length;
  }
  if (fields.lease === 0n) return;
  into[at++] = tag.lease;
  for (let rest = BigInt.asUintN(64, fields.lease); ; rest >>= 7n) {
    if (rest < 0x80n) {
      into[at] = Number(rest);
      return;
    }
    into[at++] = Number(rest & 0x7fn) | 0x80;
  }
}

/** Where the last varint that was read ended. */
export let varintEnd = 0;

export function readVarint(bytes: Uint8Array, start: number): number {
  let at = start;
  let byte = bytes[at++]!;
  let value = byte & 0x7f;
  for (let unit = 0x80; byte >= 0x80 && at < bytes.length; unit *= 0x80) {
    byte = bytes[at++]!;
    value += (byte & 0x7f) * unit;
  }
  varintEnd = at;
  return value;
}

export function readBigVarint(bytes: Uint8Array, start: number): bigint {
  let value = 0n;
  for (let at = start, shift = 0n; ; at++, shift += 7n) {
    value |= BigInt(bytes[at]! & 0x7f) << shift;
    if (bytes[at]! < 0x80) return BigInt.asIntN(64, value);
  }
}

/** Are these bytes a KeyValue as this file writes it? What else a codec would accept is to be written anew. */
export function isCanonical(bytes: Uint8Array, mod: number, tombstone: boolean): boolean {
  const end = bytes.length;
  let at = 0;
  let last = 0;
  let seen = 0; // bit n: field n
  while (at < end) {
    const field = bytes[at++]!;
    if (field <= last) return false;
    last = field;
    seen |= 1 << (field >>> 3);
    if (field === tag.lease) {
      const start = at;
      while (at < end && bytes[at]! >= 0x80) at++;
      if (at - start > 9 || bytes[at] === 0) return false;
      at++;
      continue;
    }
    const value = readVarint(bytes, at);
    if (value === 0 || varintEnd > end || varintEnd - at !== varintBytes(value)) return false;
    at = varintEnd;
    if (field === tag.key || field === tag.value) at += value;
    else if (field === tag.mod ? value !== mod : field !== tag.create && field !== tag.version) return false;
  }
  return at === end && (tombstone ? (seen & ~keyOnly) === 0 : (seen & needed) === needed);
}

const keyOnly = 1 << 1;
const needed = (1 << 2) | (1 << 3) | (1 << 4); // create, mod, version

export function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes++;
  return bytes;
}

function bigVarintBytes(value: bigint): number {
  let bytes = 1;
  for (let rest = BigInt.asUintN(64, value); rest >= 0x80n; rest >>= 7n) bytes++;
  return bytes;
}

const shortKey = 48; // up to here a loop beats the call out of JavaScript
