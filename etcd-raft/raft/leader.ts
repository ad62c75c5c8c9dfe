import { isVoter } from "./conf.ts";
import { note, noteLeaderLost } from "./events.ts";
import { entriesFrom, lastIndex, lastNotAbove, termAt } from "./log.ts";
import { acknowledged, become, isFull, type Progress, rejected, sent, snapshotSent } from "./progress.ts";
import { committedIndex, isQuorum } from "./quorum.ts";
import { askRead, currentContext, onReadConfirmed } from "./read-index.ts";
import { handOver, leaveJoint, takesConfChange, toldCommit } from "./reconfigure.ts";
import { becomeFollower, becomeLeader } from "./roles.ts";
import { type Raft, send } from "./state.ts";
import { type Entry, type Input, type Message, type NodeId, none, type ProposedConfChange } from "./types.ts";

/** A leader appends, replicates, commits by counting, and steps down when it no longer hears a quorum. */
export function stepLeader(raft: Raft, input: Input): void {
  switch (input.type) {
    case "Tick":
      return onTick(raft);
    case "Propose":
      if (takesProposals(raft)) propose(raft, input.data);
      else raft.ready.dropped.proposals.push(...input.data);
      break;
    case "ProposeConfChange":
      if (!proposeConfChange(raft, input.change)) raft.ready.dropped.confChanges.push(input.change);
      break;
    case "Applied":
      return onApplied(raft);
    case "ReadIndex":
      return onReadIndex(raft, raft.id, input.context);
    case "Persisted":
      return onPersisted(raft);
    case "Unreachable":
      return onUnreachable(raft, input.id);
    case "SnapshotSent": {
      const p = raft.progress.get(input.id);
      if (p) snapshotSent(p, input.index);
      break;
    }
    case "TransferLeader":
      return onTransferLeader(raft, input.to);
    case "TellCommit":
      for (const p of raft.progress.values()) if (p.commitSent < input.index) tellCommit(raft, p);
      break;
    case "Message":
      return onMessage(raft, input.message);
  }
}

function onMessage(raft: Raft, m: Message): void {
  const p = raft.progress.get(m.from);
  if (p === undefined) return;
  switch (m.type) {
    case "AppResp":
      return onAppResp(raft, m, p);
    case "HeartbeatResp":
      return onHeartbeatResp(raft, m, p);
    case "Prop":
      return onProp(raft, m.entries, p);
    case "ReadIndex":
      return onReadIndex(raft, m.from, m.context);
  }
}

function onApplied(raft: Raft): void {
  if (raft.pendingConfIndex > 0 && raft.pendingConfIndex <= raft.log.applied) {
    raft.pendingConfIndex = 0;
    for (const p of raft.progress.values()) spreadCommit(raft, p);
  }
  leaveJoint(raft);
}

/** A candidate won. Its empty entry, once committed, commits all that came before it (§5.4.2, §8). */
export function lead(raft: Raft): void {
  becomeLeader(raft);
  propose(raft, [new Uint8Array(0)]);
}

export function propose(raft: Raft, data: Uint8Array[], type = 0): void {
  const { log, term } = raft;
  const first = lastIndex(log) + 1;
  for (const [i, bytes] of data.entries()) log.tail.push({ term, index: first + i, data: bytes, type });
  broadcastAppends(raft);
}

function broadcastAppends(raft: Raft): void {
  for (const p of raft.progress.values()) if (p.id !== raft.id) sendAppends(raft, p);
}

/** What was committed under one configuration is told at once: the next one may need others to lead. */
export function broadcastCommit(raft: Raft): void {
  broadcastAppends(raft);
  for (const p of raft.progress.values()) tellCommit(raft, p);
}

const takesProposals = (raft: Raft): boolean => raft.voter && raft.transferee === none;

function proposeConfChange(raft: Raft, change: ProposedConfChange): boolean {
  if (!takesProposals(raft) || !takesConfChange(raft, change)) return false;
  raft.pendingConfIndex = lastIndex(raft.log) + 1;
  propose(raft, [change.data], change.type);
  return true;
}

/** Forwarded by a follower. What is not taken is lost: its proposer runs into its deadline, as with etcd. */
function onProp(raft: Raft, entries: Entry[], from: Progress): void {
  if (!takesProposals(raft)) return;
  const normal = entries.flatMap(({ type, data }) => (type === 0 ? [data] : []));
  if (normal.length > 0) propose(raft, normal);
  if (normal.length < entries.length) for (const entry of entries) if (entry.type !== 0) proposeConfChange(raft, entry);
  from.awaits = lastIndex(raft.log);
}

function onTick(raft: Raft): void {
  raft.heartbeatElapsed++;
  if (++raft.electionElapsed >= raft.config.electionTicks) {
    raft.electionElapsed = 0;
    if (raft.transferee !== none) note(raft, { kind: "TransferAborted", peer: raft.transferee });
    raft.transferee = none; // it had an election timeout's time (thesis §3.10)
    if (!raft.voter || (raft.config.checkQuorum && !checkQuorum(raft))) {
      noteLeaderLost(raft, raft.voter ? "quorumLost" : "removed");
      becomeFollower(raft, raft.term, none);
      return;
    }
    leaveJoint(raft);
  }
  if (raft.heartbeatElapsed >= raft.config.heartbeatTicks) broadcastHeartbeat(raft);
}

/** Was a quorum heard of since the last check? */
function checkQuorum(raft: Raft): boolean {
  const active = isQuorum(raft.counted, (p) => p.recentActive || p.id === raft.id);
  for (const p of raft.progress.values()) p.recentActive = false;
  return active;
}

