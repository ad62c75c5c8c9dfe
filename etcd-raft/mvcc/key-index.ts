import { KeyTable } from "./key-table.ts";
import { isTombstoneAt, keyAt, keyLengthOf, keyStart, slabOf } from "./record.ts";
import type { Address, SlabTable } from "./slabs.ts";
import { type Place, SortedKeys } from "./sorted-keys.ts";

/** [key, end): `end` undefined is the single key, `null` every key from `key` on. */
export type KeyRange = { key: string; end: string | null | undefined };

/**
 * All keys that have a version. A key has an id (above 0) for as long as it is here, and the id leads to its newest record;
 * older ones hang on that. A hash table answers single keys, sorted leaves ranges and counts.
 */
export class KeyIndex {
  size = 0;
  readonly #table: SlabTable;
  readonly #byKey: KeyTable;
  readonly #sorted: SortedKeys;
  /** Of each id, in pages, so that they grow without a copy. Of a free id: the next free one. */
  readonly #newest: Uint32Array[] = [new Uint32Array(pageSize)];
  #ids = 1;
  #freeId = 0;

  constructor(table: SlabTable, seed: number) {
    this.#table = table;
    this.#byKey = new KeyTable((id, key) => isKey(table, this.newest(id), key), seed);
    this.#sorted = new SortedKeys({
      compare: (id, key) => compareKey(table, this.newest(id), key),
      keyOf: (id) => keyAt(table, this.newest(id)),
      headOf: (id, at) => headOfRecord(table, this.newest(id), at),
      isAlive: (id) => !isTombstoneAt(table, this.newest(id)),
    });
  }

  /** 0: no such key. */
  find(key: string): number {
    return this.#byKey.find(key);
  }

  newest(id: number): Address {
    return this.#newest[id >>> pageBits]![id & (pageSize - 1)]!;
  }

  setNewest(id: number, address: Address): void {
    this.#newest[id >>> pageBits]![id & (pageSize - 1)] = address;
  }

  /** A key that is not here yet. */
  add(key: string, newest: Address): number {
    const id = this.#freeId || this.#ids++;
    if (id === this.#freeId) this.#freeId = this.newest(id);
    if (id >>> pageBits === this.#newest.length) this.#newest.push(new Uint32Array(pageSize));
    this.setNewest(id, newest);
    this.#byKey.add(key, id);
    this.#sorted.add(key, id);
    if (isTombstoneAt(this.#table, newest)) this.#sorted.addAlive(key, -1);
    this.size++;
    return id;
  }

  /** A key whose newest version is a tombstone. */
  remove(id: number): void {
    const key = keyAt(this.#table, this.newest(id));
    this.#byKey.remove(key, id);
    this.#sorted.remove(key);
    this.setNewest(id, this.#freeId);
    this.#freeId = id;
    this.size--;
  }

  /** Its newest version is a tombstone now (-1), or no longer (+1). */
  addAlive(key: string, difference: number): void {
    this.#sorted.addAlive(key, difference);
  }

  /** Calls `fn` with the newest version of each key, in order, until it returns false. */
  forEach(range: KeyRange, fn: (newest: Address) => boolean): void {
    if (range.end === undefined) {
      const id = this.find(range.key);
      if (id !== 0) fn(this.newest(id));
      return;
    }
    if (!isEmpty(range)) this.#sorted.forEach(...this.#places(range), (id) => fn(this.newest(id)));
  }

  countAlive(range: KeyRange): number {
    if (range.end === undefined) {
      const id = this.find(range.key);
      return id === 0 || isTombstoneAt(this.#table, this.newest(id)) ? 0 : 1;
    }
    return isEmpty(range) ? 0 : this.#sorted.countAlive(...this.#places(range));
  }

  #places({ key, end }: KeyRange): [Place, Place] {
    return [this.#sorted.place(key), end ? this.#sorted.place(end) : this.#sorted.end()];
  }
}

export function contains({ key, end }: KeyRange, point: string): boolean {
  if (end === undefined) return point === key;
  return point >= key && (end === null || point < end);
}

const isEmpty = ({ key, end }: KeyRange): boolean => typeof end === "string" && end <= key;

/** Of the key in a record to `key`, in byte order. */
function compareKey(table: SlabTable, address: Address, key: string): number {
  const length = keyLengthOf(table, address);
  const start = keyStart;
  const { bytes } = slabOf(table, address);
  const common = Math.min(length, key.length);
  for (let i = 0; i < common; i++) {
    const difference = bytes[start + i]! - key.charCodeAt(i);
    if (difference !== 0) return difference;
  }
  return length - key.length;
}

function headOfRecord(table: SlabTable, address: Address, at: number): number {
  const length = keyLengthOf(table, address);
  const { bytes } = slabOf(table, address);
  let head = 0;
  for (let i = 0; i < 4; i++) head = (head << 8) | (at + i < length ? bytes[keyStart + at + i]! : 0);
  return head >>> 0;
}

const isKey = (table: SlabTable, address: Address, key: string): boolean =>
  keyLengthOf(table, address) === key.length && compareKey(table, address, key) === 0;

const pageBits = 14;
const pageSize = 1 << pageBits;
