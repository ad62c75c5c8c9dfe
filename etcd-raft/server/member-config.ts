import type { Clock } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import type { Rand } from "../../base/rand.ts";
import type { Entry } from "../raft/types.ts";
import type { Disk } from "../wal/disk.ts";
import type { OpenedWal, Wal } from "../wal/wal.ts";
import type { Applier } from "./applier.ts";
import type { ClusterMember, InitialCluster } from "./cluster.ts";
import type { LogMemory } from "./log-memory.ts";
import type { ServerMetrics } from "./metrics.ts";
import type { PeerTransport, PeerTransportOptions } from "./transport.ts";

/** What a member is given (`start.ts`, the simulator). */
export interface MemberConfig {
  dataDir: string;
  walDir?: string | undefined; // `--wal-dir`; undefined: inside the data directory
  name: string;
  peerURLs: readonly string[]; // where the others reach this member
  /**
   * Asked only when there is no data yet: the members of a new cluster, or (`joins`) of a running one that this member was
   * added to. Throws StartError.
   */
  bootstrap(): Promise<InitialCluster & { joins: boolean }>;
  advertiseClientURLs: string[]; // what the others are told to reach our clients' port at
  heartbeatMs: number;
  electionMs: number;
  maxRequestBytes: number;
  maxTxnOps: number;
  snapshotCount: number;
  snapshotCatchupEntries: number;
  preVote: boolean;
  hasten: boolean; // a fresh member does not wait a whole election timeout
  compactionBatch: number; // revisions in one step of a compaction
  quotaBytes: number;
  strictReconfigCheck: boolean; // no change of members that could cost the majority
  tokenTtlMs?: number; // how long a simple token lives after its last use; undefined is etcd's default
  segmentBytes?: number; // WAL segments are cut once they are longer; etcd's 64 MB unless said otherwise
  transport(options: PeerTransportOptions): PeerTransport;
  clock: Clock;
  eventClock?: Clock; // when events happened, also while `clock` is made to lie
  rand: Rand;
  disk: Disk;
  log: Logger;
  metrics: ServerMetrics;
  onFatal(error: Error): void; // the member cannot go on: its disk failed
  onRemoved(): void; // the member was removed from the cluster: it must end, and not come back
}

/** What is on disk, read. */
export interface MemberData {
  clusterId: bigint;
  id: bigint;
  members: readonly ClusterMember[]; // those it knows of before it has applied anything
  wal: Wal;
  applier: Applier;
  start: { index: number; term: number }; // the log goes on after it
  entries: Entry[];
  memory: LogMemory; // counts what was applied of it
  hardState: OpenedWal["hardState"];
}

export const walDir = ({ dataDir, walDir }: Pick<MemberConfig, "dataDir" | "walDir">): string =>
  walDir ?? `${dataDir}/member/wal`;
export const snapDir = ({ dataDir }: { dataDir: string }): string => `${dataDir}/member/snap`;
