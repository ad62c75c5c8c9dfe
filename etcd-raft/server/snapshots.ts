import { assert } from "../../base/assert.ts";
import type { Cancel } from "../../base/clock.ts";
import { StartError } from "../../base/process.ts";
import { hex16, parsePair } from "../file-names.ts";
import type { Entry, Message } from "../raft/types.ts";
import { planDb, withDb, writeDb } from "../snap/db-file.ts";
import { readKeys } from "../snap/key-rows.ts";
import { decodeSnap, encodeSnap, type SnapFile, snapName } from "../snap/snap-file.ts";
import { readState, type State } from "../snap/state.ts";
import { type Disk, writeWhole } from "../wal/disk.ts";
import type { Applier } from "./applier.ts";
import { idText } from "./cluster.ts";
import { spareBytes } from "./disk-space.ts";
import type { ServerEvent } from "./history.ts";
import { type MemberConfig, type MemberData, snapDir } from "./member-config.ts";
import type { PeerTransport } from "./transport.ts";

/**
 * The state on disk: taken now and then, received from a leader, put in place.
 *
 * When: a snapshot writes the whole state, so it is worth its cost only when the log has grown by as much since the last
 * one. All snapshots together are then never more bytes than the log itself (write amplification of at most two), however
 * large the state; and a start reads at most about as much log as state. `--snapshot-count` entries must have come as well,
 * or 64 MB of them: small states would be written all the time. After two million entries it is time in any case, since a
 * start applies them again: tiny entries beside a large state cost more than their share. Members count from different
 * starts, so that not all of them write at once.
 *
 * Order on disk, each durable before the next: the log up to the snapshot; `db`; the `.snap`; its note in the WAL. Only then
 * the log is forgotten. A crash between leaves a `db` that is newer than the note: the entries after the note are there, and
 * those that `db` holds already are not applied again.
 */
export interface SnapshotsActions {
  compact(index: number): void; // Raft may forget entries up to `index`
  transport: Pick<PeerTransport, "sendState">;
  /** The follower holds the state up to `index`; undefined: it does not. */
  onSent(id: bigint, index: number | undefined): void;
  /** There is no room for a snapshot now; it is tried again. The log stays, so nothing is lost. */
  onFull(error: Error): void;
  onFatal(error: Error): void;
  onEvent(event: ServerEvent): void;
}

type Config = Pick<MemberConfig, "dataDir" | "disk" | "clock" | "log" | "snapshotCount" | "snapshotCatchupEntries">;

export class Snapshots {
  readonly #options: Config & MemberData & SnapshotsActions;
  readonly #dir: string; // `<data>/member/snap`
  #at: { count: number; bytes: number }; // the log's entries and bytes at the last snapshot
  #lastSize: number;
  #closed = false;
  #received = 0;
  #running: Promise<void> | undefined; // one thing at a time happens to `db`
  #cancelRetry: Cancel = () => {};

  constructor(config: Config, data: MemberData, actions: SnapshotsActions) {
    this.#options = { ...config, ...data, ...actions };
    this.#dir = snapDir(config);
    const place = data.members.findIndex(({ id }) => id === data.id);
    const phase = Math.max(0, place) / Math.max(1, data.members.length);
    this.#at = { count: -Math.floor(config.snapshotCount * phase), bytes: 0 };
    this.#lastSize = data.applier.store.slabs.liveBytes; // or so: a start does not write it all again
  }

  count({ index, data }: Entry): void {
    this.#options.memory.add(index, data.length);
  }

  /** The state is at rest: take a snapshot if it is time. */
  applied(): void {
    const { applier, compact, memory } = this.#options;
    const forget = memory.forget(applier.store.slabs.liveBytes);
    if (forget !== undefined) compact(forget);
    const [entries, bytes] = [memory.count - this.#at.count, memory.bytes - this.#at.bytes];
    const enough = entries >= this.#options.snapshotCount || bytes >= manyBytes;
    const worthIt = bytes >= this.#lastSize || entries >= manyEntries;
    if (enough && worthIt) this.#start();
  }

  #start(): void {
    const { clock, onFull, onFatal } = this.#options;
    if (this.#running || this.#closed) return;
    this.#cancelRetry();
    this.#alone(this.#take()).catch((error: NodeJS.ErrnoException) => {
      if (this.#closed) return;
      if (error.code !== "ENOSPC") return onFatal(error);
      onFull(error);
      this.#cancelRetry = clock.after(retryMs, () => this.#start());
    });
  }

