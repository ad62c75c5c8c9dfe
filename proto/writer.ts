const firstBytes = 64 * 1024;
/** Up to here a loop beats the call out of JavaScript. */
const shortCopy = 64;
const keptBytes = 4 * 1024 * 1024;

/**
 * Writes protobuf into one buffer that grows and is used again: no object a field, no second pass. Same verbs as
 * protobufjs' Writer, which builds a list of operations first and was a tenth of a loaded member's time.
 *
 * A nested message is written where it will stay, behind one byte for its length; `ldelim` moves it only when the length
 * takes more. Encoding is synchronous, so one writer serves everybody: `finish` copies out what was written.
 */
export class Writer {
  #buffer: Buffer = Buffer.allocUnsafeSlow(firstBytes);
  #at = 0;
  /** Where the messages begin that are open now, outermost first. */
  readonly #open: number[] = [];

  /** The shared writer, empty; a rare large message does not keep its room. */
  static create(): Writer {
    if (shared.#buffer.length > keptBytes) shared.#buffer = Buffer.allocUnsafeSlow(firstBytes);
    shared.#at = 0;
    shared.#open.length = 0;
    return shared;
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#at;
  }

  /** A copy of what was written. */
  finish(): Buffer {
    const bytes = Buffer.allocUnsafe(this.#at);
    this.copy(bytes, 0);
    return bytes;
  }

  /** Copies what was written, or the bytes [from, to) of it, to `into` from `at` on. */
  copy(into: Uint8Array, at: number, from = 0, to = this.#at): void {
    if (to - from > shortCopy) this.#buffer.copy(into, at, from, to);
    else for (let i = from; i < to; i++) into[at + i - from] = this.#buffer[i]!;
  }

  uint32(value: number): this {
    if (value >= 0 && value < 0x80) {
      if (this.#at === this.#buffer.length) this.#reserve(1);
      this.#buffer[this.#at++] = value;
      return this;
    }
    return this.#varint(value >>> 0);
  }

  /** Negative ones take ten bytes, as if they were 64 bits wide. */
  int32(value: number): this {
    return value >= 0 ? this.uint32(value) : this.#wide(value >>> 0, 0xffffffff);
  }

  bool(value: boolean): this {
    return this.uint32(value ? 1 : 0);
  }

  /** Numbers must be safe integers. */
  int64(value: number | bigint): this {
    if (typeof value === "bigint") {
      halves.setBigInt64(0, value);
      return this.#wide(halves.getUint32(4), halves.getUint32(0));
    }
    if (value >= 0) return value < 0x80 ? this.uint32(value) : this.#varint(value);
    return this.#wide(value >>> 0, Math.floor(value / 2 ** 32) >>> 0);
  }

  uint64(value: number | bigint): this {
    return this.int64(value);
  }

  double(value: number): this {
    this.#reserve(8);
    this.#at = this.#buffer.writeDoubleLE(value, this.#at);
    return this;
  }

  bytes(value: Uint8Array): this {
    return this.uint32(value.length).raw(value);
  }

  /** Bytes that are protobuf already. */
  raw(value: Uint8Array): this {
    const { length } = value;
    this.#reserve(length);
    this.#buffer.set(value, this.#at);
    this.#at += length;
    return this;
  }

  string(value: string): this {
    this.fork();
    this.#reserve(value.length * 3);
    this.#at += this.#buffer.write(value, this.#at, "utf8");
    return this.ldelim();
  }

  /** Begins a message with its length in front. */
  fork(): this {
    this.#reserve(1);
    this.#open.push(++this.#at);
    return this;
  }

  /** Ends it. */
  ldelim(): this {
    const start = this.#open.pop()!;
    const length = this.#at - start;
    if (length < 0x80) {
      this.#buffer[start - 1] = length;
      return this;
    }
    const more = length < 0x4000 ? 1 : length < 0x20_0000 ? 2 : length < 0x1000_0000 ? 3 : 4;
    this.#reserve(more);
    this.#buffer.copyWithin(start + more, start, this.#at);
    const end = this.#at + more;
    this.#at = start - 1;
    this.#varint(length);
    this.#at = end;
    return this;
  }

  /** A non-negative safe integer. */
  #varint(value: number): this {
    this.#reserve(10);
    let rest = value;
    while (rest >= 0x1000_0000) {
      this.#buffer[this.#at++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    while (rest >= 0x80) {
      this.#buffer[this.#at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#buffer[this.#at++] = rest;
    return this;
  }

  /** 64 bits in two halves. */
  #wide(low: number, high: number): this {
    this.#reserve(10);
    let [l, h] = [low, high];
    while (h > 0 || l >= 0x80) {
      this.#buffer[this.#at++] = (l & 0x7f) | 0x80;
      l = ((l >>> 7) | (h << 25)) >>> 0;
      h >>>= 7;
    }
    this.#buffer[this.#at++] = l;
    return this;
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(2 * this.#buffer.length, this.#at + bytes));
    this.#buffer.copy(larger, 0, 0, this.#at);
    this.#buffer = larger;
  }
}

const shared = new Writer();
/** Takes a bigint apart without making others. */
const halves = new DataView(new ArrayBuffer(8));
