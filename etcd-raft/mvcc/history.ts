import { mainOf, subOf } from "./record.ts";
import type { Address, SlabTable } from "./slabs.ts";

/**
 * All versions in the order in which they were made: addresses in chunks, ascending (main, sub).
 *
 * A view shares the chunks. So a chunk is only appended to (a view knows how many it had), and otherwise replaced: in place
 * it is changed only while no view can have seen it (`views` is still what it was when the chunk was made).
 */
export class History {
  count = 0;
  chunks: Chunk[] = [];
  readonly #table: SlabTable;
  #views = 0;

  constructor(table: SlabTable) {
    this.#table = table;
  }

  push(address: Address, main: number, sub: number): void {
    let last = this.chunks[this.chunks.length - 1];
    if (last === undefined || last.count === chunkSize) {
      last = this.chunk(main, sub);
      this.chunks.push(last);
    }
    last.addresses[last.count++] = address;
    this.count++;
  }

  chunk(main: number, sub: number): Chunk {
    return { main, sub, addresses: new Uint32Array(chunkSize), count: 0, dead: 0, views: this.#views };
  }

  view(): readonly Chunk[] {
    this.#views++;
    return this.chunks.slice();
  }

  isShared(chunk: Chunk): boolean {
    return chunk.views !== this.#views;
  }

  /** Of the chunk in which (main, sub) is, if it is there at all. */
  chunkOf(main: number, sub: number): number {
    let low = 1;
    let high = this.chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const chunk = this.chunks[middle]!;
      if (chunk.main < main || (chunk.main === main && chunk.sub <= sub)) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** Of the first version in the chunk that is not before (main, sub); its count if there is none. */
  slotOf({ addresses, count }: Chunk, main: number, sub: number): number {
    let low = 0;
    let high = count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const address = addresses[middle]!;
      const at = mainOf(this.#table, address);
      if (at < main || (at === main && subOf(this.#table, address) < sub)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Calls `fn` with each version from (main, sub) on, until it returns false. */
  forEachFrom(main: number, sub: number, fn: (address: Address) => boolean): void {
    if (this.chunks.length === 0) return;
    let c = this.chunkOf(main, sub);
    let slot = this.slotOf(this.chunks[c]!, main, sub);
    for (; c < this.chunks.length; c++, slot = 0) {
      const { addresses, count } = this.chunks[c]!;
      for (; slot < count; slot++) if (!fn(addresses[slot]!)) return;
    }
  }

  /** The version (main, sub) lies elsewhere now. */
  replace(main: number, sub: number, address: Address): void {
    const c = this.chunkOf(main, sub);
    let chunk = this.chunks[c]!;
    const slot = this.slotOf(chunk, main, sub);
    if (this.isShared(chunk)) {
      chunk = { ...chunk, addresses: chunk.addresses.slice(), views: this.#views };
      this.chunks[c] = chunk;
    }
    chunk.addresses[slot] = address;
  }
}

export interface Chunk {
  readonly main: number; // not above that of its first version, above those of the chunk before
  readonly sub: number;
  readonly addresses: Uint32Array;
  count: number;
  dead: number; // how many of them compaction has marked and not yet taken out
  readonly views: number;
}

export const chunkSize = 4096;
