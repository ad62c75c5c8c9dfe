import { StartError } from "../../base/process.ts";
import { BoltError } from "../bolt/reader.ts";
import { minTTLFor } from "../lease/lessor.ts";
import type { Entry } from "../raft/types.ts";
import { withDb } from "../snap/db-file.ts";
import { readState } from "../snap/state.ts";
import { createWal, type OpenedWal, openWal, WalError, type WalMetadata, walExists } from "../wal/wal.ts";
import { Applier } from "./applier.ts";
import { type ClusterMember, idText } from "./cluster.ts";
import { LogMemory } from "./log-memory.ts";
import { Member } from "./member.ts";
import { type MemberConfig, snapDir, walDir } from "./member-config.ts";
import { firstEntries } from "./membership.ts";
import { PlainPut } from "./plain-put.ts";
import { openSnapshot, wayOut } from "./snapshots.ts";

/** A member on its data directory, made if there is none. What an operator must mend is a StartError of one line. */
export async function openMember(config: MemberConfig): Promise<Member> {
  try {
    return await open(config);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (!(error instanceof WalError) && !(error instanceof BoltError) && code === undefined) throw error;
    throw new StartError(`--data-dir=${config.dataDir}: ${(error as Error).message}`, { cause: error });
  }
}

async function open(config: MemberConfig): Promise<Member> {
  const dir = walDir(config);
  const { clock, electionMs, tokenTtlMs } = config;
  const applier = new Applier({ minLeaseTTL: minTTLFor(electionMs), clock, tokenTtlMs });
  // Before anything is made: what the flags say may be refused.
  const isNew = !(await walExists(dir, config.disk));
  if (isNew) await needNoState(config);
  const fresh = isNew ? await config.bootstrap() : undefined;
  await config.disk.makeDir(snapDir(config));
  const memory = new LogMemory(config.snapshotCatchupEntries);
  if (fresh) {
    const { clusterId, self, members, joins } = fresh;
    const entries = joins ? [] : firstEntries(members);
    const hardState = joins ? undefined : { term: 1, vote: 0n, commit: entries.length };
    const first = hardState && { entries, hardState };
    const wal = await createWal(dir, { nodeId: self.id, clusterId }, config.disk, config.segmentBytes, first);
    const start = { index: 0, term: 0 };
    return new Member(config, { wal, applier, start, entries, hardState, clusterId, id: self.id, members, memory });
  }
  const opened = await openWal(dir, config.disk, config.segmentBytes);
  const { wal, metadata, repaired, snapshots } = opened;
  try {
    if (repaired) config.log.warn({ ...repaired }, "Repaired the WAL: the last record was torn");
    const { nodeId: id, clusterId } = metadata;
    const note = (await openSnapshot(snapDir(config), snapshots, applier, config.disk)) ?? { index: 0, term: 0 };
    const { start, entries } = await replay(opened, note, applier, memory, config);
    const { index, term } = applier.applied;
    const last = entries.at(-1)?.index ?? start.index;
    if (applier.membership.removed.has(id)) {
      throw new StartError(
        `${config.dataDir}: the member ${idText(id)} has been permanently removed from the cluster: remove the directory`,
      );
    }
    // A member that was added, and ended before it had heard of anything, asks again.
    const members = last === 0 ? await joinAgain(config, metadata) : [...applier.members.values()];
    warnOfOtherURLs(config, applier.members.get(id));
    const known = opened.hardState ?? { term, vote: 0n, commit: 0 };
    // What the state holds was committed, whether or not the log says so.
    const hardState = { ...known, term: Math.max(known.term, start.term), commit: Math.max(known.commit, index) };
    config.log.info(
      { state: index, revision: applier.store.revision, last, commit: hardState.commit },
      "Read the data",
    );
    return new Member(config, { wal, applier, start, entries, hardState, clusterId, id, members, memory });
  } catch (error) {
    await wal.close();
    throw error;
  }
}