  #alone(work: Promise<void>): Promise<void> {
    const over = () => {
      this.#running = undefined;
    };
    this.#running = work.then(over, over);
    return work;
  }

  /**
   * Resolves when nothing is being written any more. The first snapshot comes at the latest now: a real etcd that goes on
   * with this data reads the membership from it.
   */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelRetry();
    await this.#running;
    const { disk, applier, log } = this.#options;
    const dir = this.#dir;
    try {
      const names = (await disk.list(dir)) ?? [];
      if (applier.applied.index > 0 && !names.some((name) => parsePair(name, "snap"))) await this.#take();
    } catch (error) {
      log.warn({ reason: (error as Error).message }, "Stopped without a first snapshot");
    }
  }

  async #take(): Promise<void> {
    const { disk, clock, log, wal, applier, snapshotCatchupEntries, compact, onEvent } = this.#options;
    const dir = this.#dir;
    const state = applier.state();
    const view = applier.store.view();
    const begin = clock.monotonic();
    onEvent({ kind: "SnapshotBegun", at: state.consistentIndex });
    this.#begin();
    // Not even begun: it would take what the log needs.
    if ((await spareBytes(disk, [dir], applier.store)) < 0)
      throw Object.assign(new Error("ENOSPC: no space left for a snapshot"), { code: "ENOSPC" });
    await wal.save(undefined, []);
    this.#lastSize = await writeDb(`${dir}/db`, state, view, disk, clock);
    await writeSnap(dir, state, disk);
    const { consistentIndex: index, term, confState } = state;
    await wal.saveSnapshot({ index, term, confState: confState! });
    compact(Math.max(0, index - snapshotCatchupEntries));
    await wal.release(index);
    await removeOld(dir, index, disk);
    const seconds = (clock.monotonic() - begin) / 1000;
    log.info({ index, revision: view.revision, bytes: this.#lastSize, seconds }, "Saved snapshot");
    onEvent({ kind: "SnapshotSaved", at: index, bytes: this.#lastSize, seconds });
  }

  #begin(): void {
    const { count, bytes } = this.#options.memory;
    this.#at = { count, bytes };
  }

  /** To a follower that needs entries which are forgotten here: the state as it is now. */
  async send(message: Message): Promise<void> {
    const { applier, clock, log, transport, onSent, onEvent } = this.#options;
    const { index: at, to: peer } = message;
    assert(at === applier.applied.index, "a Snap is of the present state");
    const [state, view] = [applier.state(), applier.store.view()];
    log.info({ to: idText(peer), index: at }, "Sending the state to a follower that is too far behind");
    onEvent({ kind: "SnapshotSending", peer, at });
    const begin = clock.monotonic();
    try {
      const { chunks } = await planDb(state, view, clock);
      await transport.sendState(message, chunks());
      onEvent({ kind: "SnapshotSent", peer, at, seconds: (clock.monotonic() - begin) / 1000 });
      onSent(peer, at);
    } catch (error) {
      const reason = (error as Error).message;
      log.warn({ to: idText(peer), reason }, "Could not send the state");
      onEvent({ kind: "SnapshotSendFailed", peer, at, reason });
      onSent(peer, undefined);
    }
  }

  /** What a leader sends arrives here: a file of its own until raft has said that it counts. */
  async receive(message: Message): Promise<Incoming> {
    const { disk, log, onEvent } = this.#options;
    const dir = this.#dir;
    onEvent({ kind: "SnapshotReceiving", peer: message.from, at: message.index });
    const path = `${dir}/${receivedName(message.index)}`;
    const part = `.${++this.#received}.tmp`; // the same state may come twice at once
    const temporary = path + part;
    const file = await disk.open(temporary, "create");
    let at = 0;
    return {
      async write(chunk) {
        await file.write(at, chunk);
        at += chunk.length;
      },
      async end() {
        await file.sync();
        await file.close();
        const state = await withDb(temporary, disk, readState);
        if (state.consistentIndex !== message.index || state.term !== message.logTerm)
          throw new Error(`the state received is at ${state.consistentIndex}, not at ${message.index}`);
        await disk.rename(temporary, path);
        await writeSnap(dir, state, disk, part); // makes the names durable too
        log.info({ index: message.index, bytes: at }, "Received snapshot");
        onEvent({ kind: "SnapshotReceived", peer: message.from, at: message.index, bytes: at });
      },
      async abort() {
        await file.close();
        await disk.remove(temporary);
      },
    };
  }

  /** Raft has taken a received snapshot, and the WAL notes it: the state becomes that one. */
  async install({ index }: { index: number }): Promise<void> {
    await this.#running;
    await this.#alone(this.#replace(index));
  }

  async #replace(index: number): Promise<void> {
    const { disk, applier, onEvent } = this.#options;
    const dir = this.#dir;
    await useReceived(dir, index, disk);
    applier.replace(await loadState(dir, applier.fresh(), disk));
    this.#begin();
    onEvent({ kind: "SnapshotInstalled", at: index });
    await removeOld(dir, index, disk);
  }
}

