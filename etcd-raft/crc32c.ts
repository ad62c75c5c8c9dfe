/**
 * CRC-32C (Castagnoli, RFC 3720 appendix B.4), going on from `crc` (0 at the start) as Go's `hash/crc32` does: eight
 * bytes a step by eight tables ("slicing-by-8").
 */
export function crc32c(crc: number, bytes: Uint8Array, length = bytes.length): number {
  let c = ~crc;
  let i = 0;
  for (const end = length - 7; i < end; i += 8) {
    c ^= bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
    c =
      tables[1792 + (c & 0xff)]! ^
      tables[1536 + ((c >>> 8) & 0xff)]! ^
      tables[1280 + ((c >>> 16) & 0xff)]! ^
      tables[1024 + (c >>> 24)]! ^
      tables[768 + bytes[i + 4]!]! ^
      tables[512 + bytes[i + 5]!]! ^
      tables[256 + bytes[i + 6]!]! ^
      tables[bytes[i + 7]!]!;
  }
  for (; i < length; i++) c = tables[(c ^ bytes[i]!) & 0xff]! ^ (c >>> 8);
  return ~c >>> 0;
}

const tables = new Int32Array(8 * 256); // table k at 256 * k: the effect of a byte that is followed by k more
for (let n = 0; n < 256; n++) {
  let c = n;
  for (let bit = 0; bit < 8; bit++) c = c & 1 ? 0x82f63b78 ^ (c >>> 1) : c >>> 1;
  tables[n] = c;
}
for (let n = 0; n < 256; n++) {
  for (let k = 1; k < 8; k++) {
    const c = tables[256 * (k - 1) + n]!;
    tables[256 * k + n] = tables[c & 0xff]! ^ (c >>> 8);
  }
}
