import { Metadata } from "../../proto/generated/etcdserverpb.ts";
import * as raftpb from "../../proto/generated/raftpb.ts";
import * as walpb from "../../proto/generated/walpb.ts";
import { empty, Reader } from "../../proto/wire.ts";
import { crc32c } from "../crc32c.ts";
import { parsePair } from "../file-names.ts";
import type { Entry, HardState } from "../raft/types.ts";
import type { Disk, DiskFile } from "./disk.ts";
import { frameHeaderBytes, maxRecordHeaderBytes, readFrameHeader, recordType, type WalMetadata } from "./records.ts";

/** The WAL cannot be trusted. The message names the file, the offset and the way out. */
export class WalError extends Error {
  override name = "WalError";
}

export interface WalContents {
  metadata: WalMetadata;
  hardState: HardState | undefined;
  /** The last ones, which the log does not say of that they are committed: another leader may replace them. */
  entries: Entry[];
  last: Position;
  heads: Position[]; // where the log ended before each segment
  snapshots: Position[];
  tail: { name: string; offset: number; crc: number }; // where the next record goes
  torn: boolean; // A record at the tail that a crash cut short: nobody was told that it was durable
}

type Position = { index: number; term: number };

const origin: Position = { index: 0, term: 0 };
const chunkBytes = 1 << 20;
const sectorBytes = 512;

type Segment = { name: string; sequence: number; firstIndex: number };

/** Those in a directory, oldest first. */
export async function segmentsIn(dir: string, disk: Disk): Promise<Segment[]> {
  return ((await disk.list(dir)) ?? []).flatMap((name) => {
    const pair = parsePair(name, "wal");
    return pair ? [{ name, sequence: pair[0], firstIndex: pair[1] }] : [];
  });
}

/**
 * Reads all segments in order, a megabyte in memory at a time. Later entries replace earlier ones of the same and higher
 * index, as raft wrote them, up to where a hard state says that they are committed: it is written after its entries, and
 * `committed` gets each run of them then; without it nobody looks at the entries, and they come without their data.
 * `from`: the whole log was read before, so the checksums need not be made again, nor what lies before this segment be read.
 */
export async function readWal(
  dir: string,
  disk: Disk,
  committed?: (entries: Entry[]) => void,
  from?: { segment: number; before: Position },
): Promise<WalContents> {
  const segments = await wholeRun(dir, disk);
  const contents: Reading = {
    metadata: { nodeId: 0n, clusterId: 0n },
    hasMetadata: false,
    committed,
    chunk: committed ? undefined : Buffer.allocUnsafeSlow(chunkBytes),
    checked: from !== undefined,
    before: from?.before ?? origin,
    hardState: undefined,
    entries: [],
    last: origin,
    heads: [],
    next: 0,
    snapshots: [],
    tail: { name: "", offset: 0, crc: 0 },
    torn: false,
  };
  for (const [i, { name }] of segments.entries()) {
    if (i < (from?.segment ?? 0)) continue;
    contents.heads.push(contents.last);
    contents.tail = { name, offset: 0, crc: contents.tail.crc };
    const file = await disk.open(`${dir}/${name}`, "existing");
    try {
      await readSegment(file, `${dir}/${name}`, i === segments.length - 1, contents);
    } finally {
      await file.close();
    }
  }
  if (!contents.hasMetadata) throw corrupt(`${dir}/${segments[0]!.name}`, 0, "no metadata record");
  return contents;
}

async function wholeRun(dir: string, disk: Disk): Promise<Segment[]> {
  const segments = await segmentsIn(dir, disk);
  if (segments.length === 0) throw new WalError(`wal: file not found in ${dir}`);
  for (const [i, { name, sequence }] of segments.entries()) {
    const before = segments[i - 1];
    if (before && sequence !== before.sequence + 1)
      throw corrupt(`${dir}/${name}`, 0, `a segment is missing between it and ${before.name}`);
  }
  return segments;
}

interface Reading extends WalContents {
  hasMetadata: boolean;
  committed: ((entries: Entry[]) => void) | undefined;
  chunk: Buffer | undefined; // to be read into again and again
  checked: boolean;
  before: Position; // where the log ended before what is read
  next: number; // after the committed ones; 0: any entry may come
}

