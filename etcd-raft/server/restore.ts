import { createHash } from "node:crypto";
import { dirname } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { boolean, type FlagSpec, list, number, optional, parseFlags, text } from "../../base/flags.ts";
import { StartError } from "../../base/process.ts";
import { type Bolt, type BoltFile, openBolt } from "../bolt/reader.ts";
import { crc32c } from "../crc32c.ts";
import { Lessor } from "../lease/lessor.ts";
import { Store, type StoreView } from "../mvcc/store.ts";
import { writeDb } from "../snap/db-file.ts";
import { readKeys } from "../snap/key-rows.ts";
import type { MemberRecord } from "../snap/membership.ts";
import { readState, type State } from "../snap/state.ts";
import { type Disk, openReadOnly } from "../wal/disk.ts";
import { createWal } from "../wal/wal.ts";
import { checkURL, type InitialCluster, idText, initialCluster } from "./cluster.ts";
import { firstEntries } from "./membership.ts";
import { writeSnap } from "./snapshots.ts";

/**
 * `etcd-raft restore FILE`: the data directory of one member of a new cluster, from a snapshot that `etcdctl snapshot save`
 * took of a member of ours or of a real etcd. The flags are those of `etcdutl snapshot restore`; so is the outcome: keys,
 * history, leases, alarms and users as they were, another cluster id, and a log that begins with the members joining.
 * Ours and a real etcd start on it. Run it once for each member, with the same `--initial-cluster`.
 */
export const restoreFlagSpec = {
  name: text("Human-readable name of this member", "default"),
  "data-dir": optional("Where the member's data will live (default NAME.etcd)"),
  "wal-dir": optional("Where its WAL will live (default DATA-DIR/member/wal)"),
  "initial-cluster": text("All members: name=peerURL,...", "default=http://localhost:2380"),
  "initial-cluster-token": text("Keeps clusters apart", "etcd-cluster"),
  "initial-advertise-peer-urls": list("This member's", ["http://localhost:2380"]),
  "skip-hash-check": boolean("For a file copied from a data directory, without a hash", false),
  "bump-revision": number("How much the revision is raised by", 0),
  "mark-compacted": boolean("Watches of before the restore are told to begin anew", false),
} as const satisfies FlagSpec;

type Surroundings = { disk: Disk; clock: Clock };

/** Returns the line to print. Throws FlagError or StartError, and then nothing is left behind. */
export async function restore(argv: readonly string[], { disk, clock }: Surroundings): Promise<string> {
  const { file, flags: rest } = fileAndFlags(argv, "restore");
  const flags = parseFlags(restoreFlagSpec, rest);
  const { "bump-revision": bump, "mark-compacted": compacted } = flags;
  if (!Number.isSafeInteger(bump) || bump < 0)
    throw new StartError(`--bump-revision is a number of revisions, not ${bump}`);
  if (bump > 0 !== compacted) throw new StartError("--bump-revision and --mark-compacted go together");
  const cluster = initialCluster({
    name: flags.name,
    initialCluster: flags["initial-cluster"],
    token: flags["initial-cluster-token"],
    advertisePeerURLs: flags["initial-advertise-peer-urls"].map((url) => checkURL("initial-advertise-peer-urls", url)),
  });
  const dataDir = flags["data-dir"] ?? `${flags.name}.etcd`;
  const walDir = flags["wal-dir"];
  await needEmpty("data-dir", dataDir, disk);
  if (walDir !== undefined) await needEmpty("wal-dir", walDir, disk);
  const { state, store } = await readSnapshot(file, { check: !flags["skip-hash-check"] }, clock);
  const revision = store.revision + bump;
  // Made beside and moved in one step: a directory that is there is whole.
  const made = `${dataDir}.restoring`;
  try {
    await disk.remove(made);
    await write(made, walDir, cluster, state, bump > 0 ? compactedAt(store, revision) : store.view(), { disk, clock });
    await disk.remove(dataDir);
    await disk.rename(made, dataDir);
    await disk.syncDir(dirname(dataDir));
  } catch (error) {
    await disk.remove(made).catch(() => {});
    if (walDir !== undefined) await disk.remove(walDir).catch(() => {});
    throw new StartError(`--data-dir=${dataDir}: ${(error as Error).message}`, { cause: error });
  }
  const { self, clusterId } = cluster;
  return `restored ${file} at revision ${revision} to ${dataDir}: member ${idText(self.id)} of cluster ${idText(clusterId)}`;
}

/** As after a start with these members: they have joined by the first entries, and the state is just after them. */
async function write(
  dataDir: string,
  walDir: string | undefined,
  { self, members, clusterId }: InitialCluster,
  old: State,
  view: StoreView,
  { disk, clock }: Surroundings,
): Promise<void> {
  const dir = `${dataDir}/member/snap`;
  const records = members.map((member): MemberRecord => ({ ...member, clientURLs: [], isLearner: false }));
  const [index, term] = [members.length, 1];
  const voters = members.map(({ id }) => id);
  const confState = { voters, learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false };
  const state = { ...old, consistentIndex: index, term, confState, members: records, removedMembers: [] };
  await disk.makeDir(dir);
  await writeDb(`${dir}/db`, state, view, disk, clock);
  await writeSnap(dir, state, disk);
  if (walDir !== undefined) {
    await disk.remove(walDir);
    await disk.makeDir(dirname(walDir));
  }
  const wal = await createWal(walDir ?? `${dataDir}/member/wal`, { nodeId: self.id, clusterId }, disk);
  try {
    await wal.save({ term, vote: voters[0]!, commit: index }, firstEntries(records));
    await wal.saveSnapshot({ index, term, confState });
  } finally {
    await wal.close();
  }
}

