import { hex16, parsePair } from "../file-names.ts";
import type { Entry, HardState } from "../raft/types.ts";
import type { Disk, DiskFile } from "./disk.ts";
import { segmentsIn, WalError } from "./reader.ts";
import { RecordWriter, type SnapshotMark, type WalMetadata } from "./records.ts";

/** Segments are cut once they are longer than this, as etcd does. */
export const segmentBytes = 64_000_000;
/** A write costs less when it need not allocate: so many bytes after the last record are zeros on the disk already. */
const zeroSliceBytes = 1 << 20;
const zeros = Buffer.alloc(zeroSliceBytes);

export interface Wal {
  /**
   * Resolves when this and every earlier save is durable (fdatasync). Entries go before the hard state. A change of
   * `commit` alone is written with the next save and waits for nothing, unless `sync` says so. Once a write has failed, every save rejects: the
   * member must stop.
   */
  save(hardState: HardState | undefined, entries: readonly Entry[], sync?: boolean): Promise<void>;
  /** Notes that a snapshot is durable; resolves when the note is, and every save before it. */
  saveSnapshot(at: SnapshotMark): Promise<void>;
  /** Removes the segments that hold nothing after `index`: a snapshot covers them, and its note is durable. */
  release(index: number): Promise<void>;
  readonly writtenBytes: number; // bytes of records written by this process, for the metrics
  close(): Promise<void>; // writes what is left, syncs and closes
}

/** The saves that share one write and one sync: all that came while the one before was running. */
interface Group {
  saves: { hardState: HardState | undefined; entries: readonly Entry[]; snapshot?: SnapshotMark }[];
  sync: boolean;
  done: Promise<void>;
  resolve: () => void;
  reject: (error: unknown) => void;
}

export interface WriterStart {
  dir: string;
  disk: Disk;
  metadata: WalMetadata;
  file: DiskFile;
  tail: { name: string; offset: number; crc: number };
  hardState: HardState | undefined;
  lastIndex: number;
  segmentBytes: number;
}