export interface Incoming {
  write(chunk: Uint8Array): Promise<void>;
  end(): Promise<void>; // all is there: resolves when it is durable and fit to use
  abort(): Promise<void>;
}

/**
 * Brings `applier` to what is on disk, the membership to that of the note, and returns the WAL note that the log goes on from; undefined when there is no
 * snapshot yet. `notes`: the WAL's.
 */
export async function openSnapshot(
  dir: string,
  notes: readonly { index: number; term: number }[],
  applier: Applier,
  disk: Disk,
): Promise<{ index: number; term: number } | undefined> {
  const left = ((await disk.list(dir)) ?? []).filter((name) => name.endsWith(".tmp"));
  for (const name of left) await disk.remove(`${dir}/${name}`); // what never got ready
  const newest = notes.reduce((a, b) => (b.index > a.index ? b : a));
  const names = (await disk.list(dir)) ?? [];
  if (names.includes(receivedName(newest.index))) {
    const there = names.includes("db") ? await withDb(`${dir}/db`, disk, readState) : undefined;
    if (there === undefined || there.consistentIndex < newest.index) await useReceived(dir, newest.index, disk);
  } else if (!names.includes("db")) {
    if (newest.index === 0) return undefined;
    throw new StartError(`${dir}/db is missing, but the log begins after entry ${newest.index}: ${wayOut}`);
  }
  await loadState(dir, applier, disk);
  const usable = notes.filter(({ index }) => index <= applier.applied.index);
  if (usable.length === 0)
    throw new StartError(`${dir}/db is older than the log, which begins after entry ${newest.index}: ${wayOut}`);
  const start = usable.reduce((a, b) => (b.index > a.index ? b : a));
  // Up to 3.5 the membership that counts is there, and what `db` says of it may be stale. Later entries are in the log.
  if (names.includes(snapName(start))) applier.restoreMembership(await readSnap(`${dir}/${snapName(start)}`, disk));
  return start;
}

async function readSnap(path: string, disk: Disk): Promise<SnapFile> {
  const file = await disk.open(path, "existing");
  try {
    return decodeSnap(await file.read(0, await file.size()));
  } catch (error) {
    throw new StartError(`${path}: ${(error as Error).message}: ${wayOut}`, { cause: error });
  } finally {
    await file.close();
  }
}

async function loadState(dir: string, applier: Applier, disk: Disk): Promise<Applier> {
  return withDb(`${dir}/db`, disk, async (db) => {
    const state = await readState(db);
    applier.restore(state);
    await readKeys(db, applier.store, state);
    return applier;
  });
}

async function useReceived(dir: string, index: number, disk: Disk): Promise<void> {
  await disk.rename(`${dir}/${receivedName(index)}`, `${dir}/db`);
  await disk.syncDir(dir);
}

export async function writeSnap(dir: string, state: State, disk: Disk, part = ".tmp"): Promise<void> {
  const { consistentIndex: index, term, confState } = state;
  assert(confState !== undefined, "our own states know who votes");
  const bytes = encodeSnap({ ...state, index, term, confState });
  await writeWhole(`${dir}/${snapName({ index, term })}`, disk, (file) => file.write(0, bytes), part);
}

/** What came before the snapshot at `index`. */
async function removeOld(dir: string, index: number, disk: Disk): Promise<void> {
  for (const name of (await disk.list(dir)) ?? []) {
    const received = /^([0-9a-f]{16})\.snap\.db$/.exec(name)?.[1];
    const at = received ? Number.parseInt(received, 16) : (parsePair(name, "snap")?.[1] ?? index);
    if (at < index) await disk.remove(`${dir}/${name}`);
  }
}

const receivedName = (index: number): string => `${hex16(index)}.snap.db`;
/** Of data that cannot be used. */
export const wayOut = "restore a backup, or move the data directory away and bring this member back as a new one";
const retryMs = 5000;
const manyBytes = 64_000_000;
const manyEntries = 2_000_000; // A start has to apply those after the snapshot
