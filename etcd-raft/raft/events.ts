import { lastIndex, lastTerm } from "./log.ts";
import type { Raft } from "./state.ts";
import type { NodeId, Role } from "./types.ts";

/**
 * What raft decided, and why: facts only, no text (`server/history.ts` puts them into words). They come out in
 * `Ready.events`, which exists only in the few steps in which something happens: the way of a proposal, an append or a
 * heartbeat makes none.
 */
export type RaftEvent = {
  term: number; // of this member after the event; `index`: its last entry
  index: number;
} & (
  | { kind: "RoleChanged"; from: Role; to: Role }
  | { kind: "CampaignStarted"; campaign: Campaign }
  | { kind: "VoteGranted"; pre: boolean; peer: NodeId; forTerm: number; theirs: Position }
  | ({ kind: "VoteRefused"; pre: boolean; peer: NodeId; forTerm: number } & Refusal)
  /** The answer of another member to our own request. */
  | { kind: "VoteReceived"; pre: boolean; peer: NodeId; granted: boolean }
  | { kind: "LeaderFound"; peer: NodeId }
  | { kind: "LeaderLost"; peer: NodeId; because: LeaderLoss; other: NodeId }
  | { kind: "TransferStarted"; peer: NodeId }
  | { kind: "TransferAborted"; peer: NodeId }
);

export type Campaign = "preElection" | "election" | "transfer";

/** The last entry of a log. */
export type Position = { term: number; index: number };

/** Why a candidate was refused: the first rule of §5.2, §5.4.1 and §6 that stands against it. */
export type Refusal = { theirs: Position } & (
  | { because: "logBehind"; ours: Position }
  | { because: "alreadyVoted"; votedFor: NodeId }
  | { because: "leaderKnown"; leader: NodeId }
  | { because: "leaderLease"; leader: NodeId }
  | { because: "oldTerm" }
);

/** `other`: who sent the higher term. The last three are the leader's own. */
export type LeaderLoss =
  | "electionTimeout"
  | "connectionLost"
  | "higherTerm"
  | "transfer"
  | "quorumLost"
  | "handedOver"
  | "removed";

type Fields<E> = E extends unknown ? Omit<E, "term" | "index"> : never;

export function note(raft: Raft, event: Fields<RaftEvent>): void {
  raft.ready.events ??= [];
  raft.ready.events.push({ ...event, term: raft.term, index: lastIndex(raft.log) } as RaftEvent);
}

/** To be called while the leader is still known. */
export function noteLeaderLost(raft: Raft, because: LeaderLoss, other: NodeId = 0n): void {
  if (raft.leader !== 0n) note(raft, { kind: "LeaderLost", peer: raft.leader, because, other });
}

export const ourPosition = (raft: Raft): Position => ({ term: lastTerm(raft.log), index: lastIndex(raft.log) });
