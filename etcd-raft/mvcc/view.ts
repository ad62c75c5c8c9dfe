import type { Chunk } from "./history.ts";
import type { Address, SlabTable } from "./slabs.ts";
import { Version } from "./version.ts";

/** The whole store at one moment: versions in ascending (main, sub). */
export class StoreView {
  readonly revision: number;
  /** The compaction that was asked for last, and the last one whose versions are gone; -1: none. */
  readonly scheduledCompact: number;
  readonly finishedCompact: number;
  readonly count: number;
  readonly #chunks: readonly Chunk[];
  readonly table: SlabTable;
  /** Where the last chunk that was asked for begins, and which it is. */
  #begin = 0;
  #chunk = 0;

  constructor(
    { revision, scheduledCompact, finishedCompact, count }: ViewHead,
    chunks: readonly Chunk[],
    table: SlabTable,
  ) {
    this.revision = revision;
    this.scheduledCompact = scheduledCompact;
    this.finishedCompact = finishedCompact;
    this.count = count;
    this.#chunks = chunks;
    this.table = table;
  }

  /** The same versions in a store that says to have compacted all before `revision`, its last. */
  compactedAt(revision: number): StoreView {
    const head = { revision, scheduledCompact: revision, finishedCompact: revision, count: this.count };
    return new StoreView(head, this.#chunks, this.table);
  }

  /** Cheap when asked in order. Its `previous` is not to be used. */
  at(i: number): Version {
    return new Version(this.table, this.addressAt(i));
  }

  /** Likewise, without an object for each. */
  addressAt(i: number): Address {
    if (i < this.#begin) {
      this.#begin = 0;
      this.#chunk = 0;
    }
    let chunk = this.#chunks[this.#chunk]!;
    while (i >= this.#begin + chunk.count) {
      this.#begin += chunk.count;
      chunk = this.#chunks[++this.#chunk]!;
    }
    return chunk.addresses[i - this.#begin]!;
  }
}

export type ViewHead = Pick<StoreView, "revision" | "scheduledCompact" | "finishedCompact" | "count">;