/** What a snapshot holds. Everything in it is read, so that a damaged one is refused here and not by a running member. */
async function readSnapshot(path: string, { check }: { check: boolean }, clock: Clock) {
  return withSnapshot(path, check, async (db) => {
    const state = await readState(db);
    const lessor = new Lessor(0);
    const store = new Store(lessor);
    for (const { id, ttl } of state.leases) lessor.grant(id, ttl, clock.monotonic());
    await readKeys(db, store, state);
    return { state, store };
  });
}

/**
 * `revision` is above all that there is: whoever watched or cached the old cluster, even later than the snapshot, asks for
 * less and is told that it is compacted.
 */
function compactedAt(store: Store, revision: number): StoreView {
  if (store.revision > store.compactRevision) store.compact(store.revision);
  while (store.compactPending) store.compactStep(100_000);
  return store.view().compactedAt(revision);
}

/** `etcd-raft snapshot status FILE [-w simple|json]`: what `etcdutl snapshot status` says. The hash is over all rows. */
export async function snapshotStatus(argv: readonly string[]): Promise<string> {
  const { file, flags } = fileAndFlags(
    argv.map((arg, i) => (arg === "-w" || argv[i - 1] === "-w" ? arg.replace(/^-w$/, "--write-out") : arg)),
    "snapshot status",
  );
  const spec = { "write-out": { type: "string", help: "simple or json", default: "simple" } } as const;
  const form = parseFlags(spec, flags)["write-out"];
  if (form !== "simple" && form !== "json") throw new StartError(`flag --write-out is simple or json, not "${form}"`);
  const status = await withSnapshot(file, false, statusOf);
  if (form === "json") return JSON.stringify(status);
  return `${status.hash.toString(16)}, ${status.revision}, ${status.totalKey}, ${status.totalSize}`;
}

async function statusOf(db: Bolt) {
  const status = { hash: 0, revision: 0, totalKey: 0, totalSize: db.meta.pageCount * db.meta.pageSize };
  for await (const buckets of db.rows()) {
    for (const name of buckets.map(({ key }) => Buffer.from(key))) {
      status.hash = crc32c(status.hash, name);
      const bucket = await db.bucket(name.toString());
      for await (const rows of bucket!.rows()) {
        for (const { key, value } of rows) {
          status.hash = crc32c(crc32c(status.hash, key), value);
          status.totalKey++;
          if (name.toString() === "key") status.revision = Number(key.readBigUInt64BE(0));
        }
      }
    }
  }
  return { ...status, hash: status.hash >>> 0 };
}

async function withSnapshot<R>(path: string, check: boolean, use: (db: Bolt) => Promise<R>): Promise<R> {
  try {
    const file = await openReadOnly(path);
    try {
      if (check) await checkHash(file, path);
      const db = await openBolt(file, path);
      for (const name of ["key", "meta"])
        if (!(await db.bucket(name))) throw new Error(`${path} is no snapshot of etcd's: it has no bucket "${name}"`);
      return await use(db);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw new StartError((error as Error).message, { cause: error });
  }
}

/** `snapshot save` puts the SHA-256 of all that comes before at the end; pages are multiples of 512 bytes. */
async function checkHash(file: BoltFile, path: string): Promise<void> {
  const size = await file.size();
  if (size % 512 !== hashBytes) {
    throw new Error(
      `${path} has no hash at its end, so it is cut short or no snapshot (a file copied from a data directory: --skip-hash-check)`,
    );
  }
  const hash = createHash("sha256");
  const end = size - hashBytes;
  for (let at = 0; at < end; at += chunkBytes) hash.update(await file.read(at, Math.min(chunkBytes, end - at)));
  const [expected, got] = [Buffer.from(await file.read(end, hashBytes)).toString("hex"), hash.digest("hex")];
  if (expected !== got) throw new Error(`${path} is damaged: expected sha256 ${expected}, got ${got}`);
}

async function needEmpty(flag: string, dir: string, disk: Disk): Promise<void> {
  const names = await disk.list(dir).catch(() => ["?"]);
  if (names !== undefined && names.length > 0) throw new StartError(`${flag} "${dir}" not empty or could not be read`);
}

/** The file may stand before the flags or after them. */
function fileAndFlags(argv: readonly string[], command: string): { file: string; flags: string[] } {
  const first = argv[0] !== undefined && !argv[0].startsWith("-");
  const file = first ? argv[0] : argv.at(-1);
  if (argv.includes("--help")) return { file: "", flags: ["--help"] };
  if (file === undefined || file.startsWith("-"))
    throw new StartError(`etcd-raft ${command} needs the file of a snapshot`);
  return { file, flags: first ? argv.slice(1) : argv.slice(0, -1) };
}

const hashBytes = 32;
const chunkBytes = 1 << 20;
