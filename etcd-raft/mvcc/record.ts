import { readVarint, tag, varintEnd } from "./key-value.ts";
import { type Address, type Slab, type Slabs, type SlabTable, unitBits, wordOf } from "./slabs.ts";

/**
 * One change of one key as it lies in a slab: a head of six words, and the row of etcd's state file as it is
 * (mvccpb.KeyValue; of a tombstone the key only). So snapshots and hashes copy bytes, and a comparison of keys finds
 * revision and key in one line of the processor's cache.
 *
 *     | previous | main, low | main, high | sub | flags and length | key id | KeyValue | 0..7 bytes |
 *
 * Bytes never change but for `previous`, which compaction cuts, and the flag that says what compaction took.
 */
export const headBytes = 24;
const [previousWord, lowWord, highWord, subWord, lengthWord, keyWord] = [0, 1, 2, 3, 4, 5];
const tombstoneFlag = 0x80000000;
const deadFlag = 0x40000000;
const lengthMask = 0x3fffffff;

export const slabOf = (table: SlabTable, address: Address): Slab => table[address >>> unitBits]!;

/** The change of the same key before; 0 when there was none, or compaction took it. */
export const previousOf = (table: SlabTable, address: Address): Address =>
  slabOf(table, address).words[wordOf(address) + previousWord]!;

export function setPrevious(table: SlabTable, address: Address, previous: Address): void {
  slabOf(table, address).words[wordOf(address) + previousWord] = previous;
}

export function mainOf(table: SlabTable, address: Address): number {
  const { words } = slabOf(table, address);
  const word = wordOf(address);
  return words[word + highWord]! * 2 ** 32 + words[word + lowWord]!;
}

export const subOf = (table: SlabTable, address: Address): number =>
  slabOf(table, address).words[wordOf(address) + subWord]!;

export const keyIdOf = (table: SlabTable, address: Address): number =>
  slabOf(table, address).words[wordOf(address) + keyWord]!;

export function setKeyId(table: SlabTable, address: Address, id: number): void {
  slabOf(table, address).words[wordOf(address) + keyWord] = id;
}

export const lengthOf = (table: SlabTable, address: Address): number =>
  slabOf(table, address).words[wordOf(address) + lengthWord]! & lengthMask;

export const isTombstoneAt = (table: SlabTable, address: Address): boolean =>
  slabOf(table, address).words[wordOf(address) + lengthWord]! >= tombstoneFlag;

/** Compaction took it: nobody reads it any more. */
export const isDead = (table: SlabTable, address: Address): boolean =>
  (slabOf(table, address).words[wordOf(address) + lengthWord]! & deadFlag) !== 0;

export function markDead(table: SlabTable, address: Address): void {
  slabOf(table, address).words[wordOf(address) + lengthWord]! |= deadFlag;
}

/** Where the KeyValue begins in its slab. */
export const bodyOf = (address: Address): number => wordOf(address) * 4 + headBytes;

/** The head, and room for `length` bytes at `bodyOf`. Belongs to no key yet. */
export function allocateRecord(
  slabs: Slabs,
  length: number,
  { main, sub, previous, tombstone }: { main: number; sub: number; previous: Address; tombstone: boolean },
): Address {
  const address = slabs.allocate(headBytes + length);
  const { words } = slabOf(slabs.table, address);
  const word = wordOf(address);
  words[word + previousWord] = previous;
  words[word + lowWord] = main;
  words[word + highWord] = main / 2 ** 32;
  words[word + subWord] = sub;
  words[word + lengthWord] = tombstone ? length + tombstoneFlag : length;
  words[word + keyWord] = 0;
  return address;
}

/** A copy at another place, whole. */
export function moveRecord(slabs: Slabs, from: Address): Address {
  const bytes = headBytes + lengthOf(slabs.table, from);
  const to = slabs.allocate(bytes);
  const source = wordOf(from) * 4;
  slabOf(slabs.table, from).bytes.copy(slabOf(slabs.table, to).bytes, wordOf(to) * 4, source, source + bytes);
  return to;
}

/** Where the last key that was asked for begins in its slab. */
export let keyStart = 0;

/** Returns its length, and sets `keyStart`. */
export function keyLengthOf(table: SlabTable, address: Address): number {
  const { bytes, words } = slabOf(table, address);
  const at = bodyOf(address);
  keyStart = at;
  if ((words[wordOf(address) + lengthWord]! & lengthMask) === 0 || bytes[at] !== tag.key) return 0;
  const length = readVarint(bytes, at + 1);
  keyStart = varintEnd;
  return length;
}

export function keyAt(table: SlabTable, address: Address): string {
  const length = keyLengthOf(table, address);
  return slabOf(table, address).bytes.toString("latin1", keyStart, keyStart + length);
}

/** A revision as the key of etcd's state file. */
export function revisionKey(main: number, sub: number, isTombstone = false): Buffer {
  const bytes = Buffer.alloc(isTombstone ? 18 : 17);
  writeRevision(bytes, 0, main, sub);
  if (isTombstone) bytes[17] = tombstoneMark;
  return bytes;
}

export function writeRevision(into: Buffer, at: number, main: number, sub: number): void {
  writeU64(into, at, main);
  into[at + 8] = separator;
  writeU64(into, at + 9, sub);
}

function writeU64(into: Buffer, at: number, value: number): void {
  into.writeUInt32BE(Math.floor(value / 2 ** 32), at);
  into.writeUInt32BE(value >>> 0, at + 4);
}

export const separator = 0x5f;
export const tombstoneMark = 0x74;
