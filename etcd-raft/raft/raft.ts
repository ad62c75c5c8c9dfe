import type { Rand } from "../../base/rand.ts";
import type { Entry, HardState, Input, NodeId, Ready, Role } from "./types.ts";

export interface RaftConfig {
  id: NodeId;
  voters: readonly NodeId[];
  electionTicks: number;
  heartbeatTicks: number;
  rand: Rand;
  /** From the WAL; undefined at the first start. */
  hardState: HardState | undefined;
  /** From the WAL: the log from index 1 on. */
  entries: Entry[];
  /** What the state machine holds already; delivery goes on after it. */
  applied: number;
  preVote: boolean;
  checkQuorum: boolean;
  maxSizePerMessage: number; // bytes of entry data in one App
  maxInflightMessages: number; // Apps on the way to one follower
}

export interface Status {
  id: NodeId;
  role: Role;
  term: number;
  leader: NodeId;
  commit: number;
  applied: number;
  lastIndex: number;
  /** On the leader: every voter, itself included (`matchIndex`: what is durable there). Empty elsewhere. */
  progress: { id: NodeId; matchIndex: number; nextIndex: number }[];
}

export interface Raft {
  readonly id: NodeId;
}

export declare function createRaft(config: RaftConfig): Raft;
export declare function step(raft: Raft, input: Input): Ready;
export declare function status(raft: Raft): Status;
