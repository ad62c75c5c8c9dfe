import { everybody, isVoter } from "./conf.ts";
import { type Campaign, note, noteLeaderLost, ourPosition, type Refusal } from "./events.ts";
import { stepFollower } from "./follower.ts";
import { lead } from "./leader.ts";
import { commitTo, isUpToDate, lastIndex, lastTerm, slice, termAt } from "./log.ts";
import { voteResult } from "./quorum.ts";
import { toldCommit } from "./reconfigure.ts";
import { becomeCandidate, becomeFollower, becomePreCandidate } from "./roles.ts";
import { type Raft, send, sendAfterPersist } from "./state.ts";
import { type Input, type Message, none } from "./types.ts";

/** Carried by vote requests of a leadership transfer: voters skip their leader lease. etcd's word. */
const campaignTransfer = Buffer.from("CampaignTransfer");

/** Candidates and pre-candidates count votes until someone leads. */
export function stepCandidate(raft: Raft, input: Input): void {
  switch (input.type) {
    case "Tick":
      raft.electionElapsed++;
      if (raft.electionElapsed >= raft.electionTimeout)
        campaign(raft, raft.config.preVote ? "preElection" : "election");
      break;
    case "Message":
      return onMessage(raft, input.message);
    default:
      return stepFollower(raft, input); // as one without a leader
  }
}

function onMessage(raft: Raft, m: Message): void {
  switch (m.type) {
    case "App":
    case "Snap":
    case "Heartbeat":
      becomeFollower(raft, m.term, m.from);
      return stepFollower(raft, { type: "Message", message: m });
    case "PreVoteResp":
      if (raft.role === "preCandidate") onVoteResp(raft, m);
      break;
    case "VoteResp":
      if (raft.role === "candidate") onVoteResp(raft, m);
      break;
  }
}

/**
 * Only a voter, whose state is in place, and who has applied the changes of configuration that it knows to be committed:
 * with an older one it could take a minority for a majority.
 */
export function mayCampaign({ voter, log }: Raft): boolean {
  if (!voter || log.applied < log.start.index) return false;
  return !slice(log, log.applied + 1, log.committed).some(({ type }) => type !== 0);
}

/** A pre-election asks for the next term without entering it; a transfer skips it, its old leader has agreed. */
export function campaign(raft: Raft, kind: Campaign): void {
  noteLeaderLost(raft, kind === "transfer" ? "transfer" : "electionTimeout");
  if (kind === "preElection") becomePreCandidate(raft);
  else becomeCandidate(raft);
  note(raft, { kind: "CampaignStarted", campaign: kind });
  raft.votes.set(raft.id, true);
  if (voteResult(raft.votes, raft.groups) === "won") {
    won(raft);
    return;
  }
  const claim = { index: lastIndex(raft.log), logTerm: lastTerm(raft.log) };
  for (const id of everybody(raft.conf)) {
    if (id === raft.id || !isVoter(raft.conf, id)) continue;
    if (kind === "preElection") send(raft, "PreVote", id, { ...claim, term: raft.term + 1 });
    else if (kind === "election") sendAfterPersist(raft, "Vote", id, claim);
    else sendAfterPersist(raft, "Vote", id, { ...claim, context: campaignTransfer });
    // Our own vote counts at once: no grant can come back before the request left, and it leaves after our disk has it.
  }
}

function onVoteResp(raft: Raft, m: Message): void {
  if (!raft.votes.has(m.from)) raft.votes.set(m.from, !m.reject);
  note(raft, { kind: "VoteReceived", pre: m.type === "PreVoteResp", peer: m.from, granted: !m.reject });
  // Differs: etcd's answers say nothing of it. Members that have left vote no more, and who has not heard that this is committed
  // would wait for them for ever, if the one that knows has the shorter log and so cannot lead.
  if (m.commit > raft.log.committed && termAt(raft.log, m.commit) === m.logTerm) commitTo(raft.log, m.commit);
  const result = voteResult(raft.votes, raft.groups);
  if (!mayCampaign(raft)) becomeFollower(raft, raft.term, none);
  else if (result === "won") won(raft);
  else {
    if (result === "lost") becomeFollower(raft, raft.term, none);
    if (m.reject) retrySoon(raft);
  }
}

/** A few ticks from now, at random, unless it would be sooner. */
export function campaignSoon(raft: Raft): void {
  const wait = 1 + raft.config.rand.below(Math.max(1, raft.config.electionTicks >> 2));
  raft.electionElapsed = Math.max(raft.electionElapsed, raft.electionTimeout - wait);
}

/**
 * Two survivors of a lost leader who split the vote have each a refusal and no majority to wait for. Only so many times a
 * lost leader: who is refused for other reasons must not ask for ever. Differs: etcd waits for another election timeout.
 */
export const maxRetries = 4;

function retrySoon(raft: Raft): void {
  if (raft.retries === 0) return;
  raft.retries--;
  campaignSoon(raft);
}

function won(raft: Raft): void {
  if (raft.role === "preCandidate") campaign(raft, "election");
  else lead(raft);
}

/**
 * RequestVote at the receiver, in any role: one vote a term, for a log at least as new (§5.2, §5.4.1). Learners vote too: who
 * asks may know that this one was promoted before it does itself (thesis §4.1).
 */
export function onVote(raft: Raft, m: Message): void {
  const pre = m.type === "PreVote";
  const free = raft.vote === m.from || (raft.vote === none && raft.leader === none) || (pre && m.term > raft.term);
  const upToDate = isUpToDate(raft.log, m.index, m.logTerm);
  noteVote(raft, m, free && upToDate ? undefined : refusal(raft, m, free));
  const commit = toldCommit(raft);
  const known = { commit, logTerm: termAt(raft.log, commit) ?? 0 };
  if (!free || !upToDate) {
    if (pre) send(raft, "PreVoteResp", m.from, { ...known, reject: true });
    else sendAfterPersist(raft, "VoteResp", m.from, { ...known, reject: true });
  } else if (pre) {
    // It goes first: ours would split the vote, since its request has a disk write to wait for.
    raft.electionElapsed = Math.min(raft.electionElapsed, raft.electionTimeout - 2);
    send(raft, "PreVoteResp", m.from, { ...known, term: m.term });
  } else {
    raft.vote = m.from;
    raft.electionElapsed = 0; // granting restarts the wait
    sendAfterPersist(raft, "VoteResp", m.from, known);
  }
}

export function noteVote(raft: Raft, m: Message, refused: Refusal | undefined): void {
  const request = { pre: m.type === "PreVote", peer: m.from, forTerm: m.term };
  if (refused) note(raft, { kind: "VoteRefused", ...request, ...refused });
  else note(raft, { kind: "VoteGranted", ...request, theirs: { term: m.logTerm, index: m.index } });
}

function refusal(raft: Raft, m: Message, free: boolean): Refusal {
  const theirs = { term: m.logTerm, index: m.index };
  if (free) return { because: "logBehind", ours: ourPosition(raft), theirs };
  if (raft.vote !== none) return { because: "alreadyVoted", votedFor: raft.vote, theirs };
  return { because: "leaderKnown", leader: raft.leader, theirs };
}

/** While a leader is heard, others' candidacies are not: a member that was cut off cannot depose it (§6, thesis §4.2.3). */
export function holdsLease(raft: Raft, m: Message): boolean {
  const transfer = campaignTransfer.equals(m.context);
  const heard = raft.leader !== none && raft.electionElapsed < raft.config.electionTicks;
  return raft.config.checkQuorum && heard && !transfer;
}
