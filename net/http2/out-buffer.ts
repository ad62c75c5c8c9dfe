/**
 * What a connection is going to send in one write: a buffer that grows, and is given away whole. The next one begins about
 * as large as the last one became, so a busy connection allocates once a write, and an idle one holds nothing.
 */
export class OutBuffer {
  #bytes = nothing;
  #length = 0;
  #expected = smallest;

  get length(): number {
    return this.#length;
  }

  /** To be written at the place that `room` gave; valid until the next `room`. */
  get bytes(): Buffer {
    return this.#bytes;
  }

  /** Makes room for `count` bytes, which the caller writes into `bytes`; returns where. */
  room(count: number): number {
    const at = this.#length;
    this.#length = at + count;
    if (this.#length > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#expected, 2 * at, this.#length));
      this.#bytes.copy(larger, 0, 0, at);
      this.#bytes = larger;
    }
    return at;
  }

  push(bytes: Uint8Array): void {
    const at = this.room(bytes.length);
    this.#bytes.set(bytes, at);
  }

  take(): Buffer {
    const taken = this.#bytes.subarray(0, this.#length);
    this.#expected = Math.min(largest, Math.max(smallest, this.#length + (this.#length >> 1)));
    this.#bytes = nothing;
    this.#length = 0;
    return taken;
  }
}

const smallest = 256;
const largest = 256 * 1024;
const nothing = Buffer.alloc(0);
