import type { DiskFile } from "../wal/disk.ts";
import * as format from "./format.ts";

/** The file is no bbolt database, or a damaged one. The message names the file, and the page where it can. */
export class BoltError extends Error {
  override name = "BoltError";
}

export type BoltFile = Pick<DiskFile, "size" | "read">;

export type Row = { key: Buffer; value: Buffer; isBucket: boolean };

/**
 * Reads a bbolt file at rest, ours or a real one: nothing of it is trusted, and what it yields is in order. Free pages
 * are not looked at. Only the pages that are asked for are read, in a few blocks whose memory is used again: rows are views
 * of it, and stay what they are until the next ones are asked for.
 */
export async function openBolt(file: BoltFile, path: string): Promise<Bolt> {
  const size = await file.size();
  const metas = await readMetas(file);
  if (metas.length === 0) throw new BoltError(`${path} is not a bbolt database: neither meta page is valid`);
  const meta = metas.reduce((a, b) => (a.txid >= b.txid ? a : b));
  if (meta.pageCount * meta.pageSize > size)
    throw new BoltError(`${path} is cut short: ${size} bytes, but its meta says ${meta.pageCount * meta.pageSize}`);
  return new Bolt(new Pages(file, path, meta), meta.root, undefined);
}

/** A bucket of the file. `openBolt` gives the root, whose rows are the other buckets. */
export class Bolt {
  readonly #pages: Pages;
  readonly #root: number;
  readonly #inline: Buffer | undefined;

  constructor(pages: Pages, root: number, inline: Buffer | undefined) {
    this.#pages = pages;
    this.#root = root;
    this.#inline = inline;
  }

  get meta(): format.Meta {
    return this.#pages.meta;
  }

  /** All rows in ascending order of their keys, one page's at a time. No page comes twice (a loop in the tree would never end). */
  async *rows(): AsyncGenerator<Row[]> {
    const pages = this.#pages;
    if (this.#inline) yield pages.leaf(0, this.#inline, undefined);
    const seen = new Set<number>();
    let last: Buffer | undefined; // key of the page before: a copy
    const left = this.#inline ? [] : [this.#root]; // next one last
    for (let id = left.pop(); id !== undefined; id = left.pop()) {
      if (seen.has(id)) throw pages.damaged(id, "it is used twice");
      seen.add(id);
      const page = pages.present(id) ?? (await pages.read(id));
      if (format.readPageHeader(page).flags === format.pageFlag.branch) left.push(...pages.branch(id, page).reverse());
      else {
        const rows = pages.leaf(id, page, last);
        if (rows.length > 0) last = Buffer.from(rows.at(-1)!.key);
        yield rows;
      }
    }
  }

  async get(key: Uint8Array): Promise<Row | undefined> {
    for await (const rows of this.rows()) {
      const found = rows.find((row) => row.key.equals(key));
      if (found) return { ...found, key: Buffer.from(found.key), value: Buffer.from(found.value) };
    }
    return undefined;
  }

  async bucket(name: string): Promise<Bolt | undefined> {
    const row = await this.get(Buffer.from(name));
    if (row === undefined) return undefined;
    const { bucketBytes } = format;
    if (!row.isBucket || row.value.length < bucketBytes) throw this.#pages.damaged(this.#root, `${name} is no bucket`);
    const root = Number(row.value.readBigUInt64LE(0));
    return new Bolt(this.#pages, root, root === 0 ? row.value.subarray(bucketBytes) : undefined);
  }
}

class Pages {
  readonly #file: BoltFile;
  readonly #path: string;
  readonly meta: format.Meta;
  readonly #blocks = new Map<number, Buffer>(); // least recently used first

  constructor(file: BoltFile, path: string, meta: format.Meta) {
    this.#file = file;
    this.#path = path;
    this.meta = meta;
  }

  /** As `read`, if all of it lies in a block that is there. */
  present(id: number): Buffer | undefined {
    const { pageSize, pageCount } = this.meta;
    if (id < 2 || id >= pageCount) return undefined;
    const bytes = (length: number) => {
      const at = (id * pageSize) % blockBytes;
      const block = this.#blocks.get(id * pageSize - at);
      return block && block.length >= at + length ? block.subarray(at, at + length) : undefined;
    };
    const first = bytes(pageSize);
    const overflow = first ? this.#checked(id, first).overflow : 0;
    return overflow === 0 ? first : bytes((1 + overflow) * pageSize);
  }

  /** A branch or leaf page with those that belong to it. */
  async read(id: number): Promise<Buffer> {
    const { pageSize, pageCount } = this.meta;
    if (id < 2 || id >= pageCount) throw this.damaged(id, `there are ${pageCount} pages`);
    const first = await this.#bytes(id * pageSize, pageSize);
    const { overflow } = this.#checked(id, first);
    return overflow === 0 ? first : this.#bytes(id * pageSize, (1 + overflow) * pageSize);
  }

  #checked(id: number, first: Buffer): format.PageHeader {
    const { pageCount } = this.meta;
    const header = format.readPageHeader(first);
    if (header.id !== id) throw this.damaged(id, `it says it is page ${header.id}`);
    if (header.flags !== format.pageFlag.leaf && header.flags !== format.pageFlag.branch)
      throw this.damaged(id, `neither branch nor leaf, flags are ${header.flags}`);
    if (id + header.overflow >= pageCount) throw this.damaged(id, `${header.overflow} more pages belong to it`);
    return header;
  }

  /** `last`: the key before, since keys only rise. */
  leaf(id: number, page: Buffer, last: Buffer | undefined): Row[] {
    const rows: Row[] = [];
    const { count } = this.#header(id, page);
    let before = last;
    for (let i = 0, at = format.pageHeaderBytes; i < count; i++, at += format.elementBytes) {
      const start = at + page.readUInt32LE(at + 4);
      const keyEnd = start + page.readUInt32LE(at + 8);
      const end = keyEnd + page.readUInt32LE(at + 12);
      if (end > page.length) throw this.damaged(id, `element ${i} ends beyond it`);
      const isBucket = (page.readUInt32LE(at) & format.isBucketFlag) !== 0;
      const key = page.subarray(start, keyEnd);
      if (before && Buffer.compare(before, key) >= 0) throw this.damaged(id, "its keys are out of order");
      before = key;
      rows.push({ key, value: page.subarray(keyEnd, end), isBucket });
    }
    return rows;
  }

  branch(id: number, page: Buffer): number[] {
    const { count } = this.#header(id, page);
    if (count === 0) throw this.damaged(id, "a branch without children");
    return Array.from({ length: count }, (_, i) =>
      Number(page.readBigUInt64LE(format.pageHeaderBytes + i * format.elementBytes + 8)),
    );
  }

  damaged(id: number, problem: string): BoltError {
    return new BoltError(`${this.#path} is damaged at page ${id}: ${problem}`);
  }

  #header(id: number, page: Buffer): format.PageHeader {
    if (page.length < format.pageHeaderBytes) throw this.damaged(id, "an inline bucket without a page");
    const header = format.readPageHeader(page);
    if (format.pageHeaderBytes + header.count * format.elementBytes > page.length)
      throw this.damaged(id, `${header.count} elements do not fit`);
    return header;
  }

