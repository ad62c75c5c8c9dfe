import { KeyValue } from "../../proto/generated/mvccpb.ts";
import type { RowCursor } from "../bolt/plan.ts";
import { type Bolt, BoltError } from "../bolt/reader.ts";
import type { Store, StoreView } from "../mvcc/store.ts";
import { isTombstone, keyText, type Version, valueBytes } from "../mvcc/version.ts";

/**
 * The bucket `key`: one row for each version, in the order in which they were made.
 *
 *     main revision u64 BE | "_" | sub revision u64 BE | "t" on a tombstone  ->  mvccpb.KeyValue, of a tombstone the key only
 *
 * The messages are written in place: no object and no copy for each of millions.
 */
export function keyRows(view: StoreView): RowCursor {
  let i = -1;
  let version: Version;
  let valueSize = 0;
  return {
    next() {
      if (++i >= view.count) return false;
      version = view.at(i);
      valueSize = keyValueBytes(version);
      return true;
    },
    get keyBytes() {
      return isTombstone(version) ? 18 : 17;
    },
    get valueBytes() {
      return valueSize;
    },
    copyKey(into, at) {
      writeRevision(into, at, version.main, version.sub);
      if (isTombstone(version)) into[at + 17] = tombstoneMark;
    },
    copyValue: (into, at) => writeKeyValue(into, at, version),
  };
}

export function revisionBytes(main: number, sub: number): Buffer {
  const bytes = Buffer.alloc(17);
  writeRevision(bytes, 0, main, sub);
  return bytes;
}

/**
 * Fills an empty store. Leases that keys hang on must be known to it before. Other work goes on between the blocks that
 * are read. Throws BoltError.
 */
export async function readKeys(
  db: Bolt,
  store: Store,
  compact: Pick<StoreView, "finishedCompact" | "scheduledCompact">,
): Promise<void> {
  const restore = store.restore(compact.finishedCompact);
  const bucket = await db.bucket("key");
  if (bucket) {
    for await (const rows of bucket.rows()) {
      for (const { key, value } of rows) {
        if ((key.length !== 17 && key.length !== 18) || key[8] !== separator)
          throw new BoltError(`a row of the key bucket is no revision: ${key.toString("hex")}`);
        const [main, sub] = [Number(key.readBigUInt64BE(0)), Number(key.readBigUInt64BE(9))];
        const kv = KeyValue.decode(value);
        const dead = key.length === 18;
        restore.add({
          key: keyText(kv.key),
          main,
          sub,
          create: dead ? 0 : kv.createRevision,
          version: dead ? 0 : kv.version,
          lease: dead ? 0n : kv.lease,
          value: dead ? nothing : kv.value,
        });
      }
    }
  }
  restore.end(Math.max(compact.finishedCompact, compact.scheduledCompact));
}

function writeRevision(into: Buffer, at: number, main: number, sub: number): void {
  writeU64(into, at, main);
  into[at + 8] = separator;
  writeU64(into, at + 9, sub);
}

function writeU64(into: Buffer, at: number, value: number): void {
  into.writeUInt32BE(Math.floor(value / 2 ** 32), at);
  into.writeUInt32BE(value >>> 0, at + 4);
}

function keyValueBytes(v: Version): number {
  const key = v.key.length === 0 ? 0 : 1 + varintBytes(v.key.length) + v.key.length;
  if (isTombstone(v)) return key;
  const value = v.length === 0 ? 0 : 1 + varintBytes(v.length) + v.length;
  const lease = v.lease === 0n ? 0 : 1 + bigVarintBytes(v.lease);
  return key + 3 + varintBytes(v.create) + varintBytes(v.main) + varintBytes(v.version) + value + lease;
}

function writeKeyValue(into: Buffer, start: number, v: Version): void {
  let at = start;
  if (v.key.length > 0) {
    at = putVarint(into, putByte(into, at, 0x0a), v.key.length);
    at += into.write(v.key, at, "latin1");
  }
  if (isTombstone(v)) return;
  at = putVarint(into, putByte(into, at, 0x10), v.create);
  at = putVarint(into, putByte(into, at, 0x18), v.main);
  at = putVarint(into, putByte(into, at, 0x20), v.version);
  if (v.length > 0) {
    at = putVarint(into, putByte(into, at, 0x2a), v.length);
    into.set(valueBytes(v), at);
    at += v.length;
  }
  if (v.lease === 0n) return;
  at = putByte(into, at, 0x30);
  for (let rest = BigInt.asUintN(64, v.lease); ; rest >>= 7n) {
    if (rest < 0x80n) {
      into[at] = Number(rest);
      return;
    }
    into[at++] = Number(rest & 0x7fn) | 0x80;
  }
}

function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes++;
  return bytes;
}

function bigVarintBytes(value: bigint): number {
  let bytes = 1;
  for (let rest = BigInt.asUintN(64, value); rest >= 0x80n; rest >>= 7n) bytes++;
  return bytes;
}

function putByte(into: Buffer, at: number, byte: number): number {
  into[at] = byte;
  return at + 1;
}

function putVarint(into: Buffer, start: number, value: number): number {
  let at = start;
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) into[at++] = (rest % 0x80) | 0x80;
  into[at] = rest;
  return at + 1;
}

const separator = 0x5f;
const tombstoneMark = 0x74;
const nothing = new Uint8Array(0);
