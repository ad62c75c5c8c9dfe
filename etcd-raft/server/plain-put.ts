import { PutRequest } from "../../proto/generated/etcdserverpb.ts";
import type { MessageCodec } from "../../proto/wire.ts";

/**
 * The commonest entry, read and written in place: an InternalRaftRequest that is a put of a key and a value by nobody in
 * particular (no lease, no option, no user). It costs no object; whatever else an entry holds goes through the codec.
 *
 *     header (100) { ID (1) } | put (4) { key (1), value (2) }
 */
export class PlainPut {
  idHigh = 0; // of the request's id, 32 bits each
  idLow = 0;
  keyAt = 0;
  keyEnd = 0;
  valueAt = 0;
  valueEnd = 0;
  #at = 0;

  /** False: it is something else, or has fields twice, or is broken. */
  read(data: Uint8Array): boolean {
    this.#at = 0;
    return this.#header(data) && this.#put(data) && this.#at === data.length;
  }

  /** Of a PutRequest alone. */
  readRequest(data: Uint8Array): boolean {
    this.#at = 0;
    return this.#keyAndValue(data) && this.#at === data.length;
  }

  #header(data: Uint8Array): boolean {
    if (data[0] !== tag.header || data[1] !== tag.headerNext || data[3] !== tag.id) return false;
    const end = 3 + data[2]!;
    this.#at = 4;
    let [low, high] = [0, 0];
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = data[this.#at++]!;
      if (shift < 28) low |= (byte & 0x7f) << shift;
      else if (shift === 28) {
        low |= (byte & 0x0f) << 28;
        high = (byte & 0x7f) >>> 4;
      } else high |= (byte & 0x7f) << (shift - 32);
      if (byte < 0x80) break;
    }
    this.idLow = low >>> 0;
    this.idHigh = high >>> 0;
    return this.#at === end;
  }

  #put(data: Uint8Array): boolean {
    if (data[this.#at++] !== tag.put || this.#length(data) !== data.length - this.#at) return false;
    return this.#keyAndValue(data);
  }

  #keyAndValue(data: Uint8Array): boolean {
    if (data[this.#at++] !== tag.key) return false;
    const keyLength = this.#length(data);
    this.keyAt = this.#at;
    this.#at += keyLength;
    this.keyEnd = this.#at;
    this.valueAt = this.#at;
    if (keyLength > 0 && data[this.#at] === tag.value) {
      this.#at++;
      const valueLength = this.#length(data);
      this.valueAt = this.#at;
      this.#at += valueLength;
    }
    this.valueEnd = this.#at;
    return keyLength > 0;
  }

  /** A varint of up to four bytes; a longer one comes out as more than any entry has. */
  #length(data: Uint8Array): number {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = data[this.#at++]!;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    return Number.MAX_SAFE_INTEGER;
  }
}

/** A client's plain put as it came: it goes into the log as it is. */
export class ReceivedPut implements PutRequest {
  readonly encoded: Uint8Array;
  readonly bytes: number; // of key and value
  readonly #keyAt: number;
  readonly #keyEnd: number;
  readonly #valueAt: number;

  constructor(encoded: Uint8Array, { keyAt, keyEnd, valueAt, valueEnd }: PlainPut) {
    this.encoded = encoded;
    this.bytes = keyEnd - keyAt + valueEnd - valueAt;
    this.#keyAt = keyAt;
    this.#keyEnd = keyEnd;
    this.#valueAt = valueAt;
  }

  get key(): Uint8Array {
    return this.encoded.subarray(this.#keyAt, this.#keyEnd);
  }
  get value(): Uint8Array {
    return this.encoded.subarray(this.#valueAt);
  }
  get lease(): bigint {
    return 0n;
  }
  get prevKv(): boolean {
    return false;
  }
  get ignoreValue(): boolean {
    return false;
  }
  get ignoreLease(): boolean {
    return false;
  }
}

/** Reads plain puts in place. */
export const putRequestInPlace: MessageCodec<PutRequest> = {
  ...PutRequest,
  decode: (bytes) => (place.readRequest(bytes) ? new ReceivedPut(bytes, place) : PutRequest.decode(bytes)),
};
const place = new PlainPut();

const tag = { header: 0xa2, headerNext: 0x06, id: 0x08, put: 0x22, key: 0x0a, value: 0x12 } as const;
