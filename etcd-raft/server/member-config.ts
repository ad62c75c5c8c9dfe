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
  /** `--wal-dir`; undefined: inside the data directory. */
  walDir?: string | undefined;
  name: string;
  /** Where the others reach this member. */
  peerURLs: readonly string[];
  /**
   * Asked only when there is no data yet: the members of a new cluster, or (`joins`) of a running one that this member was
   * added to. Throws StartError.
   */
  bootstrap(): Promise<InitialCluster & { joins: boolean }>;
  /** What the others are told to reach our clients' port at. */
  advertiseClientURLs: string[];
  heartbeatMs: number;
  electionMs: number;
  maxRequestBytes: number;
  maxTxnOps: number;
  snapshotCount: number;
  snapshotCatchupEntries: number;
  preVote: boolean;
  /** A fresh member does not wait a whole election timeout. */
  hasten: boolean;
  /** Revisions in one step of a compaction. */
  compactionBatch: number;
  quotaBytes: number;
  /** No change of members that could cost the majority. */
  strictReconfigCheck: boolean;
  /** How long a simple token lives after its last use; undefined is etcd's default. */
  tokenTtlMs?: number;
  /** WAL segments are cut once they are longer; etcd's 64 MB unless said otherwise. */
  segmentBytes?: number;
  transport(options: PeerTransportOptions): PeerTransport;
  clock: Clock;
  /** When events happened, also while `clock` is made to lie. */
  eventClock?: Clock;
  rand: Rand;
  disk: Disk;
  log: Logger;
  metrics: ServerMetrics;
  /** The member cannot go on: its disk failed. */
  onFatal(error: Error): void;
  /** The member was removed from the cluster: it must end, and not come back. */
  onRemoved(): void;
}

/** What is on disk, read. */
export interface MemberData {
  clusterId: bigint;
  id: bigint;
  /** Those it knows of before it has applied anything. */
  members: readonly ClusterMember[];
  wal: Wal;
  applier: Applier;
  /** The log goes on after it. */
  start: { index: number; term: number };
  entries: Entry[];
  /** Counts what was applied of it. */
  memory: LogMemory;
  hardState: OpenedWal["hardState"];
}

export const walDir = ({ dataDir, walDir }: Pick<MemberConfig, "dataDir" | "walDir">): string =>
  walDir ?? `${dataDir}/member/wal`;
export const snapDir = ({ dataDir }: { dataDir: string }): string => `${dataDir}/member/snap`;
