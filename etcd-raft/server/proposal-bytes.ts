import type { Writer } from "../../proto/wire.ts";

/**
 * Where proposals lie: one behind the other in buffers of their own. The log keeps them alive for long, so they must not share
 * a buffer with what is short-lived: one small write among many answers would hold all of these.
 */
export class ProposalBytes {
  #slab = Buffer.alloc(0);
  #used = 0;

  /** A copy of what was written. */
  copy(writer: Writer): Buffer {
    const { length } = writer;
    if (length > slabBytes / 4) {
      const alone = Buffer.allocUnsafeSlow(length);
      writer.copy(alone, 0);
      return alone;
    }
    if (this.#used + length > this.#slab.length) {
      this.#slab = Buffer.allocUnsafeSlow(slabBytes);
      this.#used = 0;
    }
    const bytes = this.#slab.subarray(this.#used, this.#used + length);
    this.#used += length;
    writer.copy(bytes, 0);
    return bytes;
  }
}

const slabBytes = 64 * 1024;