function broadcastHeartbeat(raft: Raft): void {
  raft.heartbeatElapsed = 0;
  const context = currentContext(raft);
  for (const p of raft.progress.values()) {
    // A member may only be told to commit what it is known to hold.
    const commit = Math.min(p.matchIndex, toldCommit(raft));
    if (p.id !== raft.id) send(raft, "Heartbeat", p.id, { commit, context });
  }
}

function onAppResp(raft: Raft, m: Message, p: Progress): void {
  p.recentActive = true;
  if (m.reject) {
    const hint = lastNotAbove(raft.log, m.rejectHint, m.logTerm);
    if (rejected(p, m.index, hint)) sendAppends(raft, p);
    return;
  }
  if (!acknowledged(p, m.index, raft.log.start.index)) return;
  maybeCommit(raft);
  sendAppends(raft, p);
  spreadCommit(raft, p);
  if (p.id === raft.transferee) handOver(raft, p);
}

function onHeartbeatResp(raft: Raft, m: Message, p: Progress): void {
  p.recentActive = true;
  if (p.state !== "snapshot") p.paused = false;
  // An append without entries finds out whether the last ones were lost: it is rejected if they were.
  if (!p.paused && (p.matchIndex < lastIndex(raft.log) || p.state === "probe")) sendAppend(raft, p);
  if (m.context.length > 0) onReadConfirmed(raft, m.from, m.context);
  if (!raft.voter && p.id === raft.transferee) handOver(raft, p); // perhaps it could not campaign yet
}

/** Our own disk is one voice in the count, and speaks only now. */
function onPersisted(raft: Raft): void {
  const self = raft.progress.get(raft.id);
  if (self === undefined || raft.log.persisted <= self.matchIndex) return;
  self.matchIndex = raft.log.persisted;
  maybeCommit(raft);
}

/** Commits what a quorum holds, if it is of our own term: Figure 8 shows why no other may be counted. */
export function maybeCommit(raft: Raft): void {
  const { log } = raft;
  const index = committedIndex(raft.counted.map((group) => group.map((p) => p.matchIndex)));
  if (index <= log.committed || termAt(log, index) !== raft.term) return;
  log.committed = index;
  for (const p of raft.progress.values()) spreadCommit(raft, p);
  for (const asked of raft.reads.waiting.splice(0)) onReadIndex(raft, asked.from, asked.context);
}

function onReadIndex(raft: Raft, from: NodeId, context: Uint8Array): void {
  const ownTermCommitted = termAt(raft.log, raft.log.committed) === raft.term;
  if (askRead(raft, { from, context }, ownTermCommitted)) broadcastHeartbeat(raft);
}

function onUnreachable(raft: Raft, id: NodeId): void {
  const p = raft.progress.get(id);
  if (p?.state === "replicate" && id !== raft.id) become(p, "probe"); // what was in flight is lost, most likely
}

/** Stops taking proposals, brings the target up to date, then tells it to campaign at once (thesis §3.10). */
function onTransferLeader(raft: Raft, to: NodeId): void {
  const p = raft.progress.get(to);
  if (p === undefined || !isVoter(raft.conf, to) || to === raft.id || to === raft.transferee) return;
  raft.electionElapsed = 0;
  raft.transferee = to;
  note(raft, { kind: "TransferStarted", peer: to });
  if (!handOver(raft, p)) sendAppends(raft, p);
}

/** As many appends as there are entries to send and the window allows. */
function sendAppends(raft: Raft, p: Progress): void {
  while (!p.paused && p.nextIndex <= lastIndex(raft.log)) sendAppend(raft, p);
}

/**
 * What is committed is told by the next append, which under load comes at once: an append for the commit index alone would
 * double the messages of each write. Who proposed an entry itself does not wait; the others hear it with `TellCommit`.
 * Differs: etcd sends one at once.
 */
function spreadCommit(raft: Raft, p: Progress): void {
  const commit = toldCommit(raft);
  if (p.id === raft.id || p.commitSent >= commit) return;
  if (p.awaits > p.commitSent) tellCommit(raft, p);
  else raft.ready.commitNews = commit;
}

function tellCommit(raft: Raft, p: Progress): void {
  if (p.id !== raft.id && !p.paused && p.commitSent < toldCommit(raft)) sendAppend(raft, p);
}

/** One append, without entries when there are none left or the window is full: it still carries the commit index. */
function sendAppend(raft: Raft, p: Progress): void {
  const { log, config } = raft;
  const index = p.nextIndex - 1;
  if (index < log.start.index) {
    sendSnapshot(raft, p);
    return;
  }
  const full = isFull(p, config);
  const entries = full ? [] : entriesFrom(log, p.nextIndex, config.maxSizePerMessage);
  p.commitSent = toldCommit(raft);
  send(raft, "App", p.id, { index, logTerm: termAt(log, index)!, entries, commit: p.commitSent });
  sent(p, entries, config);
}

/** Nobody waits for a member that may be gone: only one that was heard of lately is worth the whole state. */
function sendSnapshot(raft: Raft, p: Progress): void {
  const { log } = raft;
  p.paused = true; // until its next heartbeat
  const logTerm = termAt(log, log.applied);
  if (!p.recentActive || logTerm === undefined) return; // undefined: our own state is still being put in place
  send(raft, "Snap", p.id, { index: log.applied, logTerm, conf: raft.conf });
  become(p, "snapshot");
}
