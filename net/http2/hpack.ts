import { decodeHuffman } from "./huffman.ts";

/**
 * Header compression of HTTP/2 (RFC 7541): a full decoder, and an encoder that leaves the dynamic table alone (which the
 * RFC allows) so that an encoded block is the same bytes every time and can be kept.
 */
export type Header = readonly [name: string, value: string];

/** The first value of that name. */
export function headerOf(headers: readonly Header[], name: string): string | undefined {
  for (const header of headers) if (header[0] === name) return header[1];
  return undefined;
}

/** A block that breaks the format or the limits: COMPRESSION_ERROR, the connection must end. */
export class HpackError extends Error {
  override name = "HpackError";
}

/** RFC 7541, Appendix A; index 1 is the first row. */
const staticTable: Header[] = (
  ":authority|:method GET|:method POST|:path /|:path /index.html|:scheme http|:scheme https|:status 200|:status 204|" +
  ":status 206|:status 304|:status 400|:status 404|:status 500|accept-charset|accept-encoding gzip, deflate|" +
  "accept-language|accept-ranges|accept|access-control-allow-origin|age|allow|authorization|cache-control|" +
  "content-disposition|content-encoding|content-language|content-length|content-location|content-range|content-type|" +
  "cookie|date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match|if-range|if-unmodified-since|" +
  "last-modified|link|location|max-forwards|proxy-authenticate|proxy-authorization|range|referer|refresh|retry-after|" +
  "server|set-cookie|strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate"
)
  .split("|")
  .map((row) => {
    const space = row.indexOf(" ");
    return space < 0 ? ([row, ""] as const) : ([row.slice(0, space), row.slice(space + 1)] as const);
  });

/** Bytes that an entry counts beside its text (RFC 7541, 4.1). */
const entryOverhead = 32;

/** Blocks that are remembered, and how long one may be. */
const keptBlocks = 32;
const keptBlockBytes = 512;
/** Of one decoded block. */
const maxHeaderBytes = 64 * 1024;

export class HpackDecoder {
  /** Newest first would shift on every insert; this is oldest first, and index 62 is the last element. */
  #dynamic: Header[] = [];
  #size = 0;
  #maxSize: number;
  /** Of the dynamic table. Blocks that left it alone mean the same until the next one: a caller repeats itself. */
  #changes = 0;
  readonly #known = new Map<string, readonly Header[]>();
  readonly #limit: number;

  /** `tableBytes`: what we announced as SETTINGS_HEADER_TABLE_SIZE. */
  constructor(tableBytes = 4096) {
    this.#limit = tableBytes;
    this.#maxSize = tableBytes;
  }

  /** The result is shared by blocks that are alike: callers leave it as it is. */
  decode(block: Buffer): readonly Header[] {
    const key = block.length <= keptBlockBytes ? block.toString("latin1") : undefined;
    const known = key === undefined ? undefined : this.#known.get(key);
    if (known !== undefined) return known;
    const changes = this.#changes;
    const headers = this.#decode(block);
    if (key === undefined || changes !== this.#changes) return headers;
    if (this.#known.size >= keptBlocks) this.#known.clear();
    this.#known.set(key, headers);
    return headers;
  }

  #decode(block: Uint8Array): Header[] {
    const headers: Header[] = [];
    const cursor = { at: 0 };
    let bytes = 0;
    while (cursor.at < block.length) {
      const byte = block[cursor.at]!;
      if (byte >= 0x20 && byte < 0x40) {
        if (headers.length > 0) throw new HpackError("a table size update must come first");
        this.#resize(integer(block, cursor, 5));
        continue;
      }
      const header = byte >= 0x80 ? this.#lookup(integer(block, cursor, 7)) : this.#literal(block, cursor, byte);
      bytes += header[0].length + header[1].length + entryOverhead;
      if (bytes > maxHeaderBytes) throw new HpackError("header list too large");
      headers.push(header);
    }
    return headers;
  }

  #literal(block: Uint8Array, cursor: { at: number }, byte: number): Header {
    const indexed = byte >= 0x40;
    const nameIndex = integer(block, cursor, indexed ? 6 : 4);
    const name = nameIndex === 0 ? text(block, cursor) : this.#lookup(nameIndex)[0];
    const header: Header = [name, text(block, cursor)];
    if (indexed) this.#insert(header);
    return header;
  }

