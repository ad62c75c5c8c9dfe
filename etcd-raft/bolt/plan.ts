import { bucketBytes, elementBytes, isBucketFlag, pageHeaderBytes } from "./format.ts";

/**
 * The first pass of writing: where every page goes. It reads the sizes of all rows, not their bytes, and keeps a few
 * numbers and the first key of each page: for a database of 1 GB about 10 MB.
 *
 *     | meta 0 | meta 1 | freelist | leaves of bucket 1 | its branches | ... | leaves and branches of the root |
 */
export interface Bucket {
  name: string;
  rows(): RowCursor; // the same rows every time, in ascending order of their keys
}

/** Stands before the first row until `next` was called; false after the last. */
export interface RowCursor {
  next(): boolean;
  readonly keyBytes: number;
  readonly valueBytes: number;
  copyKey(into: Buffer, at: number): void;
  copyValue(into: Buffer, at: number): void;
}

export interface Plan {
  pageSize: number;
  freelist: number;
  pageCount: number;
  trees: Tree[]; // the buckets' in order of their names, the root's last
}

export interface Tree {
  rows: () => RowCursor;
  flag: number; // the flag of its leaves' elements
  levels: Level[]; // leaves first, each next one points to the one before; the last is a single page, the root
}

/** Consecutive pages of one kind: rows in each, file pages it takes, and its first key. */
export type Level = { firstPage: number; rows: number[]; pages: number[]; keys: Keys };

/** Yields after every few rows, so that the caller may pause; returns the plan. Bucket names are unique, not empty. */
export function* planBolt(buckets: readonly Bucket[], pageSize = 4096): Generator<void, Plan> {
  const sorted = [...buckets].sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)));
  const freelist = 2;
  let next = freelist + 1;
  const trees: Tree[] = [];
  const add = function* (rows: () => RowCursor, flag: number): Generator<void> {
    const levels: Level[] = [yield* leaves(rows(), next, pageSize)];
    for (let top = levels[0]!; ; levels.push(top)) {
      next = endOf(top);
      if (top.rows.length === 1) break;
      top = yield* branches(top.keys, next, pageSize);
    }
    trees.push({ rows, flag, levels });
  };
  for (const { rows } of sorted) yield* add(rows, 0);
  const headers = trees.map((tree, i) => ({ name: Buffer.from(sorted[i]!.name), header: bucketHeader(rootOf(tree)) }));
  yield* add(() => arrayCursor(headers.map(({ name, header }) => [name, header])), isBucketFlag);
  return { pageSize, freelist, pageCount: next, trees };
}

export const sizeOf = (plan: Plan): number => plan.pageCount * plan.pageSize;

export const rootOf = ({ levels }: Tree): number => levels.at(-1)!.firstPage;

export function arrayCursor(rows: readonly (readonly [Uint8Array, Uint8Array])[]): RowCursor {
  let i = -1;
  return {
    next: () => ++i < rows.length,
    get keyBytes() {
      return rows[i]![0].length;
    },
    get valueBytes() {
      return rows[i]![1].length;
    },
    copyKey: (into, at) => into.set(rows[i]![0], at),
    copyValue: (into, at) => into.set(rows[i]![1], at),
  };
}

/** First keys, one after the other in one buffer: an object each would weigh more than the key. */
export class Keys {
  #bytes = Buffer.alloc(256);
  readonly #ends: number[] = [];

  get length(): number {
    return this.#ends.length;
  }

  add(length: number, copy: (into: Buffer, at: number) => void): void {
    const start = this.#ends.at(-1) ?? 0;
    const end = start + length;
    if (end > this.#bytes.length) {
      const larger = Buffer.alloc(Math.max(2 * this.#bytes.length, end));
      this.#bytes.copy(larger);
      this.#bytes = larger;
    }
    copy(this.#bytes, start);
    this.#ends.push(end);
  }

  at(i: number): Buffer {
    return this.#bytes.subarray(i === 0 ? 0 : this.#ends[i - 1]!, this.#ends[i]!);
  }
}

/** An empty bucket has one empty leaf. */
function* leaves(cursor: RowCursor, firstPage: number, pageSize: number): Generator<void, Level> {
  const packer = new Packer(firstPage, pageSize, 1);
  const copy = (into: Buffer, at: number) => cursor.copyKey(into, at);
  for (let i = 1; cursor.next(); i++) {
    const { keyBytes } = cursor;
    if (packer.add(keyBytes + cursor.valueBytes)) packer.level.keys.add(keyBytes, copy);
    if (i % rowsAYield === 0) yield;
  }
  if (packer.level.rows.length === 0) packer.level.keys.add(0, () => {});
  return packer.end();
}

/** Two children at least, however long their keys: so each level is at most half as wide as the one below. */
function* branches(children: Keys, firstPage: number, pageSize: number): Generator<void, Level> {
  const packer = new Packer(firstPage, pageSize, 2);
  for (let i = 0; i < children.length; i++) {
    const key = children.at(i);
    if (packer.add(key.length)) packer.level.keys.add(key.length, (into, at) => into.set(key, at));
    if (i % rowsAYield === rowsAYield - 1) yield;
  }
  return packer.end();
}

class Packer {
  readonly level: Level;
  readonly #pageSize: number;
  readonly #atLeast: number;
  #rows = 0;
  #bytes = pageHeaderBytes;

  constructor(firstPage: number, pageSize: number, atLeast: number) {
    this.level = { firstPage, rows: [], pages: [], keys: new Keys() };
    this.#pageSize = pageSize;
    this.#atLeast = atLeast;
  }

  /** Returns whether the row is the first of its page. */
  add(bytes: number): boolean {
    const size = elementBytes + bytes;
    if (this.#rows >= this.#atLeast && this.#bytes + size > this.#pageSize) this.#close();
    this.#bytes += size;
    return ++this.#rows === 1;
  }

  end(): Level {
    if (this.#rows > 0 || this.level.rows.length === 0) this.#close();
    return this.level;
  }

  #close(): void {
    this.level.rows.push(this.#rows);
    this.level.pages.push(Math.ceil(this.#bytes / this.#pageSize));
    this.#rows = 0;
    this.#bytes = pageHeaderBytes;
  }
}

function endOf({ firstPage, pages }: Level): number {
  let end = firstPage;
  for (const count of pages) end += count;
  return end;
}

function bucketHeader(root: number): Buffer {
  const header = Buffer.alloc(bucketBytes);
  header.writeBigUInt64LE(BigInt(root), 0);
  return header;
}

const rowsAYield = 128;
