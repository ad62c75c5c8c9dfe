import type { Entry } from "./types.ts";

/**
 * A run of entries in one buffer. A log holds many thousands for as long as a second: as objects they would be what the
 * garbage collector copies and marks again and again (measured: a third of a loaded member's pauses).
 */
export class PackedEntries {
  readonly first: number;
  readonly count: number;
  readonly #bytes: Uint8Array;
  /** Where each entry's data ends. */
  readonly #ends: Uint32Array;
  readonly #terms: Float64Array;
  readonly #types: Uint8Array;

  /** Those from `begin` on, at most `most` of them and about as many bytes as a megabyte. */
  constructor(entries: readonly Entry[], begin: number, most: number) {
    this.first = entries[begin]!.index;
    let length = 0;
    let count = 0;
    while (count < most && (count === 0 || length < enoughBytes)) length += entries[begin + count++]!.data.length;
    this.count = count;
    this.#bytes = new Uint8Array(length);
    this.#ends = new Uint32Array(count);
    this.#terms = new Float64Array(count);
    this.#types = new Uint8Array(count);
    let at = 0;
    for (let i = 0; i < count; i++) {
      const { data, term, type } = entries[begin + i]!;
      this.#bytes.set(data, at);
      at += data.length;
      this.#ends[i] = at;
      this.#terms[i] = term;
      this.#types[i] = type;
    }
  }

  termAt(index: number): number {
    return this.#terms[index - this.first]!;
  }

  entryAt(index: number): Entry {
    const i = index - this.first;
    const data = this.#bytes.subarray(i === 0 ? 0 : this.#ends[i - 1]!, this.#ends[i]!);
    return { term: this.#terms[i]!, index, data, type: this.#types[i]! };
  }
}

const enoughBytes = 1 << 20;
