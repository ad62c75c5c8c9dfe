import { assert } from "../../base/assert.ts";
import { holdsLease, noteVote, onVote, stepCandidate } from "./candidate.ts";
import { note, noteLeaderLost } from "./events.ts";
import { stepFollower } from "./follower.ts";
import { stepLeader } from "./leader.ts";
import { compact, createLog, lastIndex, markApplied, slice, termAt } from "./log.ts";
import { createReads } from "./read-index.ts";
import { onConfChange } from "./reconfigure.ts";
import { becomeFollower } from "./roles.ts";
import { createReady, type Raft, type RaftConfig, send, setConf } from "./state.ts";
import { type Input, type Message, none, type Ready, type Role } from "./types.ts";

export type { Raft, RaftConfig } from "./state.ts";

/**
 * Raft as a pure function: `step(raft, input) -> Ready`. No disk, socket, timer or promise in here; the same inputs give
 * the same outputs. Names and rules: the raft paper (§, Figure 2), Ongaro's thesis where said, and etcd's behaviour.
 *
 * One step: put terms on one level, then the switch of the role (`follower.ts`, `candidate.ts`, `leader.ts`), then
 * collect what the caller owes.
 */
export function step(raft: Raft, input: Input): Ready {
  if (input.type === "Persisted") {
    // Only what is still in the log counts: another leader may have replaced it while the disk was writing.
    if (termAt(raft.log, input.index) === input.term) raft.log.persisted = Math.max(raft.log.persisted, input.index);
  } else if (input.type === "Applied") {
    assert(input.index <= raft.log.delivered, "only what was delivered is applied");
    markApplied(raft.log, input.index, raft.config.packEntries ?? packEntries);
    if (input.conf) onConfChange(raft, input.conf);
  } else if (input.type === "Compact") {
    compact(raft.log, input.index);
  }
  if (input.type !== "Message") steps[raft.role](raft, input);
  else if (levelTerm(raft, input.message)) {
    if (input.message.type === "Vote" || input.message.type === "PreVote") onVote(raft, input.message);
    else steps[raft.role](raft, input);
  }
  return takeReady(raft);
}

export function createRaft(config: RaftConfig): Raft {
  assert(config.id !== none, "a member has an id");
  assert(config.electionTicks > config.heartbeatTicks, "election ticks must be greater than heartbeat ticks");
  assert(config.maxInflightMessages > 0 && config.maxInflightBytes > 0, "at least one message in flight");
  const hardState = config.hardState ?? { term: 0, vote: none, commit: 0 };
  const raft: Raft = {
    config,
    id: config.id,
    role: "follower",
    term: hardState.term,
    vote: hardState.vote,
    leader: none,
    log: createLog(config.start ?? { index: 0, term: 0 }, config.entries, hardState.commit, config.applied),
    conf: config.conf,
    groups: [],
    voter: false,
    electionElapsed: 0,
    heartbeatElapsed: 0,
    electionTimeout: 0,
    retries: 0,
    votes: new Map(),
    progress: new Map(),
    counted: [],
    pendingConfIndex: 0,
    transferee: none,
    reads: createReads(),
    ready: createReady(),
    told: { hardState, role: "follower", leader: none, term: hardState.term },
  };
  setConf(raft, config.conf);
  becomeFollower(raft, raft.term, none);
  return raft;
}

const steps: Record<Role, (raft: Raft, input: Input) => void> = {
  follower: stepFollower,
  preCandidate: stepCandidate,
  candidate: stepCandidate,
  leader: stepLeader,
};

/** A message of a later term ends our own; one of an earlier term is answered at most (§5.1). False: handled. */
function levelTerm(raft: Raft, m: Message): boolean {
  if (m.term === 0) return true; // Prop and ReadIndex are the client's: they belong to no term
  if (m.term > raft.term) {
    const candidacy = m.type === "Vote" || m.type === "PreVote";
    if (candidacy && holdsLease(raft, m)) {
      const theirs = { term: m.logTerm, index: m.index };
      noteVote(raft, m, { because: "leaderLease", leader: raft.leader, theirs });
      return false;
    }
    const future = m.type === "PreVote" || (m.type === "PreVoteResp" && !m.reject); // a term nobody has entered yet
    if (!future) {
      noteLeaderLost(raft, m.from === raft.transferee ? "handedOver" : "higherTerm", m.from);
      becomeFollower(raft, m.term, isLeaders(m) ? m.from : none);
    }
    return true;
  }
  if (m.term < raft.term) {
    // Our lease keeps our vote requests from deposing such a leader, so it must learn of the term from us; a lagging
    // candidate likewise, or two members wait for each other.
    if (isLeaders(m) && (raft.config.checkQuorum || raft.config.preVote)) send(raft, "AppResp", m.from);
    else if (m.type === "PreVote" || m.type === "Vote") {
      // Differs: etcd says nothing to a Vote. Figure 2 has it answered: who does not know of the candidate, which was added
      // after all that it has applied, never asks it for a vote, and the candidate would stay behind for ever.
      send(raft, m.type === "Vote" ? "VoteResp" : "PreVoteResp", m.from, { reject: true });
      noteVote(raft, m, { because: "oldTerm", theirs: { term: m.logTerm, index: m.index } });
    }
    return false;
  }
  return true;
}

const isLeaders = ({ type }: Message): boolean => type === "App" || type === "Heartbeat" || type === "Snap";

function takeReady(raft: Raft): Ready {
  const { ready, log, told } = raft;
  if (log.handedOut < lastIndex(log)) {
    ready.entries = slice(log, log.handedOut + 1, lastIndex(log));
    log.handedOut = lastIndex(log);
  }
  if (log.delivered < log.committed) {
    ready.committedEntries = slice(log, log.delivered + 1, log.committed);
    log.delivered = log.committed;
  }
  const { term, vote, commit } = told.hardState;
  const voteChanged = term !== raft.term || vote !== raft.vote;
  if (voteChanged || commit !== log.committed) {
    ready.hardState = { term: raft.term, vote: raft.vote, commit: log.committed };
    told.hardState = ready.hardState;
  }
  const changes = ready.committedEntries.some(({ type }) => type !== 0);
  ready.mustSync = voteChanged || changes || ready.entries.length > 0 || ready.snapshot !== undefined;
  if (told.role !== raft.role || told.leader !== raft.leader || told.term !== raft.term) {
    if (told.role !== raft.role) note(raft, { kind: "RoleChanged", from: told.role, to: raft.role });
    if (told.leader !== raft.leader && raft.leader !== none) note(raft, { kind: "LeaderFound", peer: raft.leader });
    told.role = raft.role;
    told.leader = raft.leader;
    told.term = raft.term;
    ready.softState = { role: raft.role, leader: raft.leader, term: raft.term };
  }
  raft.ready = createReady();
  return ready;
}

const packEntries = 512; // enough to be rare, few enough that they are young when they go
