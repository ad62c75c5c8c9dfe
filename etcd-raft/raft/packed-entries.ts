import type { Entry } from "./types.ts";

/**
 * A run of entries as numbers. A log holds many thousands for as long as a second: as objects they would be what the garbage
 * collector copies and marks again and again. The data stays where it is: in the message that brought it, or where the
 * proposals of its time lie (`ProposalBytes`).
 */
export class PackedEntries {
  readonly first: number;
  readonly count: number;
  readonly #buffers: ArrayBufferLike[] = [];
  readonly #places: Uint32Array; // of each entry: which buffer, offset, length
  readonly #terms: Float64Array;
  readonly #types: Uint8Array;

  /** The `count` entries from `begin` on. */
  constructor(entries: readonly Entry[], begin: number, count: number) {
    this.first = entries[begin]!.index;
    this.count = count;
    this.#places = new Uint32Array(3 * count);
    this.#terms = new Float64Array(count);
    this.#types = new Uint8Array(count);
    let last: ArrayBufferLike | undefined;
    for (let i = 0; i < count; i++) {
      const { data, term, type } = entries[begin + i]!;
      const { buffer } = data;
      if (buffer !== last) this.#buffers.push(buffer);
      last = buffer;
      this.#places[3 * i] = this.#buffers.length - 1;
      this.#places[3 * i + 1] = data.byteOffset;
      this.#places[3 * i + 2] = data.length;
      this.#terms[i] = term;
      this.#types[i] = type;
    }
  }

  termAt(index: number): number {
    return this.#terms[index - this.first]!;
  }

  entryAt(index: number): Entry {
    const i = index - this.first;
    const [buffer, offset, length] = this.#places.subarray(3 * i, 3 * i + 3) as unknown as [number, number, number];
    const data = new Uint8Array(this.#buffers[buffer]!, offset, length);
    return { term: this.#terms[i]!, index, data, type: this.#types[i]! };
  }
}
