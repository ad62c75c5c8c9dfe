import protobuf from "protobufjs/minimal.js";
import type { Writer } from "./writer.ts";

/**
 * What generated codecs share: protobufjs' reader, a writer of our own, and 64-bit integers without `Long`: safe numbers,
 * or bigint where the .proto says `(kubelab.bigint)`.
 */
export const { Reader } = protobuf;
export type Reader = protobuf.Reader;
export { Writer } from "./writer.ts";

export interface MessageCodec<T> {
  /** Absent fields and proto3 zeros are not written. */
  encode(message: Init<T>): Uint8Array;
  write(message: Init<T>, writer: Writer): Writer;
  /** Absent scalars are zero, lists empty, messages and oneof members undefined. Throws on bad bytes. */
  decode(bytes: Uint8Array): T;
  read(reader: Reader, end: number): T;
}

/** What a writer must give: any part of the message. */
export type Init<T> = {
  [K in keyof T]?:
    | (T[K] extends Uint8Array | bigint | number | string | boolean | undefined
        ? T[K]
        : T[K] extends (infer E)[]
          ? E extends object
            ? E extends Uint8Array
              ? E[]
              : Init<E>[]
            : E[]
          : T[K] extends Record<string, infer V>
            ? string extends keyof T[K]
              ? Record<string, V>
              : Init<T[K]>
            : T[K] extends infer M | undefined
              ? M extends Uint8Array | bigint | number | string | boolean
                ? M
                : Init<M>
              : T[K])
    | undefined;
};

export type MethodKind = "unary" | "serverStream" | "clientStream" | "bidi";

/** One rpc as data: transports and clients are made from it. */
export interface Method<Request, Response, Kind extends MethodKind = MethodKind> {
  path: string;
  kind: Kind;
  request: MessageCodec<Request>;
  response: MessageCodec<Response>;
}

export const empty: Uint8Array = new Uint8Array(0);

/** An unsigned varint as a number; throws past 2^53. */
export function readUint64(reader: Reader): number {
  const low = readLow(reader);
  if (low >= 0) return low;
  readHalves(reader);
  return halves.getUint32(4, true) * 2 ** 32 + halves.getUint32(0, true);
}

export function readInt64(reader: Reader): number {
  const low = readLow(reader);
  if (low >= 0) return low;
  readHalves(reader);
  return halves.getInt32(4, true) * 2 ** 32 + halves.getUint32(0, true);
}

export function readBigUint64(reader: Reader): bigint {
  readHalves(reader);
  return halves.getBigUint64(0, true);
}

export function readBigInt64(reader: Reader): bigint {
  readHalves(reader);
  return halves.getBigInt64(0, true);
}

/** The fast path: varints of up to 4 bytes (< 2^28). Leaves the reader untouched and returns -1 for longer ones. */
function readLow(reader: Reader): number {
  const { buf } = reader;
  let pos = reader.pos;
  let value = 0;
  for (let shift = 0; shift < 28; shift += 7) {
    const byte = buf[pos++];
    if (byte === undefined || pos > reader.len) return -1;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      reader.pos = pos;
      return value;
    }
  }
  return -1;
}

/** 64 bits into `halves`, in three parts of at most 28 bits, which are small integers. */
function readHalves(reader: Reader): void {
  const low = part(reader, 4);
  const middle = low < 0 ? part(reader, 4) : 0;
  const more = middle < 0 ? part(reader, 2) : 0;
  if (more < 0) throw new RangeError("invalid varint encoding");
  halves.setInt32(0, (low & 0xfffffff) | (middle << 28), true);
  halves.setInt32(4, ((middle & 0xfffffff) >>> 4) | (more << 24), true);
}

/** Makes one bigint where shifting makes several. */
const halves = new DataView(new ArrayBuffer(8));

/** Up to `count` bytes of a varint; the sign bit is set when it goes on. */
function part(reader: Reader, count: number): number {
  let value = 0;
  for (let i = 0; i < count; i++) {
    if (reader.pos >= reader.len) throw new RangeError("index out of range: varint runs past the end");
    const byte = reader.buf[reader.pos++]!;
    value |= (byte & 0x7f) << (7 * i);
    if (byte < 0x80) return value;
  }
  return value | (1 << 31);
}

/** One field in the JSON form of a message (`generated/etcd-json.ts`). */
export interface JsonField {
  /** In JSON and in the .proto file; `key` is its name here. */
  name: string;
  key: string;
  kind: string;
  /** Of a message or an enum. */
  type?: string;
  repeated?: true;
  /** A bigint here. */
  wide?: true;
}

export interface JsonRoute {
  // biome-ignore lint/suspicious/noExplicitAny: a table of methods of different types
  method: Method<any, any>;
  request: string;
  response: string;
}