/** A member that has lost its log has forgotten whom it voted for and what it acknowledged: it must not begin anew. */
async function needNoState(config: MemberConfig): Promise<void> {
  const { disk } = config;
  const dir = snapDir(config);
  if (!(await disk.list(dir))?.includes("db")) return; // etcd makes an empty one before its log
  const { consistentIndex } = await withDb(`${dir}/db`, disk, readState);
  if (consistentIndex === 0) return;
  throw new StartError(
    `${dir}/db has the state at entry ${consistentIndex}, but there is no log in ${walDir(config)}: is --wal-dir right? If the log is lost: ${wayOut}`,
  );
}

/**
 * Applies what is committed of the log after the snapshot's note while it is read, and keeps of it what a member that runs
 * keeps. It stops before this member leaves the cluster: until an election timeout is over the others may need its vote.
 */
async function replay(
  opened: OpenedWal,
  note: { index: number; term: number },
  applier: Applier,
  memory: LogMemory,
  { dataDir, compactionBatch }: MemberConfig,
): Promise<{ start: { index: number; term: number }; entries: Entry[] }> {
  const { store, membership } = applier;
  const inState = applier.applied.index;
  const put = new PlainPut();
  let start = note;
  let entries: Entry[] = [];
  let last = note.index;
  let leaves = false;
  const refuse = (first: number, to: number): never => {
    throw new StartError(
      `${dataDir}: the state is at entry ${inState}, but the log has entries ${first} to ${to}: ${wayOut}`,
    );
  };
  const take = (entry: Entry): boolean => {
    if (entry.index <= note.index) return false;
    if (entry.index !== last + 1) refuse(entry.index, opened.lastIndex);
    if (inState === 0 && entry.index === 1 && entry.type === 0) {
      throw new StartError(
        `${dataDir}: the log does not say who is in the cluster: an earlier version began it and did not stop in order; start that one once more and stop it with SIGTERM`,
      );
    }
    last = entry.index;
    entries.push(entry);
    return true;
  };
  const apply = (entry: Entry): void => {
    if (entry.index <= inState) applier.replayMembership(entry);
    else {
      leaves ||= entry.type !== 0 && membership.leaves(opened.metadata.nodeId, entry);
      if (leaves) return;
      applier.replay(entry, put);
    }
    memory.add(entry.index, entry.data.length);
  };
  const rest = await opened.replay(note.index, (run) => {
    for (const entry of run) if (take(entry)) apply(entry);
    if (store.compactPending) store.compactStep(compactionBatch);
    const forget = memory.forget(store.slabs.liveBytes);
    if (forget === undefined) return;
    const gone = forget - start.index;
    start = { index: forget, term: entries[gone - 1]!.term };
    entries = entries.slice(gone);
  });
  // What the state holds was committed, whether or not the log says so.
  for (const entry of rest) if (take(entry) && entry.index <= inState) apply(entry);
  if (inState > last) refuse(entries[0]?.index ?? last + 1, last);
  return { start, entries };
}

/** As with etcd the data counts, not the flags; but this may be the directory of another member. */
function warnOfOtherURLs({ log, peerURLs, dataDir }: MemberConfig, self: ClusterMember | undefined): void {
  if (self === undefined || self.peerURLs.toSorted().join() === peerURLs.toSorted().join()) return;
  const { id, name, peerURLs: theirs } = self;
  log.warn(
    { dataDir, member: idText(id), name, peerURLs: theirs, flags: peerURLs },
    "The data directory's member has other peer URLs than --initial-advertise-peer-urls: is it another member's?",
  );
}

async function joinAgain(config: MemberConfig, { nodeId, clusterId }: WalMetadata): Promise<ClusterMember[]> {
  const cluster = await config.bootstrap();
  if (cluster.clusterId === clusterId && cluster.self.id === nodeId) return cluster.members;
  throw new StartError(
    `${config.dataDir} belongs to member ${idText(nodeId)} of cluster ${idText(clusterId)}, but this is now member ${idText(cluster.self.id)} of cluster ${idText(cluster.clusterId)}: remove the directory`,
  );
}
