import { type Init, type MessageCodec, Writer } from "../proto/wire.ts";
import { Code, GrpcError } from "./grpc-error.ts";
import { bytesOf, type Payload } from "./http2/connection.ts";

/** Messages on a stream ("gRPC over HTTP2", Length-Prefixed-Message): | compressed u8 | length u32 | message |. */
export const prefixBytes = 5;

/** A message behind its prefix, copied from where it is. */
class Framed implements Payload {
  #message: Payload = noBytes;

  of(message: Payload): this {
    this.#message = message;
    return this;
  }

  get length(): number {
    return prefixBytes + this.#message.length;
  }

  copy(into: Buffer, at: number, from: number, to: number): void {
    let begin = from;
    if (from === 0) {
      into[at] = 0;
      into.writeUInt32BE(this.#message.length, at + 1);
      begin = prefixBytes;
    }
    this.#message.copy(into, at + begin - from, begin - prefixBytes, to - prefixBytes);
  }
}

const noBytes = Buffer.alloc(0);
const shared = new Framed();

/** Valid until the next message is framed. */
export function framedMessage(message: Payload): Payload {
  return shared.of(message);
}

/** Valid until the next message is written. */
export function framed<T>(codec: MessageCodec<T>, message: Init<T>): Payload {
  return shared.of(codec.write(message, Writer.create()));
}

/** One that lasts. */
export function framedBytes<T>(codec: MessageCodec<T>, message: Init<T>): Buffer {
  return bytesOf(framed(codec, message));
}

/** Cuts the octets of a stream into messages. What is announced gets room as it comes. */
export abstract class MessageReader {
  readonly #maxMessageBytes: number;
  /** Of one that is cut. */
  #prefix = noBytes;
  #prefixAt = 0;
  /** Of a message that comes in several pieces: its first `#at` octets of `#length`. */
  #message = noBytes;
  #at = 0;
  #length: number | undefined;

  constructor(maxMessageBytes = Number.POSITIVE_INFINITY) {
    this.#maxMessageBytes = maxMessageBytes;
  }

  /** `message`: a view into what was given to `read`, to be copied by who keeps it. */
  protected abstract onMessage(message: Buffer): void;

  protected get insideMessage(): boolean {
    return this.#prefixAt > 0;
  }

  /** Octets that an unfinished message takes. */
  protected get unfinishedBytes(): number {
    return this.#message.length;
  }

  protected read(payload: Buffer): void {
    let at = 0;
    while (at < payload.length) {
      if (this.#prefixAt === 0 && payload.length - at >= prefixBytes) {
        const end = at + prefixBytes + this.#lengthOf(payload, at);
        if (end <= payload.length) {
          this.onMessage(payload.subarray(at + prefixBytes, end));
          at = end;
          continue;
        }
      }
      at = this.#readPiece(payload, at);
    }
  }

  #readPiece(payload: Buffer, begin: number): number {
    let at = begin;
    if (this.#length === undefined) {
      if (this.#prefixAt === 0) this.#prefix = Buffer.allocUnsafe(prefixBytes);
      const taken = payload.copy(this.#prefix, this.#prefixAt, at, at + prefixBytes - this.#prefixAt);
      this.#prefixAt += taken;
      at += taken;
      if (this.#prefixAt < prefixBytes) return at;
      this.#length = this.#lengthOf(this.#prefix, 0);
    }
    const end = at + Math.min(payload.length - at, this.#length - this.#at);
    this.#makeRoom(this.#at + end - at, this.#length);
    this.#at += payload.copy(this.#message, this.#at, at, end);
    if (this.#at === this.#length) {
      const message = this.#message;
      this.#message = noBytes;
      this.#at = 0;
      this.#length = undefined;
      this.#prefixAt = 0;
      this.onMessage(message);
    }
    return end;
  }

  #makeRoom(needed: number, length: number): void {
    if (needed <= this.#message.length) return;
    const larger = Buffer.allocUnsafe(Math.min(length, Math.max(2 * needed, firstRoom)));
    this.#message.copy(larger, 0, 0, this.#at);
    this.#message = larger;
  }

  #lengthOf(bytes: Buffer, at: number): number {
    if (bytes[at] !== 0) throw new GrpcError(Code.Unimplemented, "compressed messages are not supported");
    const length = bytes.readUInt32BE(at + 1);
    if (length <= this.#maxMessageBytes) return length;
    const text = `grpc: received message larger than max (${length} vs. ${this.#maxMessageBytes})`;
    throw new GrpcError(Code.ResourceExhausted, text);
  }
}

const firstRoom = 16 * 1024;
