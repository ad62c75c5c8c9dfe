import { KeyValue } from "../../proto/generated/mvccpb.ts";
import type { RowCursor } from "../bolt/plan.ts";
import { type Bolt, BoltError } from "../bolt/reader.ts";
import { isCanonical } from "../mvcc/key-value.ts";
import { bodyOf, isTombstoneAt, lengthOf, mainOf, slabOf, subOf } from "../mvcc/record.ts";
import type { Store, StoreView } from "../mvcc/store.ts";

/**
 * The bucket `key`: one row for each version, in the order in which they were made.
 *
 *     main revision u64 BE | "_" | sub revision u64 BE | "t" on a tombstone  ->  mvccpb.KeyValue, of a tombstone the key only
 *
 * The store keeps its versions as they are here, so that a row is copied.
 */
export function keyRows(view: StoreView): RowCursor {
  const { table } = view;
  let i = -1;
  let address = 0;
  return {
    next() {
      if (++i >= view.count) return false;
      address = view.addressAt(i);
      return true;
    },
    get keyBytes() {
      return isTombstoneAt(table, address) ? 18 : 17;
    },
    get valueBytes() {
      return lengthOf(table, address);
    },
    copyKey(into, at) {
      writeRevision(into, at, mainOf(table, address), subOf(table, address));
      if (isTombstoneAt(table, address)) into[at + 17] = tombstoneMark;
    },
    copyValue(into, at) {
      const from = bodyOf(address);
      slabOf(table, address).bytes.copy(into, at, from, from + lengthOf(table, address));
    },
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
        const isTombstone = key.length === 18;
        restore.add({ main, sub, isTombstone, record: recordOf(value, main, isTombstone) });
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

/** What others wrote in another order, or with zeros, is written as we do: the store reads it in place. */
function recordOf(value: Buffer, main: number, isTombstone: boolean): Uint8Array {
  if (isCanonical(value, main, isTombstone)) return value;
  let kv: KeyValue;
  try {
    kv = KeyValue.decode(value);
  } catch (error) {
    throw new BoltError(`the row of revision ${main} holds no KeyValue`, { cause: error });
  }
  if (isTombstone) return KeyValue.encode({ key: kv.key });
  const { createRevision, version } = kv;
  return KeyValue.encode({ ...kv, modRevision: main, createRevision: createRevision || main, version: version || 1 });
}

const separator = 0x5f;
const tombstoneMark = 0x74;
