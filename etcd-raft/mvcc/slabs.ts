import { assert } from "../../base/assert.ts";

/**
 * Where versions live: one record after the other in large buffers outside the JavaScript heap. A version costs its bytes
 * and no object, so the garbage collector has nothing to mark however many there are; and no network buffer is kept alive
 * (kept slices cost up to 18 times their size).
 *
 * A record's address is 32 bits: the slab's number and the place in it, in units of 8 bytes. 0 is no address. A record
 * larger than a quarter of a slab has a slab of its own.
 *
 * A slab goes when no record of the history is in it. One long-lived record among dead ones would hold all of it, so
 * compaction moves the records out of sparse slabs. Whoever holds the slab itself (a view, a response under way) keeps it,
 * and its bytes stay what they were.
 */
export interface Slab {
  readonly bytes: Buffer;
  readonly words: Uint32Array;
  used: number;
  live: number; // bytes of records that are still wanted
  records: number; // records that the history lists, wanted or not
}

export type Address = number;
export type SlabTable = readonly (Slab | undefined)[];

export class Slabs {
  liveBytes = 0; // of all records that are still wanted
  capacityBytes = 0; // of all slabs
  readonly sparse = new Set<number>(); // numbers of those that are mostly garbage
  readonly #table: (Slab | undefined)[] = [undefined];
  readonly #free: number[] = [];
  #current = 0;

  /** By number; changes with the store. */
  get table(): SlabTable {
    return this.#table;
  }

  /** Room for a record of `bytes`, which count as wanted from now on. */
  allocate(bytes: number): Address {
    const size = roundUp(bytes);
    const number = this.#withRoom(size);
    const slab = this.#table[number]!;
    const address = addressOf(number, slab.used);
    slab.used += size;
    slab.live += size;
    slab.records++;
    this.liveBytes += size;
    return address;
  }

  /** The record is not wanted any more. It stays where it is until `drop`. */
  release(address: Address, bytes: number): void {
    const number = address >>> unitBits;
    const slab = this.#table[number]!;
    const size = roundUp(bytes);
    slab.live -= size;
    this.liveBytes -= size;
    if (isSparse(slab) && number !== this.#current) this.sparse.add(number);
  }

  /** The history does not list the record any more. */
  drop(address: Address): void {
    const number = address >>> unitBits;
    if (--this.#table[number]!.records === 0 && number !== this.#current) this.#remove(number);
  }

  #withRoom(size: number): number {
    if (size > slabBytes / 4) return this.#add(size);
    const current = this.#table[this.#current];
    if (current && current.bytes.length - current.used >= size) return this.#current;
    const full = this.#current;
    this.#current = this.#add(slabBytes);
    if (current?.records === 0) this.#remove(full);
    else if (current && isSparse(current)) this.sparse.add(full);
    return this.#current;
  }

  #add(size: number): number {
    const number = this.#free.pop() ?? this.#table.length;
    assert(number < 2 ** (32 - unitBits), "addresses have room for another slab");
    const bytes = Buffer.allocUnsafeSlow(size);
    const slab = { bytes, words: new Uint32Array(bytes.buffer), used: 0, live: 0, records: 0 };
    this.capacityBytes += size;
    this.#table[number] = slab;
    return number;
  }

  #remove(number: number): void {
    this.capacityBytes -= this.#table[number]!.bytes.length;
    this.#table[number] = undefined;
    this.#free.push(number);
    this.sparse.delete(number);
  }
}

const slabBytes = 256 * 1024;
/** Units of 8 bytes in a slab: 2^15. The other 17 bits are the slab's number: enough for 8 GiB of the worst size, 32 of small ones. */
export const unitBits = 15;
const unitMask = (1 << unitBits) - 1;

export const addressOf = (number: number, offset: number): Address => ((number << unitBits) | (offset >>> 3)) >>> 0;

/** Of the record's first word in its slab. */
export const wordOf = (address: Address): number => (address & unitMask) << 1;

export const roundUp = (bytes: number): number => (bytes + 7) & ~7;

/** Copying seven bytes to win three back is a good price: a copy is as cheap as memory gets. */
const isSparse = ({ live, bytes }: Slab): boolean => live < 0.7 * bytes.length;
