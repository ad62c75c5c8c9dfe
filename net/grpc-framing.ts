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

/** Cuts the octets of a stream into messages. */
export abstract class MessageReader {
  /** Of one that is cut. */
  #prefix = noBytes;
  #prefixAt = 0;
  /** Of a message that comes in several pieces. */
  #message: Buffer | undefined;
  #at = 0;

  /** `message`: a view into what was given to `read`, to be copied by who keeps it. */
  protected abstract onMessage(message: Buffer): void;

  protected get insideMessage(): boolean {
    return this.#prefixAt > 0;
  }

  protected read(payload: Buffer): void {
    let at = 0;
    while (at < payload.length) {
      if (this.#prefixAt === 0 && payload.length - at >= prefixBytes) {
        const end = at + prefixBytes + lengthOf(payload, at);
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
    if (this.#message === undefined) {
      if (this.#prefixAt === 0) this.#prefix = Buffer.allocUnsafe(prefixBytes);
      const taken = payload.copy(this.#prefix, this.#prefixAt, at, at + prefixBytes - this.#prefixAt);
      this.#prefixAt += taken;
      at += taken;
      if (this.#prefixAt < prefixBytes) return at;
      this.#message = Buffer.allocUnsafe(lengthOf(this.#prefix, 0));
      this.#at = 0;
    }
    const message = this.#message;
    const taken = payload.copy(message, this.#at, at);
    this.#at += taken;
    if (this.#at === message.length) {
      this.#message = undefined;
      this.#prefixAt = 0;
      this.onMessage(message);
    }
    return at + taken;
  }
}

function lengthOf(bytes: Buffer, at: number): number {
  if (bytes[at] !== 0) throw new GrpcError(Code.Unimplemented, "compressed messages are not supported");
  return bytes.readUInt32BE(at + 1);
}
