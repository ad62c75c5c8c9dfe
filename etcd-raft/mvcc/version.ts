import { KeyValue } from "../../proto/generated/mvccpb.ts";
import { readBigVarint, readVarint, tag, varintEnd } from "./key-value.ts";
import { bodyOf, isTombstoneAt, lengthOf, mainOf, previousOf, slabOf, subOf } from "./record.ts";
import type { Address, SlabTable } from "./slabs.ts";

/**
 * One change of one key, read from its record: a put, or the tombstone of a deletion. An object for the moment: what it
 * says stays true for as long as it is held, except that `previous` is to be asked in the same turn.
 *
 * Keys are strings of one character a byte (latin1): V8 keeps them compact and compares them in byte order.
 */
export class Version {
  readonly main: number; // the revision that made it, and its place among the changes of that revision
  readonly sub: number;
  readonly create: number = 0; // first put since the key was last absent
  readonly version: number = 0; // puts since then; 0 marks a tombstone
  readonly bytes: Buffer; // mvccpb.KeyValue (of a tombstone the key only) in `bytes`
  readonly at: number;
  readonly length: number;
  readonly #keyAt: number;
  readonly #keyLength: number = 0;
  readonly #valueAt: number = 0;
  readonly #valueLength: number = 0;
  readonly #leaseAt: number = 0;
  readonly #table: SlabTable;
  readonly #address: Address;
  #key: string | undefined;

  constructor(table: SlabTable, address: Address) {
    this.#table = table;
    this.#address = address;
    this.main = mainOf(table, address);
    this.sub = subOf(table, address);
    const { bytes } = slabOf(table, address);
    let at = bodyOf(address);
    this.bytes = bytes;
    this.at = at;
    this.length = lengthOf(table, address);
    const end = at + this.length;
    this.#keyAt = at;
    if (at < end && bytes[at] === tag.key) {
      this.#keyLength = readVarint(bytes, at + 1);
      this.#keyAt = varintEnd;
      at = varintEnd + this.#keyLength;
    }
    if (isTombstoneAt(table, address)) return;
    while (at < end) {
      const field = bytes[at++];
      if (field === tag.lease) {
        this.#leaseAt = at;
        return;
      }
      const value = readVarint(bytes, at);
      at = varintEnd;
      if (field === tag.create) this.create = value;
      else if (field === tag.version) this.version = value;
      else if (field === tag.value) {
        this.#valueAt = at;
        this.#valueLength = value;
        at += value;
      }
    }
  }

  get key(): string {
    this.#key ??= this.bytes.toString("latin1", this.#keyAt, this.#keyAt + this.#keyLength);
    return this.#key;
  }

  get keyBytes(): Buffer {
    return this.bytes.subarray(this.#keyAt, this.#keyAt + this.#keyLength);
  }

  get value(): Buffer {
    return this.bytes.subarray(this.#valueAt, this.#valueAt + this.#valueLength);
  }

  get lease(): bigint {
    return this.#leaseAt === 0 ? 0n : readBigVarint(this.bytes, this.#leaseAt);
  }

  /** The change of the same key before; undefined when there was none, or compaction took it. */
  get previous(): Version | undefined {
    const previous = previousOf(this.#table, this.#address);
    return previous === 0 ? undefined : new Version(this.#table, previous);
  }
}

export const keyText = (key: Uint8Array): string => keyTextIn(key, 0, key.length);

/** Of the bytes [from, to). The method is a Buffer's, but takes the bytes of others too, without one made for them. */
export const keyTextIn = (bytes: Uint8Array, from: number, to: number): string => latin1Slice.call(bytes, from, to);
const { latin1Slice } = Buffer.prototype as unknown as {
  latin1Slice(this: Uint8Array, from: number, to: number): string;
};

export const keyBytes = (key: string): Buffer => Buffer.from(key, "latin1");

export const isTombstone = (version: Version): boolean => version.version === 0;

export const valueBytes = (version: Version): Uint8Array => version.value;

/** mvccpb.KeyValue as it is in etcd's state file: of a tombstone the key only. */
export const recordBytes = ({ bytes, at, length }: Version): Uint8Array => bytes.subarray(at, at + length);

export function keyValueOf(version: Version): KeyValue {
  const key = version.keyBytes;
  if (isTombstone(version))
    return { key, createRevision: 0, modRevision: version.main, version: 0, value: none, lease: 0n };
  return {
    key,
    createRevision: version.create,
    modRevision: version.main,
    version: version.version,
    value: version.value,
    lease: version.lease,
  };
}

/** What is made of a record that a read has found. */
export type ReadRow<T> = (table: SlabTable, address: Address) => T;

export const versionAt: ReadRow<Version> = (table, address) => new Version(table, address);

/** A put as it is stored, for an answer that only passes it on: its fields are read when somebody asks. */
export const storedAt: ReadRow<KeyValue> = (table, address) => new StoredKeyValue(table, address);

class StoredKeyValue implements KeyValue {
  readonly #bytes: Buffer;
  readonly #at: number;
  readonly #length: number;
  #decoded: KeyValue | undefined;

  constructor(table: SlabTable, address: Address) {
    this.#bytes = slabOf(table, address).bytes;
    this.#at = bodyOf(address);
    this.#length = lengthOf(table, address);
  }

  get encoded(): Buffer {
    return this.#bytes.subarray(this.#at, this.#at + this.#length);
  }

  get #fields(): KeyValue {
    this.#decoded ??= KeyValue.decode(this.encoded);
    return this.#decoded;
  }

  get key(): Uint8Array {
    return this.#fields.key;
  }
  get createRevision(): number {
    return this.#fields.createRevision;
  }
  get modRevision(): number {
    return this.#fields.modRevision;
  }
  get version(): number {
    return this.#fields.version;
  }
  get value(): Uint8Array {
    return this.#fields.value;
  }
  get lease(): bigint {
    return this.#fields.lease;
  }
}

const none = Buffer.alloc(0);