async function readSegment(file: DiskFile, path: string, isLast: boolean, into: Reading): Promise<void> {
  const size = await file.size();
  let chunk: Buffer = Buffer.alloc(0);
  let position = 0; // of the frame that is next, in the chunk
  const { tail } = into;
  /** Has the chunk reach `bytes` past `position`; false at the end of the file. */
  const have = async (bytes: number): Promise<boolean> => {
    while (chunk.length - position < bytes) {
      const rest = chunk.length - position;
      // A fresh one if entries keep slices of the last.
      const larger = bytes > (into.chunk?.length ?? 0);
      const target = larger ? Buffer.allocUnsafeSlow(Math.max(chunkBytes, bytes)) : into.chunk!;
      if (into.chunk) into.chunk = target;
      chunk.copy(target, 0, position);
      const room = target.subarray(rest);
      const next = await file.read(tail.offset + rest, room.length, room);
      if (next.buffer !== room.buffer) room.set(next);
      chunk = target.subarray(0, rest + next.length);
      position = 0;
      if (next.length === 0) return false;
    }
    return true;
  };

  while (tail.offset < size) {
    if (chunk.length - position < frameHeaderBytes && !(await have(frameHeaderBytes)))
      return endShort("a frame's length", empty, 0);
    const header = readFrameHeader(chunk, position);
    if (header === undefined) return;
    const { recordBytes, padding } = header;
    const frameBytes = frameHeaderBytes + recordBytes + padding;
    const isThere =
      tail.offset + frameBytes <= size && (chunk.length - position >= frameBytes || (await have(frameBytes)));
    if (!isThere)
      return endShort(`a record of ${recordBytes} bytes`, chunk.subarray(position + frameHeaderBytes), recordBytes);
    const start = position + frameHeaderBytes;
    const bytes = chunk.subarray(start, start + recordBytes);
    const problem = addRecord(bytes, path, into);
    if (problem !== undefined) {
      // In the last segment a sector that never got to the disk reads as zeros: the write was under way at a crash.
      const torn =
        hasZeroSector(bytes, tail.offset + frameHeaderBytes) &&
        lengthsAgree(bytes, recordBytes, tail.offset + frameHeaderBytes);
      if (!isLast || !torn) throw corrupt(path, tail.offset, problem);
      into.torn = true;
      return;
    }
    tail.offset += frameBytes;
    position += frameBytes;
  }

  function endShort(what: string, bytes: Uint8Array, recordBytes: number): void {
    if (!isLast || !lengthsAgree(bytes, recordBytes, tail.offset + frameHeaderBytes))
      throw corrupt(path, tail.offset, `${what} runs past the end of the file`);
    into.torn = true;
  }
}

/** Takes in one record, or says what is wrong with it and takes nothing. */
function addRecord(bytes: Uint8Array, path: string, into: Reading): string | undefined {
  const record = parseRecord(bytes);
  if (record === undefined || record.end !== bytes.length) return "not a record";
  const { tail } = into;
  if (record.type === recordType.crc) {
    if (tail.crc !== 0 && record.crc !== tail.crc) return "crc mismatch with the segment before";
    tail.crc = record.crc;
    return undefined;
  }
  const crc = into.checked ? record.crc : crc32c(tail.crc, record.data);
  if (crc !== record.crc) return "crc mismatch";
  tail.crc = crc;
  switch (record.type) {
    case recordType.metadata:
      addMetadata(record.data, path, into);
      break;
    case recordType.entry:
      addEntry(raftpb.Entry.decode(record.data), path, into);
      break;
    case recordType.state:
      into.hardState = raftpb.HardState.decode(record.data);
      settle(into.hardState.commit, into);
      break;
    case recordType.snapshot:
      addSnapshot(walpb.Snapshot.decode(record.data), into);
      break;
    default:
      throw corrupt(path, tail.offset, `unexpected record type ${record.type}`);
  }
  return undefined;
}

