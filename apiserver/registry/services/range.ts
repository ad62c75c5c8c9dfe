import { formatIp, readCidr } from "../../../base/cidr.ts";

/**
 * A range of numbers that Services take from: addresses (as offsets from the network) and node ports. Which are taken is
 * a bitmap in a RangeAllocation object under `/registry/ranges/`, in upstream's form: the bytes of a big-endian number
 * whose bit i is offset i. It changes in the same Txn as the Service, so nothing leaks and nothing is given twice.
 */
export interface NumberRange {
  /** As flags and objects spell it: "10.96.0.0/12", "30000-32767". */
  text: string;
  size: number;
  /** Automatic choices stay above it as long as they can; the numbers below are for those who ask for one by number. */
  reserved: number;
  toText(offset: number): string;
  /** -1 when it is not in the range. */
  toOffset(value: string | number): number;
}

/** Offset 0 is the first usable address: neither network nor broadcast address is given out. Throws RangeError. */
export function addressRange(cidr: string): NumberRange {
  const range = readCidr(cidr);
  if (range === undefined || range.size < 4)
    throw new RangeError(`"${cidr}" is not an IPv4 range such as 10.96.0.0/12`);
  if (range.size > 2 ** 20) throw new RangeError(`"${cidr}" is too large: the mask must be at least 12 bits`);
  const size = range.size - 2;
  return {
    text: cidr,
    size,
    reserved: reservedOf(size, 16, 256),
    toText: (offset) => formatIp(range.first + 1 + offset),
    toOffset(value) {
      const offset = (readCidr(`${value}/32`)?.first ?? -1) - range.first - 1;
      return offset >= 0 && offset < size ? offset : -1;
    },
  };
}

export function portRange(text: string): NumberRange {
  const [first, last] = (/^(\d+)-(\d+)$/.exec(text)?.slice(1) ?? []).map(Number);
  if (first === undefined || last === undefined || first < 1 || last > 65535 || first > last)
    throw new RangeError(`"${text}" is not a port range such as 30000-32767`);
  const size = last - first + 1;
  return {
    text,
    size,
    reserved: size < 32 ? 0 : Math.min(Math.max(16, Math.floor(size / 32)), 128),
    toText: (offset) => String(first + offset),
    toOffset: (value) => (Number(value) >= first && Number(value) <= last ? Number(value) - first : -1),
  };
}

const reservedOf = (size: number, part: number, most: number) =>
  size < 16 ? 0 : Math.min(Math.max(16, Math.floor(size / part)), most);

/** Which offsets of a range are taken. A value: changes make a copy. */
export class Bitmap {
  /** Byte i holds the offsets 8i to 8i+7. */
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array = new Uint8Array(0)) {
    this.#bytes = bytes;
  }

  static fromBase64(text: string): Bitmap {
    return new Bitmap(Uint8Array.from(Buffer.from(text, "base64")).reverse());
  }

  toBase64(): string {
    let length = this.#bytes.length;
    while (length > 0 && this.#bytes[length - 1] === 0) length--;
    return Buffer.from(this.#bytes.subarray(0, length)).reverse().toString("base64");
  }

  has(offset: number): boolean {
    return ((this.#bytes[offset >> 3] ?? 0) & (1 << (offset & 7))) !== 0;
  }

  with(offsets: Iterable<number>, taken: boolean): Bitmap {
    const list = [...offsets];
    const bytes = new Uint8Array(Math.max(this.#bytes.length, ...list.map((offset) => (offset >> 3) + 1)));
    bytes.set(this.#bytes);
    for (const offset of list) {
      if (taken) bytes[offset >> 3]! |= 1 << (offset & 7);
      else bytes[offset >> 3]! &= ~(1 << (offset & 7));
    }
    return new Bitmap(bytes);
  }

  /**
   * A free offset: the next one after `after` in the part above `reserved`, then below it. -1: the range is full.
   *
   * Differs: upstream picks at random; going round keeps the bitmap, which every Service write carries, short, and still
   * leaves a released number alone for as long as possible.
   */
  next({ size, reserved }: NumberRange, after: number): number {
    const from = Math.max(after + 1, reserved);
    const parts = [
      [from, size],
      [reserved, from],
      [0, reserved],
    ] as const;
    for (const [start, end] of parts)
      for (let offset = start; offset < Math.min(end, size); offset++) if (!this.has(offset)) return offset;
    return -1;
  }
}
