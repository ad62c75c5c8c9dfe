import type { KeyValue } from "../../proto/generated/mvccpb.ts";
import { noSlab, type Slab } from "./slabs.ts";

/**
 * One change of one key: a put, or the tombstone of a deletion. Never changes, except that compaction cuts `previous`,
 * moves values together and marks what it took. Who still holds a version can read it all the same.
 *
 * Keys are strings of one character a byte (latin1): V8 keeps them compact, hashes them once and compares them in byte
 * order.
 */
export interface Version {
  readonly key: string;
  /** The revision that made it, and its place among the changes of that revision. */
  readonly main: number;
  readonly sub: number;
  /** First put since the key was last absent. */
  readonly create: number;
  /** Puts since then; 0 marks a tombstone. */
  readonly version: number;
  readonly lease: bigint;
  slab: Slab;
  /** Of the value in the slab; its complement once a compaction took the version (a field of its own would cost more). */
  offset: number;
  readonly length: number;
  /** The change before; undefined when there was none, or compaction took it. */
  previous: Version | undefined;
}

export const keyText = (key: Uint8Array): string =>
  Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString("latin1");

export const keyBytes = (key: string): Buffer => Buffer.from(key, "latin1");

export const isTombstone = (version: Version): boolean => version.version === 0;

export const isSuperseded = (version: Version): boolean => version.offset < 0;

export function supersede(version: Version): void {
  if (version.offset >= 0) version.offset = ~version.offset;
}

export function valueBytes({ slab, offset, length }: Version): Uint8Array {
  const at = offset < 0 ? ~offset : offset;
  return slab.bytes.subarray(at, at + length);
}

export function keyValueOf(version: Version): KeyValue {
  const key = keyBytes(version.key);
  if (isTombstone(version))
    return { key, createRevision: 0, modRevision: version.main, version: 0, value: none, lease: 0n };
  return {
    key,
    createRevision: version.create,
    modRevision: version.main,
    version: version.version,
    value: valueBytes(version),
    lease: version.lease,
  };
}

const none = noSlab.bytes;
