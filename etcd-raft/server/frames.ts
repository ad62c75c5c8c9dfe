import type net from "node:net";
import { type Message, none } from "../raft/types.ts";
import { writeMessage } from "../raft/wire.ts";

/**
 * What members say to each other on a peer connection: frames, one after the other.
 *
 *     | length u32 BE | kind u8 | payload |      length counts kind and payload
 *
 * The dialler opens with one hello and then sends the other kinds; the listener only answers calls. So messages from
 * A to B travel on the connection that A made.
 */
export const FrameKind = {
  hello: 0, // cluster id u64, from u64, to u64; then the dialler's peer URLs, with commas between
  raft: 1, // one raftpb.Message
  leaseTimeToLive: 2, // call number u32, then an etcdserverpb.LeaseTimeToLiveRequest
  leaseKeepAlive: 3, // call number u32, then an etcdserverpb.LeaseKeepAliveRequest
  answer: 4, // call number u32, gRPC code u8; then the response, or the text of the error
  /** On a connection of its own: a Snap as raftpb.Message, then chunks of the state file, then its SHA-256. */
  snapshot: 5,
  snapshotChunk: 6,
  snapshotEnd: 7,
  /** call number u32. Without a hello: who does not know yet who it is asks for the members, an etcdserverpb.MemberListResponse. */
  members: 8,
  memberPromote: 9, // call number u32, then an etcdserverpb.MemberPromoteRequest
  /** call number u32, then an etcdserverpb.HashKVRequest. Without a hello too: from a member that has not started yet. */
  hashKV: 10,
  ping: 11, // call number u32; the answer is empty
} as const;
export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind];

export function frameHead(kind: FrameKind, length: number): Buffer {
  const head = Buffer.allocUnsafe(headBytes);
  head.writeUInt32BE(length + 1, 0);
  head[4] = kind;
  return head;
}

export function frame(kind: FrameKind, ...parts: readonly Uint8Array[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([frameHead(kind, length), ...parts]);
}

/** A raft message. Its `to` is left out: the connection says it, and so a message to several is the same bytes. */
export function raftFrame(message: Message): Buffer {
  const writer = writeMessage({ ...message, to: none });
  const { length } = writer;
  const bytes = Buffer.allocUnsafe(headBytes + length);
  bytes.writeUInt32BE(length + 1, 0);
  bytes[4] = FrameKind.raft;
  writer.copy(bytes, headBytes);
  return bytes;
}

export type Hello = { clusterId: bigint; from: bigint; to: bigint; peerURLs: string[] };

export function helloFrame({ clusterId, from, to, peerURLs }: Hello): Buffer {
  const urls = Buffer.from(peerURLs.join());
  const hello = Buffer.concat([frameHead(FrameKind.hello, 24 + urls.length), Buffer.alloc(24), urls]);
  for (const [i, id] of [clusterId, from, to].entries()) hello.writeBigUInt64BE(id, 5 + 8 * i);
  return hello;
}

/** Undefined: it is none. */
export function helloOf(kind: number, payload: Buffer): Hello | undefined {
  if (kind !== FrameKind.hello || payload.length < 24) return undefined;
  return {
    clusterId: payload.readBigUInt64BE(0),
    from: payload.readBigUInt64BE(8),
    to: payload.readBigUInt64BE(16),
    peerURLs: payload
      .toString("utf8", 24)
      .split(",")
      .filter((url) => URL.canParse(url)),
  };
}

/** To a call, by its number; 0 to the hello, when that is refused. */
export function answerFrame(number: number, code: number, body: Uint8Array): Buffer {
  const bytes = Buffer.concat([frameHead(FrameKind.answer, 5 + body.length), Buffer.alloc(5), body]);
  bytes.writeUInt32BE(number, 5);
  bytes[9] = code;
  return bytes;
}

/** Hands on the frames that a socket brings. What is none, or not to be understood, ends the connection. */
export function readFrames(
  socket: net.Socket,
  onFrame: (kind: number, payload: Buffer) => void,
  onBad: (error: unknown) => void = () => {},
): void {
  const decoder = new FrameDecoder();
  socket.on("data", (chunk: Buffer) => {
    if (socket.destroyed) return;
    try {
      decoder.push(chunk, onFrame);
    } catch (error) {
      onBad(error);
      socket.destroy(error as Error);
    }
  });
}

/** Cuts a byte stream into frames. Payloads are views of what came in: copy what is to be kept. */
export class FrameDecoder {
  #chunks: Buffer[] = [];
  #length = 0;

  /** Throws when a length cannot be right. */
  push(chunk: Buffer, onFrame: (kind: number, payload: Buffer) => void): void {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    let bytes: Buffer | undefined;
    let at = 0;
    for (;;) {
      const left = this.#length - at;
      if (left < 5) break;
      bytes ??= this.#joined(5);
      if (bytes.length - at < 5) bytes = this.#joined(Number.POSITIVE_INFINITY);
      const size = 4 + bytes.readUInt32BE(at);
      if (size < 5 || size > maxFrameBytes) throw new Error(`a frame of ${size} bytes`);
      if (left < size) break;
      if (bytes.length - at < size) bytes = this.#joined(Number.POSITIVE_INFINITY);
      onFrame(bytes[at + 4]!, bytes.subarray(at + 5, at + size));
      at += size;
    }
    if (at === 0) return;
    const rest = this.#joined(Number.POSITIVE_INFINITY).subarray(at);
    this.#chunks = rest.length > 0 ? [rest] : [];
    this.#length = rest.length;
  }

  /** The first chunk if it has `enough` bytes, else all of them in one: joined once a frame, not once a chunk. */
  #joined(enough: number): Buffer {
    if (this.#chunks.length > 1 && this.#chunks[0]!.length < enough) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0]!;
  }
}

const headBytes = 5;
const maxFrameBytes = 512 * 1024 * 1024;
