import type { Chunk } from "./history.ts";
import type { Address, SlabTable } from "./slabs.ts";
import { Version } from "./version.ts";

/** The whole store at one moment: versions in ascending (main, sub). */
export interface StoreView {
  readonly revision: number;
  /** The compaction that was asked for last, and the last one whose versions are gone; -1: none. */
  readonly scheduledCompact: number;
  readonly finishedCompact: number;
  readonly count: number;
  readonly table: SlabTable;
  addressAt(i: number): Address; // cheap when asked in order
  at(i: number): Version; // its `previous` is not to be used
  /** The same versions in a store that says to have compacted all before `revision`, its last. */
  compactedAt(revision: number): StoreView;
}

export function viewOf(
  head: Pick<StoreView, "revision" | "scheduledCompact" | "finishedCompact" | "count">,
  chunks: readonly Chunk[],
  table: SlabTable,
): StoreView {
  let [begin, current] = [0, 0]; // where the last chunk that was asked for begins, and which it is
  const addressAt = (i: number): Address => {
    if (i < begin) [begin, current] = [0, 0];
    let chunk = chunks[current]!;
    while (i >= begin + chunk.count) {
      begin += chunk.count;
      chunk = chunks[++current]!;
    }
    return chunk.addresses[i - begin]!;
  };
  return {
    ...head,
    table,
    addressAt,
    at: (i) => new Version(table, addressAt(i)),
    compactedAt: (revision) =>
      viewOf({ ...head, revision, scheduledCompact: revision, finishedCompact: revision }, chunks, table),
  };
}
