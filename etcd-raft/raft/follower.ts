import { campaign, campaignSoon, maxRetries, mayCampaign } from "./candidate.ts";
import { noteLeaderLost } from "./events.ts";
import { commitTo, lastIndex, lastNotAbove, merge, replace, termAt } from "./log.ts";
import { type Raft, send, sendAfterPersist, setConf } from "./state.ts";
import { type Entry, type Input, type Message, type NodeId, none } from "./types.ts";

/** A follower answers leaders and candidates, and forwards what only a leader can do. */
export function stepFollower(raft: Raft, input: Input): void {
  switch (input.type) {
    case "Tick":
      return onTick(raft);
    case "Propose":
      if (raft.leader === none) raft.ready.dropped.proposals.push(...input.data);
      else forward(raft, input.data.map(toEntry));
      break;
    case "ProposeConfChange":
      if (raft.leader === none) raft.ready.dropped.confChanges.push(input.change);
      else forward(raft, [{ term: 0, index: 0, ...input.change }]);
      break;
    case "ReadIndex":
      if (raft.leader === none) raft.ready.dropped.reads.push(input.context);
      else send(raft, "ReadIndex", raft.leader, { term: 0, context: input.context });
      break;
    case "Unreachable":
      return onUnreachable(raft, input.id);
    case "Message":
      return onMessage(raft, input.message);
  }
}

function onMessage(raft: Raft, m: Message): void {
  switch (m.type) {
    case "App":
      return onApp(raft, m);
    case "Snap":
      return onSnap(raft, m);
    case "Heartbeat":
      return onHeartbeat(raft, m);
    case "TimeoutNow":
      if (mayCampaign(raft)) campaign(raft, "transfer");
      break;
    case "Prop":
      // Sent to us when we led. Nobody waits here for it: without a leader it is lost, and its sender times out.
      if (raft.leader !== none) forward(raft, m.entries);
      break;
    case "ReadIndexResp":
      raft.ready.readStates.push({ context: m.context, index: m.index });
      break;
  }
}

function onTick(raft: Raft): void {
  raft.electionElapsed++;
  if (raft.electionElapsed < raft.electionTimeout || !mayCampaign(raft)) return;
  if (raft.leader !== none) raft.retries = maxRetries;
  campaign(raft, raft.config.preVote ? "preElection" : "election");
}

/** AppendEntries (Figure 2). The answer says how far our log is the leader's, once that is durable. */
function onApp(raft: Raft, m: Message): void {
  raft.electionElapsed = 0;
  raft.leader = m.from;
  const { log } = raft;
  if (m.index < log.committed) {
    sendAfterPersist(raft, "AppResp", m.from, { index: log.committed });
  } else if (termAt(log, m.index) === m.logTerm) {
    merge(log, m.entries);
    const last = m.index + m.entries.length;
    commitTo(log, Math.min(m.commit, last)); // what follows `last` may be another leader's
    sendAfterPersist(raft, "AppResp", m.from, { index: last });
  } else {
    // One rejection skips a whole term: name the last of our entries that the leader's entry there may follow.
    const rejectHint = lastNotAbove(log, Math.min(m.index, lastIndex(log)), m.logTerm);
    const logTerm = termAt(log, rejectHint)!;
    send(raft, "AppResp", m.from, { index: m.index, reject: true, rejectHint, logTerm });
  }
}

/** InstallSnapshot (§7). A snapshot of what we have committed is stale; one that our log agrees with only commits. */
function onSnap(raft: Raft, m: Message): void {
  raft.electionElapsed = 0;
  raft.leader = m.from;
  const { log } = raft;
  if (m.index > log.committed) {
    if (termAt(log, m.index) === m.logTerm) {
      commitTo(log, m.index);
    } else {
      const start = { index: m.index, term: m.logTerm };
      if (m.conf) setConf(raft, m.conf);
      raft.ready.snapshot = { ...start, conf: raft.conf };
      replace(log, start);
    }
  }
  sendAfterPersist(raft, "AppResp", m.from, { index: log.committed });
}

function onHeartbeat(raft: Raft, m: Message): void {
  raft.electionElapsed = 0;
  raft.leader = m.from;
  commitTo(raft.log, m.commit);
  send(raft, "HeartbeatResp", m.from, { context: m.context });
}

/**
 * Our connection to the leader broke. If it is only ours, the others' leases answer our pre-vote with silence; if the
 * leader is gone, waiting for the timeout would only prolong the outage. The jitter keeps survivors from splitting the
 * vote; should they do so all the same, they try again as soon (`candidate.ts`). Differs: etcd waits for the election
 * timeout.
 */
function onUnreachable(raft: Raft, id: NodeId): void {
  if (id !== raft.leader || !raft.config.preVote) return;
  noteLeaderLost(raft, "connectionLost");
  raft.leader = none;
  raft.retries = maxRetries;
  campaignSoon(raft);
}

function forward(raft: Raft, entries: Entry[]): void {
  send(raft, "Prop", raft.leader, { term: 0, entries });
}

const toEntry = (data: Uint8Array): Entry => ({ term: 0, index: 0, data, type: 0 });