  #lookup(index: number): Header {
    const header =
      index <= staticTable.length
        ? staticTable[index - 1]
        : this.#dynamic[this.#dynamic.length - (index - staticTable.length)];
    if (header === undefined) throw new HpackError(`no header at index ${index}`);
    return header;
  }

  #insert(header: Header): void {
    this.#changed();
    this.#dynamic.push(header);
    this.#size += sizeOf(header);
    this.#evict();
  }

  #resize(bytes: number): void {
    if (bytes > this.#limit) throw new HpackError(`table size ${bytes} exceeds the announced ${this.#limit}`);
    this.#changed();
    this.#maxSize = bytes;
    this.#evict();
  }

  #changed(): void {
    this.#changes++;
    this.#known.clear();
  }

  #evict(): void {
    let gone = 0;
    while (this.#size > this.#maxSize) this.#size -= sizeOf(this.#dynamic[gone++]!);
    if (gone > 0) this.#dynamic = this.#dynamic.slice(gone);
  }
}

function sizeOf([name, value]: Header): number {
  return name.length + value.length + entryOverhead;
}

/** An integer with a prefix of `bits` bits (RFC 7541, 5.1). */
function integer(block: Uint8Array, cursor: { at: number }, bits: number): number {
  const mask = 2 ** bits - 1;
  let value = block[cursor.at++]! & mask;
  if (value < mask) return value;
  for (let factor = 1; ; factor *= 128) {
    const byte = block[cursor.at++];
    if (byte === undefined || factor > 2 ** 21) throw new HpackError("integer out of range");
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) return value;
  }
}

function text(block: Uint8Array, cursor: { at: number }): string {
  const huffman = (block[cursor.at] ?? 0) >= 0x80;
  const length = integer(block, cursor, 7);
  const start = cursor.at;
  cursor.at += length;
  if (!(cursor.at <= block.length)) throw new HpackError("string runs past the block");
  if (!huffman) return Buffer.from(block.buffer, block.byteOffset + start, length).toString("latin1");
  const decoded = decodeHuffman(block, start, cursor.at);
  if (decoded === undefined) throw new HpackError("invalid Huffman code");
  return decoded;
}

/** Literals without indexing, no Huffman; names and static pairs by index where the table has them. */
export function encodeHeaders(headers: readonly Header[]): Buffer {
  const parts: Buffer[] = [];
  for (const [name, value] of headers) {
    const pair = staticTable.findIndex((row) => row[0] === name && row[1] === value);
    if (pair >= 0) {
      parts.push(Buffer.from([0x80 | (pair + 1)]));
      continue;
    }
    const known = staticTable.findIndex((row) => row[0] === name);
    parts.push(known >= 0 ? encodeInteger(known + 1, 4) : Buffer.concat([Buffer.from([0]), encodeText(name)]));
    parts.push(encodeText(value));
  }
  return Buffer.concat(parts);
}

export function encodeText(value: string): Buffer {
  const bytes = Buffer.from(value, "latin1");
  return Buffer.concat([encodeInteger(bytes.length, 7), bytes]);
}

/** With a prefix of `bits` bits in an octet that holds nothing else. */
export function encodeInteger(value: number, bits: number): Buffer {
  const mask = 2 ** bits - 1;
  if (value < mask) return Buffer.from([value]);
  const bytes = [mask];
  let rest = value - mask;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  bytes.push(rest);
  return Buffer.from(bytes);
}
