import { StartError } from "../../base/process.ts";
import { createWal, openWal, WalError, walExists } from "../wal/wal.ts";
import { idText } from "./cluster.ts";
import { Member, type MemberConfig } from "./member.ts";

/** A member on its data directory, made if there is none. What an operator must mend is a StartError of one line. */
export async function openMember(config: MemberConfig): Promise<Member> {
  try {
    return await open(config);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (!(error instanceof WalError) && code === undefined) throw error;
    throw new StartError(`--data-dir=${config.dataDir}: ${(error as Error).message}`, { cause: error });
  }
}

async function open(config: MemberConfig): Promise<Member> {
  const dir = `${config.dataDir}/member/wal`;
  const { clusterId, self } = config.cluster;
  if (!(await walExists(dir, config.disk))) {
    return new Member(config, await createWal(dir, { nodeId: self.id, clusterId }, config.disk));
  }
  const opened = await openWal(dir, config.disk);
  const { metadata, repaired, entries, hardState } = opened;
  if (metadata.nodeId !== self.id || metadata.clusterId !== clusterId) {
    await opened.wal.close();
    throw new StartError(
      `${config.dataDir} belongs to member ${idText(metadata.nodeId)} of cluster ${idText(metadata.clusterId)}, but the flags describe member ${idText(self.id)} of cluster ${idText(clusterId)}: set --initial-cluster and --initial-cluster-token as they were, or another --data-dir`,
    );
  }
  if (repaired) config.log.warn({ ...repaired }, "Repaired the WAL: the last record was torn");
  config.log.info({ entries: entries.length, commit: hardState?.commit }, "Read the WAL");
  return new Member(config, opened.wal, opened);
}
