import { KeyValue } from "../../proto/generated/mvccpb.ts";
import type { RowCursor } from "../bolt/plan.ts";
import { type Bolt, BoltError } from "../bolt/reader.ts";
import { isCanonical } from "../mvcc/key-value.ts";
import {
  bodyOf,
  isTombstoneAt,
  lengthOf,
  mainOf,
  separator,
  slabOf,
  subOf,
  tombstoneMark,
  writeRevision,
} from "../mvcc/record.ts";
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
