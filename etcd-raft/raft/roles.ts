import { assert } from "../../base/assert.ts";
import { lastIndex, slice } from "./log.ts";
import { dropReads } from "./read-index.ts";
import { track } from "./reconfigure.ts";
import type { Raft } from "./state.ts";
import { type NodeId, none, type Role } from "./types.ts";

/** The changes of role (Figure 4), and what each forgets. What a new role sends is its own file's matter. */
export function becomeFollower(raft: Raft, term: number, leader: NodeId): void {
  become(raft, "follower", term);
  raft.leader = leader;
}

/** Asks before it counts: neither term nor vote change (thesis §9.6). */
export function becomePreCandidate(raft: Raft): void {
  assert(raft.role !== "leader", "a leader does not campaign");
  become(raft, "preCandidate", raft.term);
}

export function becomeCandidate(raft: Raft): void {
  assert(raft.role !== "leader", "a leader does not campaign");
  become(raft, "candidate", raft.term + 1);
  raft.vote = raft.id;
}

export function becomeLeader(raft: Raft): void {
  assert(raft.role === "candidate", "only a candidate is elected");
  become(raft, "leader", raft.term);
  raft.leader = raft.id;
  const unapplied = slice(raft.log, raft.log.applied + 1, lastIndex(raft.log));
  raft.pendingConfIndex = unapplied.findLast(({ type }) => type !== 0)?.index ?? 0;
  track(raft);
  const self = raft.progress.get(raft.id)!;
  self.state = "replicate";
  self.matchIndex = raft.log.persisted;
  self.recentActive = true;
}

function become(raft: Raft, role: Role, term: number): void {
  assert(term >= raft.term, "terms never fall");
  if (term !== raft.term) {
    raft.term = term;
    raft.vote = none;
  }
  raft.role = role;
  raft.leader = none;
  raft.electionElapsed = 0;
  raft.heartbeatElapsed = 0;
  raft.electionTimeout = raft.config.electionTicks + raft.config.rand.below(raft.config.electionTicks);
  raft.votes = new Map();
  raft.progress = new Map();
  raft.counted = [];
  raft.transferee = none;
  dropReads(raft);
}