  async #bytes(position: number, length: number): Promise<Buffer> {
    const at = position % blockBytes;
    if (at + length > blockBytes) {
      const bytes = await this.#file.read(position, length);
      if (bytes.length < length) throw new BoltError(`${this.#path} ends before ${position + length}`);
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    }
    const start = position - at;
    let block = this.#blocks.get(start);
    if (block === undefined) {
      const [oldest] = this.#blocks.size < maxBlocks ? [] : this.#blocks.keys();
      const room = oldest === undefined ? undefined : this.#blocks.get(oldest)!.buffer;
      if (oldest !== undefined) this.#blocks.delete(oldest);
      const into = room?.byteLength === blockBytes ? Buffer.from(room) : Buffer.allocUnsafeSlow(blockBytes);
      const bytes = await this.#file.read(start, blockBytes, into);
      block = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    } else {
      this.#blocks.delete(start);
    }
    this.#blocks.set(start, block);
    if (block.length < at + length) throw new BoltError(`${this.#path} ends before ${position + length}`);
    return block.subarray(at, at + length);
  }
}

/** The second meta stands where the page size says, which the first may no longer tell. */
async function readMetas(file: BoltFile): Promise<format.Meta[]> {
  const at = async (position: number) => {
    const bytes = await file.read(position, 4096);
    return format.readMeta(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
  };
  const first = await at(0);
  for (let pageSize = first?.pageSize ?? 512; pageSize <= (first?.pageSize ?? 1 << 16); pageSize *= 2) {
    const second = await at(pageSize);
    if (second?.pageSize === pageSize) return first ? [first, second] : [second];
  }
  return first ? [first] : [];
}

const blockBytes = 256 * 1024;
const maxBlocks = 16;
