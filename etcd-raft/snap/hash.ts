import type { Bucket } from "../bolt/plan.ts";
import { crc32c } from "../crc32c.ts";

/**
 * Maintenance.Hash: CRC-32C over the whole state file, bucket by bucket in order of their names: the name, then key and
 * value of each row. Left out is what may differ between members in the same state (etcd's `DefaultIgnores`).
 */
export function* hashBuckets(buckets: readonly Bucket[]): Generator<void, number> {
  let crc = 0;
  let row = Buffer.alloc(1024);
  for (const { name, rows } of buckets.toSorted((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)))) {
    crc = crc32c(crc, Buffer.from(name));
    const cursor = rows();
    for (let i = 1; cursor.next(); i++) {
      const { keyBytes, valueBytes } = cursor;
      if (row.length < keyBytes + valueBytes) row = Buffer.alloc(2 * (keyBytes + valueBytes));
      cursor.copyKey(row, 0);
      cursor.copyValue(row, keyBytes);
      const ignored = name === "meta" && own.has(row.toString("latin1", 0, keyBytes));
      if (!ignored) crc = crc32c(crc, row.subarray(0, keyBytes + valueBytes));
      if (i % rowsAYield === 0) yield;
    }
  }
  return crc;
}

const own = new Set(["consistent_index", "term", "storageVersion"]);
const rowsAYield = 256;
