import type { ConfState } from "./conf.ts";
import type { RaftEvent } from "./events.ts";

/**
 * The seam of the raft core: input in, `Ready` out. Names follow the raft paper and etcd-io/raft; ids are bigint,
 * terms and indexes are safe numbers.
 */
export type NodeId = bigint;
export const none: NodeId = 0n;

export type Role = "follower" | "preCandidate" | "candidate" | "leader";

export interface Entry {
  term: number;
  index: number;
  data: Uint8Array; // empty in the entry by which a new leader commits what came before it (§5.4.2)
  type: number; // `raftpb.EntryType`: 0 normal, 1 ConfChange, 2 ConfChangeV2
}

/** Durable before any message leaves that depends on it (Figure 2, "Persistent state"). `commit` may lag. */
export type HardState = { term: number; vote: NodeId; commit: number };

type Asks = "App" | "Vote" | "PreVote" | "Heartbeat" | "ReadIndex"; // what is answered

/** In-memory shape of raftpb.Message: the kinds that members exchange. */
export interface Message {
  type: Asks | `${Asks}Resp` | "Snap" | "TimeoutNow" | "Prop";
  from: NodeId;
  to: NodeId;
  term: number;
  /** App: index and term of the entry before `entries`; Vote: of the candidate's last entry; Snap: of the last one in the state. */
  index: number;
  logTerm: number;
  entries: Entry[];
  commit: number; // VoteResp, PreVoteResp: with the term of that entry in `logTerm`
  reject: boolean;
  /** AppResp with reject: the last index that may agree; `logTerm` is its term at the follower. */
  rejectHint: number;
  /** ReadIndex: the asker's opaque id, never used twice, not over restarts either (an answer may come that late). Heartbeats that confirm reads: the leader's counter. */
  context: Uint8Array;
  conf: ConfState | undefined; // Snap: who takes part, as of its index
}

export type Input =
  | { type: "Tick" }
  | { type: "Message"; message: Message }
  /** Several proposals at once: one entry each, in order, appended and sent together. */
  | { type: "Propose"; data: Uint8Array[] }
  /** A change of who takes part: `data` of an entry of type 1 or 2; type 2 without data leaves a joint configuration. */
  | { type: "ProposeConfChange"; change: ProposedConfChange }
  /** Ask for a linearizable read point; the answer comes in `readStates` with the same context (§6.4 of the thesis). */
  | { type: "ReadIndex"; context: Uint8Array }
  /** The caller has persisted entries up to (index, term). Only then do they count for the own majority. */
  | { type: "Persisted"; index: number; term: number }
  /** The caller has applied entries up to `index`; `conf`: the configuration that the last of them made. */
  | { type: "Applied"; index: number; conf?: ConfState | undefined }
  | { type: "Unreachable"; id: NodeId } // the transport lost the connection to this member and cannot redial it
  /** What came of sending a Snap: the member holds the state up to `index`, or (undefined) it failed. */
  | { type: "SnapshotSent"; id: NodeId; index: number | undefined }
  /** A durable snapshot covers the entries up to `index`, which is applied; they may be forgotten. */
  | { type: "Compact"; index: number }
  /** A moment has passed since `Ready.commitNews` named `index`: whoever does not know yet that it is committed is told now. */
  | { type: "TellCommit"; index: number }
  | { type: "TransferLeader"; to: NodeId }; // only to a voter; others are no targets, and nothing happens

export type ProposedConfChange = Pick<Entry, "type" | "data">;

/**
 * What the caller owes raft after a step, in this order: start writing hardState and entries; send `messages` at once
 * (the leader's appends go out in parallel with its own write, thesis 10.2.1); after this write *and every earlier one*
 * is durable, send `messagesAfterPersist` (votes, append answers) and give `Persisted` with the last of `entries`;
 * apply `committedEntries`: an entry of type 1 or 2 only once a hardState that commits it is durable, and if it changes the
 * configuration it is followed by `Applied` with its index and what it made, before the next entry is applied. A Ready without
 * entries may carry messagesAfterPersist too: they still wait for the writes before them (`wal.save(undefined, [])` resolves then).
 *
 * A `Snap` in `messages` stands for the whole state at its index, which is the present one (last `Applied`): the caller
 * sends it on a way of its own and reports `SnapshotSent`. At the receiver it is given in when the state has arrived and is
 * durable. `snapshot` says to put it in place of all entries and state so far, before anything else of this Ready.
 */
export interface Ready {
  snapshot: { index: number; term: number; conf: ConfState } | undefined;
  hardState: HardState | undefined; // set when it changed; with `mustSync` durable before messagesAfterPersist
  mustSync: boolean; // entries were added, term or vote changed, or a change of configuration is committed
  entries: Entry[]; // to append; an entry with an index that is on disk already replaces it and all after it
  messages: Message[];
  messagesAfterPersist: Message[];
  committedEntries: Entry[]; // ascending index, each delivered once
  readStates: { context: Uint8Array; index: number }[]; // answer once applied >= index
  /**
   * Leader: some followers do not know yet that entries up to here are committed. The next append tells them; the caller
   * gives `TellCommit` when none is to be expected soon, or has not come. 0: no news.
   */
  commitNews: number;
  /**
   * Proposals and reads that were not taken: no leader known, or a transfer is running. A change of configuration is not
   * taken either while one is pending, or the present one is joint (or, to leave it, is not).
   */
  dropped: { proposals: Uint8Array[]; confChanges: ProposedConfChange[]; reads: Uint8Array[] };
  softState: { role: Role; leader: NodeId; term: number } | undefined; // set when role, term or leader changed
  events: RaftEvent[] | undefined; // what was decided in this step and why, in order; undefined in most steps
}