function addMetadata(data: Uint8Array, path: string, into: Reading): void {
  const { nodeID: nodeId, clusterID: clusterId } = Metadata.decode(data);
  const { metadata, tail } = into;
  if (into.hasMetadata && (metadata.nodeId !== nodeId || metadata.clusterId !== clusterId))
    throw corrupt(path, tail.offset, "conflicting metadata found");
  into.metadata = { nodeId, clusterId };
  into.hasMetadata = true;
}

/**
 * An entry takes the place of the one with its index and of all after it. It may come before the first that is left here: the
 * segments with what it continues were released, since a snapshot later in the log covers them.
 */
function addEntry(entry: Entry, path: string, into: Reading): void {
  const { entries, next } = into;
  if (entry.index < next)
    throw corrupt(path, into.tail.offset, `entry ${entry.index} takes the place of one that is committed`);
  const first = entries[0]?.index ?? (next || entry.index);
  const at = Math.max(0, entry.index - first);
  if (at > entries.length)
    throw corrupt(path, into.tail.offset, `entry ${entry.index} does not follow entry ${first + entries.length - 1}`);
  entries.length = at;
  entries.push(into.committed ? entry : { ...entry, data: empty });
  into.last = { index: entry.index, term: entry.term };
}

/** Entries up to `commit` stay as they are. */
function settle(commit: number, into: Reading): void {
  const { entries } = into;
  const count = Math.min(entries.length, commit + 1 - (entries[0]?.index ?? commit + 1));
  if (count <= 0) return;
  const run = entries.splice(0, count);
  into.next = run.at(-1)!.index + 1;
  into.committed?.(run);
}

/** A snapshot that came from the leader takes the place of the entries so far; one of our own is of what they made. */
function addSnapshot({ index, term }: Position, into: Reading): void {
  const at = { index, term };
  into.snapshots.push(at);
  const { entries, next, before } = into;
  const first = entries[0]?.index ?? next;
  if (at.index === before.index) {
    if (at.term === before.term) return;
  } else if (first === 0 || at.index < first || entries[at.index - first]?.term === at.term) return;
  into.entries = [];
  into.next = 0;
  into.last = at;
}

/** Is some sector's share of these bytes all zeros? `offset` is where they begin in the file. */
function hasZeroSector(bytes: Uint8Array, offset: number): boolean {
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + sectorBytes - ((offset + at) % sectorBytes));
    if (bytes.subarray(at, end).every((byte) => byte === 0)) return true;
    at = end;
  }
  return false;
}

/**
 * walpb.Record{1 type, 2 crc, 3 data} as etcd writes it, fields in order. `end` is where it ends by its own lengths;
 * undefined if its beginning is not there.
 */
function parseRecord(bytes: Uint8Array): { type: number; crc: number; data: Uint8Array; end: number } | undefined {
  const reader = Reader.create(bytes);
  try {
    if (reader.uint32() !== 0x08) return undefined;
    const type = reader.uint32();
    if (reader.uint32() !== 0x10) return undefined;
    const crc = reader.uint32();
    if (reader.pos === bytes.length || bytes[reader.pos] !== 0x1a) return { type, crc, data: empty, end: reader.pos };
    reader.uint32();
    const dataBytes = reader.uint32();
    const end = reader.pos + dataBytes;
    return { type, crc, data: bytes.subarray(reader.pos, end), end };
  } catch {
    return undefined;
  }
}

/**
 * A frame's length stands in the record as well. If both are there and differ, the length is damaged, and what it spans
 * may have been durable: that is no torn write, whose sectors are there or read as zeros.
 */
function lengthsAgree(bytes: Uint8Array, recordBytes: number, offset: number): boolean {
  const inSector = sectorBytes - (offset % sectorBytes);
  const record = parseRecord(bytes);
  if (record !== undefined && record.end === recordBytes) return true;
  const headThere = bytes.length > 0 && inSector < sectorBytes && inSector >= maxRecordHeaderBytes;
  return !headThere; // its sector may be missing
}

function corrupt(path: string, offset: number, problem: string): WalError {
  return new WalError(
    `wal: ${path} is corrupt at offset ${offset}: ${problem}. This member's data is not safe to use: restore it from a ` +
      "backup of this member, or move its data directory away and bring it back as a new member",
  );
}
