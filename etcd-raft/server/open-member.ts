import { StartError } from "../../base/process.ts";
import { BoltError } from "../bolt/reader.ts";
import { minTTLFor } from "../lease/lessor.ts";
import { createWal, openWal, WalError, walExists } from "../wal/wal.ts";
import { Applier } from "./applier.ts";
import { idText } from "./cluster.ts";
import { Member, type MemberConfig, snapDir, walDir } from "./member.ts";
import { openSnapshot } from "./snapshots.ts";

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
  const { clusterId, self, members } = config.cluster;
  const { clock, electionMs, tokenTtlMs } = config;
  const applier = new Applier({ members, minLeaseTTL: minTTLFor(electionMs), clock, tokenTtlMs });
  await config.disk.makeDir(snapDir(config));
  if (!(await walExists(dir, config.disk))) {
    const wal = await createWal(dir, { nodeId: self.id, clusterId }, config.disk, config.segmentBytes);
    return new Member(config, { wal, applier, start: { index: 0, term: 0 }, entries: [], hardState: undefined });
  }
  const opened = await openWal(dir, config.disk, config.segmentBytes);
  const { wal, metadata, repaired, snapshots } = opened;
  try {
    if (metadata.nodeId !== self.id || metadata.clusterId !== clusterId) {
      throw new StartError(
        `${config.dataDir} belongs to member ${idText(metadata.nodeId)} of cluster ${idText(metadata.clusterId)}, but the flags describe member ${idText(self.id)} of cluster ${idText(clusterId)}: set --initial-cluster and --initial-cluster-token as they were, or another --data-dir`,
      );
    }
    if (repaired) config.log.warn({ ...repaired }, "Repaired the WAL: the last record was torn");
    const start = (await openSnapshot(snapDir(config), snapshots, applier, config.disk)) ?? { index: 0, term: 0 };
    const { index, term } = applier.applied;
    const entries = opened.entries.filter((entry) => entry.index > start.index);
    const last = entries.at(-1)?.index ?? start.index;
    if ((entries[0]?.index ?? start.index + 1) !== start.index + 1 || index > last) {
      throw new StartError(
        `${config.dataDir}: the state is at entry ${index}, but the log has entries ${entries[0]?.index} to ${last}: restore a backup, or move the directory away and bring this member back as a new one`,
      );
    }
    const known = opened.hardState ?? { term, vote: 0n, commit: 0 };
    // What the state holds was committed, whether or not the log says so.
    const hardState = { ...known, term: Math.max(known.term, start.term), commit: Math.max(known.commit, index) };
    config.log.info(
      { state: index, revision: applier.store.revision, last, commit: hardState.commit },
      "Read the data",
    );
    return new Member(config, { wal, applier, start, entries, hardState });
  } catch (error) {
    await wal.close();
    throw error;
  }
}
