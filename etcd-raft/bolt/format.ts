/**
 * The layout of a bbolt file (source: go.etcd.io/bbolt). All numbers are little-endian.
 *
 *     page      | id u64 | flags u16 | count u16 | overflow u32 | elements | keys and values |    a page and `overflow` more
 *     leaf      | flags u32 | pos u32 | ksize u32 | vsize u32 |     pos counts from the element to its key; the value follows
 *     branch    | pos u32 | ksize u32 | child page u64 |            the child's first key
 *     bucket    | root page u64 | sequence u64 |                    a leaf value with flag 1; root 0: its only page follows
 *     meta      | magic u32 | version u32 | page size u32 | flags u32 | root bucket | freelist u64 | page count u64
 *               | txid u64 | FNV-1a 64 of the bytes before |        in page txid % 2, the valid one with the higher txid counts
 */
export const pageHeaderBytes = 16;
export const elementBytes = 16;
export const bucketBytes = 16;
export const pageFlag = { branch: 0x01, leaf: 0x02, meta: 0x04, freelist: 0x10 } as const;
export const isBucketFlag = 0x01;
const metaBytes = 64;
const magic = 0xed0cdaed;
const version = 2;

export interface Meta {
  pageSize: number;
  root: number;
  sequence: number;
  freelist: number;
  pageCount: number;
  txid: number;
}

export type PageHeader = { id: number; flags: number; count: number; overflow: number };

export function writePageHeader(into: Buffer, at: number, { id, flags, count, overflow }: PageHeader): void {
  into.writeBigUInt64LE(BigInt(id), at);
  into.writeUInt16LE(flags, at + 8);
  into.writeUInt16LE(count, at + 10);
  into.writeUInt32LE(overflow, at + 12);
}

export function readPageHeader(page: Buffer): PageHeader {
  return {
    id: Number(page.readBigUInt64LE(0)),
    flags: page.readUInt16LE(8),
    count: page.readUInt16LE(10),
    overflow: page.readUInt32LE(12),
  };
}

export function writeMeta(into: Buffer, at: number, meta: Meta): void {
  writePageHeader(into, at, { id: meta.txid % 2, flags: pageFlag.meta, count: 0, overflow: 0 });
  const body = into.subarray(at + pageHeaderBytes, at + pageHeaderBytes + metaBytes);
  for (const [i, value] of [magic, version, meta.pageSize, 0].entries()) body.writeUInt32LE(value, 4 * i);
  const { root, sequence, freelist, pageCount, txid } = meta;
  for (const [i, value] of [root, sequence, freelist, pageCount, txid].entries())
    body.writeBigUInt64LE(BigInt(value), 16 + 8 * i);
  body.writeBigUInt64LE(fnv1a64(body.subarray(0, 56)), 56);
}

/** `page`: a meta page. Undefined if that is no valid one. */
export function readMeta(page: Buffer): Meta | undefined {
  if (page.length < pageHeaderBytes + metaBytes) return undefined;
  const body = page.subarray(pageHeaderBytes, pageHeaderBytes + metaBytes);
  if (body.readUInt32LE(0) !== magic || body.readUInt32LE(4) !== version) return undefined;
  if (body.readBigUInt64LE(56) !== fnv1a64(body.subarray(0, 56))) return undefined;
  const [root, sequence, freelist, pageCount, txid] = [16, 24, 32, 40, 48].map((at) =>
    Number(body.readBigUInt64LE(at)),
  ) as [number, number, number, number, number];
  return { pageSize: body.readUInt32LE(8), root, sequence, freelist, pageCount, txid };
}

function fnv1a64(bytes: Uint8Array): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash;
}
