import { Metadata } from "../../proto/generated/etcdserverpb.ts";
import * as raftpb from "../../proto/generated/raftpb.ts";
import * as walpb from "../../proto/generated/walpb.ts";
import { crc32c } from "../crc32c.ts";
import type { Entry, HardState } from "../raft/types.ts";
import { putVarint } from "../varint.ts";

/**
 * Records of etcd's WAL, framed. A frame is
 *
 *     | length: 8 bytes, little-endian | walpb.Record{type, crc, data} | 0..7 zero bytes |
 *
 * The low 56 bits of `length` count the record's bytes; if padding follows, the top byte is 0x80 | padding, so that
 * every frame starts at a multiple of 8 and its length never lies across two disk sectors. Length 0 ends the file.
 * `crc` is the CRC-32C of the data of all records so far, across segments.
 */
export const recordType = { metadata: 1, entry: 2, state: 3, crc: 4, snapshot: 5 } as const;

export const frameHeaderBytes = 8;
export const maxRecordHeaderBytes = 2 + 6 + 6; // type, crc, tag and length of data
const nothing: Uint8Array = new Uint8Array(0);

export type WalMetadata = { nodeId: bigint; clusterId: bigint };

/** A snapshot of everything up to this entry is durable. */
export type SnapshotMark = { index: number; term: number; confState?: raftpb.ConfState };

/** Appends frames to one buffer that is used again for the next batch; the checksum rolls on. */
export class RecordWriter {
  crc: number;
  #buffer = Buffer.alloc(64 * 1024);
  #length = 0;
  readonly #entryHead = Buffer.alloc(40);

  constructor(crc: number) {
    this.crc = crc;
  }

  entry(entry: Entry): void {
    // raftpb.Entry without its data's bytes: they are copied once, straight into the frame.
    const head = this.#entryHead;
    let end = putVarint(head, putByte(head, 0, 0x08), entry.type);
    end = putVarint(head, putByte(head, end, 0x10), entry.term);
    end = putVarint(head, putByte(head, end, 0x18), entry.index);
    if (entry.data.length > 0) end = putVarint(head, putByte(head, end, 0x22), entry.data.length);
    this.#record(recordType.entry, head, entry.data, end);
  }

  hardState(state: HardState): void {
    this.#record(recordType.state, raftpb.HardState.encode(state), nothing);
  }

  metadata({ nodeId, clusterId }: WalMetadata): void {
    this.#record(recordType.metadata, Metadata.encode({ nodeID: nodeId, clusterID: clusterId }), nothing);
  }

  snapshot(at: SnapshotMark): void {
    this.#record(recordType.snapshot, walpb.Snapshot.encode(at), nothing);
  }

  /** Each segment starts with the checksum of the one before it. */
  crcRecord(): void {
    this.#record(recordType.crc, nothing, nothing);
  }

  /** What was appended since the last call; valid until the next append. */
  take(): Uint8Array {
    const bytes = this.#buffer.subarray(0, this.#length);
    this.#length = 0;
    return bytes;
  }

  #record(type: number, head: Uint8Array, body: Uint8Array, headLength = head.length): void {
    const dataBytes = headLength + body.length;
    this.#reserve(frameHeaderBytes + maxRecordHeaderBytes + dataBytes + 7);
    this.crc = crc32c(crc32c(this.crc, head, headLength), body);
    const buffer = this.#buffer;
    const start = this.#length + frameHeaderBytes;
    let end = putVarint(buffer, putByte(buffer, start, 0x08), type);
    end = putVarint(buffer, putByte(buffer, end, 0x10), this.crc);
    if (dataBytes > 0) end = putVarint(buffer, putByte(buffer, end, 0x1a), dataBytes);
    for (let i = 0; i < headLength; i++) buffer[end + i] = head[i]!;
    buffer.set(body, end + headLength);
    end += dataBytes;
    const recordBytes = end - start;
    const padding = (8 - (recordBytes % 8)) % 8;
    let at = this.#length;
    for (let rest = recordBytes, i = 0; i < 7; i++, rest = Math.floor(rest / 0x100)) buffer[at++] = rest & 0xff;
    buffer[at] = padding === 0 ? 0 : 0x80 | padding;
    for (this.#length = end + padding; end < this.#length; end++) buffer[end] = 0;
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return;
    const larger = Buffer.alloc(Math.max(this.#buffer.length * 2, this.#length + bytes));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }
}

/** The length word of a frame, or undefined for zero: the end of what was written. */
export function readFrameHeader(bytes: Buffer, at: number): { recordBytes: number; padding: number } | undefined {
  const low = bytes.readUIntLE(at, 6);
  const top = bytes[at + 7]!;
  const recordBytes = low + bytes[at + 6]! * 2 ** 48;
  if (recordBytes === 0 && top === 0) return undefined;
  return { recordBytes, padding: top & 0x80 ? top & 0x07 : 0 };
}

function putByte(buffer: Buffer, at: number, byte: number): number {
  buffer[at] = byte;
  return at + 1;
}
