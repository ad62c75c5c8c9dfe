import { dirname } from "node:path";
import { hex16 } from "../file-names.ts";
import type { Entry, HardState } from "../raft/types.ts";
import type { Disk } from "./disk.ts";
import { readWal, segmentsIn } from "./reader.ts";
import { RecordWriter, type WalMetadata } from "./records.ts";
import { segmentBytes, startWriter, type Wal } from "./writer.ts";

export { WalError } from "./reader.ts";
export type { SnapshotMark, WalMetadata } from "./records.ts";
export type { Wal } from "./writer.ts";

/**
 * The write-ahead log in etcd's format, so that etcd's tools read it and a member can change sides with its data:
 * `<sequence>-<first index>.wal`, 16 hex digits each, segments of 64,000,000 bytes (`records.ts` draws the frames).
 *
 *     segment 0:  crc(0)     metadata  snapshot(0,0)  entry entry state ...
 *     segment n:  crc(last)  metadata  state          entry ...
 *
 * Promise: what a resolved `save` wrote is there after any crash, or opening fails. A record that a crash cut short is
 * taken back (the file is kept beside as `.broken`); any other damage is refused, with file and offset.
 */
export interface OpenedWal {
  wal: Wal;
  metadata: WalMetadata;
  hardState: HardState | undefined;
  /**
   * Reads the entries after `index` again (some before it come too, if they were not released); hands on the committed ones
   * run by run, so that no start holds a whole log, and resolves with the rest. After a snapshot that came from the leader
   * they go on behind it. Only before anything is saved.
   */
  replay(index: number, committed: (entries: Entry[]) => void): Promise<Entry[]>;
  lastIndex: number;
  snapshots: { index: number; term: number }[];
  repaired: { file: string; offset: number } | undefined; // the torn record that was cut off, if there was one
}

export const walExists = async (dir: string, disk: Disk): Promise<boolean> => (await segmentsIn(dir, disk)).length > 0;

/**
 * Makes the directory `dir` (`<data>/member/wal`) whole or not at all. `limit` is for tests of the cut, `first` what a new
 * cluster's log begins with.
 */
export async function createWal(
  dir: string,
  metadata: WalMetadata,
  disk: Disk,
  limit = segmentBytes,
  first?: { entries: Entry[]; hardState: HardState },
): Promise<Wal> {
  const temporary = `${dir}.tmp`;
  await disk.remove(temporary);
  await disk.makeDir(temporary);
  const records = new RecordWriter(0);
  records.crcRecord();
  records.metadata(metadata);
  records.snapshot({ index: 0, term: 0 });
  for (const entry of first?.entries ?? []) records.entry(entry);
  if (first) records.hardState(first.hardState);
  const head = records.take();
  const name = `${hex16(0)}-${hex16(0)}.wal`;
  const file = await disk.open(`${temporary}/${name}`, "create");
  await file.truncate(limit);
  await file.write(0, head);
  await file.sync();
  await disk.syncDir(temporary);
  await disk.rename(temporary, dir);
  await disk.syncDir(dirname(dir));
  const tail = { name, offset: head.length, crc: records.crc };
  const state = { hardState: first?.hardState, lastIndex: first?.entries.length ?? 0 };
  return startWriter({ dir, disk, metadata, file, tail, ...state, segmentBytes: limit });
}

/** Reads and checks everything, mends a torn tail, and goes on at the end. Throws a WalError when there is no WAL or it is corrupt. */
export async function openWal(dir: string, disk: Disk, limit = segmentBytes): Promise<OpenedWal> {
  const { metadata, hardState, snapshots, tail, torn, heads, last } = await readWal(dir, disk);
  const path = `${dir}/${tail.name}`;
  if (torn) await copy(path, `${path}.broken`, disk);
  const file = await disk.open(path, "existing");
  // What lies past the last record was never promised; zeros there, or it would be read as records some day.
  await file.truncate(tail.offset);
  if (tail.offset < limit) await file.truncate(limit);
  await file.sync();
  const lastIndex = Math.max(last.index, snapshots.at(-1)?.index ?? 0);
  const wal = startWriter({ dir, disk, metadata, file, tail, hardState, lastIndex, segmentBytes: limit });
  const repaired = torn ? { file: path, offset: tail.offset } : undefined;
  const replay = async (index: number, committed: (entries: Entry[]) => void) => {
    // Where the log ended at or before it: what comes after is not in the segments before.
    const segment = heads.findLastIndex((head, i) => i === 0 || head.index <= index);
    return (await readWal(dir, disk, committed, { segment, before: heads[segment]! })).entries;
  };
  return { wal, metadata, hardState, lastIndex, replay, snapshots, repaired };
}

async function copy(from: string, to: string, disk: Disk): Promise<void> {
  const source = await disk.open(from, "existing");
  const target = await disk.open(to, "create");
  const chunkBytes = 1 << 20;
  for (let at = 0, size = await source.size(); at < size; at += chunkBytes)
    await target.write(at, await source.read(at, chunkBytes));
  await target.sync();
  await target.close();
  await source.close();
}