export function startWriter(start: WriterStart): Wal {
  const { dir, disk, metadata } = start;
  const records = new RecordWriter(start.tail.crc);
  let file = start.file;
  let [sequence] = parsePair(start.tail.name, "wal")!;
  let offset = start.tail.offset;
  let zeroed = offset; // the disk has zeros from `offset` to here
  let zeroing: Promise<void> | undefined; // a slice of zeros from `zeroed` on is being written and synced
  let next: Promise<DiskFile> | undefined;
  let { lastIndex } = start;
  let asked = start.hardState ?? { term: 0, vote: 0n, commit: 0 };
  let written = start.hardState;
  let waiting = createGroup();
  let running: Promise<void> | undefined;
  let durable: Promise<void> = Promise.resolve(); // of the last group that syncs
  let failure: WalError | undefined;
  let writtenBytes = 0;

  function save(hardState: HardState | undefined, entries: readonly Entry[], sync = false): Promise<void> {
    if (failure !== undefined) return Promise.reject(failure);
    const stateMatters = hardState !== undefined && (hardState.term !== asked.term || hardState.vote !== asked.vote);
    if (hardState !== undefined) asked = hardState;
    if (hardState !== undefined || entries.length > 0) waiting.saves.push({ hardState, entries });
    return entries.length > 0 || stateMatters || sync ? syncWaiting() : durable;
  }

  function saveSnapshot(snapshot: SnapshotMark): Promise<void> {
    if (failure !== undefined) return Promise.reject(failure);
    waiting.saves.push({ hardState: undefined, entries: [], snapshot });
    return syncWaiting();
  }

  function syncWaiting(): Promise<void> {
    waiting.sync = true;
    durable = waiting.done;
    running ??= run();
    return durable;
  }

  async function release(index: number): Promise<void> {
    const segments = await segmentsIn(dir, disk);
    const needed = segments.findLastIndex(({ firstIndex }) => firstIndex <= index);
    if (needed <= 0) return;
    for (const { name } of segments.slice(0, needed)) await disk.remove(`${dir}/${name}`); // oldest first: never a gap
    await disk.syncDir(dir);
  }

  /** One group after the other, until none waits. The first error ends it for good: a failed sync is never retried. */
  async function run(): Promise<void> {
    let group = waiting;
    try {
      while (waiting.sync) {
        group = waiting;
        waiting = createGroup();
        if (failure !== undefined) throw failure; // zeros could not be written
        await write(group);
        group.resolve();
        zeroAhead();
        if (offset > start.segmentBytes) await cut();
        else if (offset > start.segmentBytes / 2) prepare();
      }
    } catch (error) {
      group.reject(fail(error));
      waiting.reject(fail(error));
    } finally {
      running = undefined;
    }
  }

  function fail(error: unknown): WalError {
    failure ??= new WalError(`wal: stopped after a failed write: ${(error as Error).message}`, { cause: error });
    return failure;
  }

  async function write(group: Group): Promise<void> {
    for (const { hardState, entries, snapshot } of group.saves) {
      for (const entry of entries) records.entry(entry);
      lastIndex = entries.at(-1)?.index ?? lastIndex;
      if (hardState !== undefined) {
        records.hardState(hardState);
        written = hardState;
      }
      if (snapshot !== undefined) {
        records.snapshot(snapshot);
        lastIndex = Math.max(lastIndex, snapshot.index);
      }
    }
    const bytes = records.take();
    if (offset + bytes.length > zeroed) await zeroing; // never under a slice of zeros
    await (group.sync ? file.writeThrough(offset, bytes) : file.write(offset, bytes));
    offset += bytes.length;
    writtenBytes += bytes.length;
    zeroed = Math.max(zeroed, offset);
  }

  /** Beside the log's own writes, never in their way. */
  function zeroAhead(): void {
    if (zeroing !== undefined || zeroed - offset >= zeroSliceBytes || zeroed >= start.segmentBytes) return;
    const bytes = zeros.subarray(0, Math.min(zeroSliceBytes, start.segmentBytes - zeroed));
    const at = zeroed;
    zeroing = file
      .write(at, bytes)
      .then(() => file.sync())
      .then(() => {
        zeroed = at + bytes.length;
        zeroing = undefined;
      });
    zeroing.catch(fail);
  }

  /** The next segment is made while this one fills up; what goes wrong with it shows at the cut. */
  function prepare(): void {
    if (next !== undefined) return;
    next = prepareNext();
    next.catch(() => {});
  }

  async function prepareNext(): Promise<DiskFile> {
    const prepared = await disk.open(nextPath(), "create");
    await prepared.truncate(start.segmentBytes);
    await prepared.write(0, zeros.subarray(0, Math.min(zeroSliceBytes, start.segmentBytes)));
    await prepared.sync();
    return prepared;
  }

  function nextPath(): string {
    return `${dir}/${(sequence + 1) % 2}.tmp`;
  }

  /** A new segment gets its name only when its head is durable, and the old one is whole before. */
  async function cut(): Promise<void> {
    await zeroing;
    await file.truncate(offset);
    await file.sync();
    const fresh = await (next ?? prepareNext());
    const path = nextPath();
    records.crcRecord();
    records.metadata(metadata);
    if (written !== undefined) records.hardState(written);
    const head = records.take();
    await fresh.write(0, head);
    await fresh.sync();
    sequence++;
    await disk.rename(path, `${dir}/${hex16(sequence)}-${hex16(lastIndex + 1)}.wal`);
    await disk.syncDir(dir);
    await file.close();
    file = fresh;
    offset = head.length;
    zeroed = Math.min(zeroSliceBytes, start.segmentBytes);
    next = undefined;
  }

  async function close(): Promise<void> {
    await running;
    if (failure === undefined) {
      await zeroing;
      failure = new WalError("wal: closed");
      await write(waiting);
      await file.sync();
    }
    await file.close();
    await next?.then((prepared) => prepared.close()).catch(() => {});
  }

  return {
    save,
    saveSnapshot,
    release,
    close,
    get writtenBytes() {
      return writtenBytes;
    },
  };
}

function createGroup(): Group {
  let resolve!: () => void;
  let reject!: (error: unknown) => void;
  const done = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  done.catch(() => {}); // a group that nobody waits for may fail too
  return { saves: [], sync: false, done, resolve, reject };
}
