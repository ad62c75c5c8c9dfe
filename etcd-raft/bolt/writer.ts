import { assert } from "../../base/assert.ts";
import { elementBytes, pageFlag, pageHeaderBytes, writeMeta, writePageHeader } from "./format.ts";
import { type Level, type Plan, type RowCursor, rootOf, type Tree } from "./plan.ts";

/**
 * The second pass: the file as a stream of chunks from its first byte to its last, made from the same rows as the plan.
 * A chunk is about 64 KiB (more only for a single larger row), is the caller's to keep, and costs well under a
 * millisecond: pause between chunks as you like.
 *
 * All pages are full and none is free, so there is nothing to defragment. Both metas are valid, with txids 0 and 1.
 */
export function* writeBolt(plan: Plan): Generator<Buffer> {
  const { pageSize, freelist, pageCount, trees } = plan;
  const head = Buffer.alloc(3 * pageSize);
  const root = rootOf(trees.at(-1)!);
  for (const txid of [0, 1])
    writeMeta(head, txid * pageSize, { pageSize, root, sequence: 0, freelist, pageCount, txid });
  writePageHeader(head, 2 * pageSize, { id: freelist, flags: pageFlag.freelist, count: 0, overflow: 0 });
  const out = new Chunks(head);
  for (const tree of trees) {
    yield* writeLeaves(tree, pageSize, out);
    for (let i = 1; i < tree.levels.length; i++)
      yield* writeBranches(tree.levels[i]!, tree.levels[i - 1]!, pageSize, out);
  }
  const last = out.take();
  if (last.length > 0) yield last;
}

function* writeLeaves({ rows, flag, levels }: Tree, pageSize: number, out: Chunks): Generator<Buffer> {
  const cursor: RowCursor = rows();
  yield* writePages(levels[0]!, pageFlag.leaf, pageSize, out, (buffer, element, data, end) => {
    assert(cursor.next(), "the second pass has the rows of the first");
    const { keyBytes, valueBytes } = cursor;
    assert(data + keyBytes + valueBytes <= end, "the rows of the second pass have the sizes of the first");
    buffer.writeUInt32LE(flag, element);
    buffer.writeUInt32LE(data - element, element + 4);
    buffer.writeUInt32LE(keyBytes, element + 8);
    buffer.writeUInt32LE(valueBytes, element + 12);
    cursor.copyKey(buffer, data);
    cursor.copyValue(buffer, data + keyBytes);
    return keyBytes + valueBytes;
  });
  assert(!cursor.next(), "the second pass has the rows of the first");
}

function* writeBranches(level: Level, children: Level, pageSize: number, out: Chunks): Generator<Buffer> {
  let child = 0;
  let childId = children.firstPage;
  yield* writePages(level, pageFlag.branch, pageSize, out, (buffer, element, data) => {
    const key = children.keys.at(child);
    buffer.writeUInt32LE(data - element, element);
    buffer.writeUInt32LE(key.length, element + 4);
    buffer.writeBigUInt64LE(BigInt(childId), element + 8);
    childId += children.pages[child++]!;
    return key.copy(buffer, data);
  });
}

/** `write`: an element, and its bytes at `data`, where the page goes on to `end`; it returns how many. */
function* writePages(
  { firstPage, rows, pages }: Level,
  flags: number,
  pageSize: number,
  out: Chunks,
  write: (buffer: Buffer, element: number, data: number, end: number) => number,
): Generator<Buffer> {
  let id = firstPage;
  for (const [i, count] of rows.entries()) {
    const bytes = pages[i]! * pageSize;
    const full = out.reserve(bytes);
    if (full) yield full;
    const { buffer, at } = out.next(bytes);
    writePageHeader(buffer, at, { id, flags, count, overflow: pages[i]! - 1 });
    const first = at + pageHeaderBytes;
    let data = first + count * elementBytes;
    for (let row = 0; row < count; row++) data += write(buffer, first + row * elementBytes, data, at + bytes);
    id += pages[i]!;
  }
}

/** Pages side by side in buffers of `chunkBytes`, zeros where nobody writes. */
class Chunks {
  #buffer: Buffer;
  #used: number;

  constructor(first: Buffer) {
    this.#buffer = first;
    this.#used = first.length;
  }

  /** Room for `bytes`; what was full, if anything, is to be passed on. */
  reserve(bytes: number): Buffer | undefined {
    if (this.#buffer.length - this.#used >= bytes) return undefined;
    const full = this.take();
    this.#buffer = Buffer.alloc(Math.max(bytes, chunkBytes));
    return full.length > 0 ? full : undefined;
  }

  next(bytes: number): { buffer: Buffer; at: number } {
    const at = this.#used;
    this.#used += bytes;
    return { buffer: this.#buffer, at };
  }

  take(): Buffer {
    const taken = this.#buffer.subarray(0, this.#used);
    this.#buffer = Buffer.alloc(0);
    this.#used = 0;
    return taken;
  }
}

const chunkBytes = 64 * 1024;
