import { type ConfState, everybody, isJoint, isVoter } from "./conf.ts";
import { broadcastCommit, maybeCommit, propose } from "./leader.ts";
import { lastIndex, slice } from "./log.ts";
import { createProgress, type Progress } from "./progress.ts";
import { type Raft, send, setConf } from "./state.ts";
import { none, type ProposedConfChange } from "./types.ts";

/**
 * The leader's part in a change of configuration. It takes effect when the entry is *applied* (etcd's rule; in the paper, when
 * it is appended), and only one may be under way: two at once could each shift the majority by one, and no longer overlap.
 */
export function onConfChange(raft: Raft, conf: ConfState): void {
  setConf(raft, conf);
  if (raft.role !== "leader") return;
  broadcastCommit(raft); // also to those who leave: it is the last that they hear of us
  track(raft);
  if (!isVoter(conf, raft.transferee)) raft.transferee = none;
  maybeCommit(raft); // with fewer voters more may be committed
  broadcastCommit(raft); // to newcomers
  if (!raft.voter) resign(raft);
}

/** What is counted follows the configuration. A newcomer counts as heard of, or its first check would end the lead. */
export function track(raft: Raft): void {
  const { conf, groups, log } = raft;
  const before = raft.progress;
  raft.progress = new Map();
  for (const id of everybody(conf)) {
    const p = before.get(id) ?? { ...createProgress(id, lastIndex(log) + 1), recentActive: before.size > 0 };
    raft.progress.set(id, p);
  }
  raft.counted = groups.map((group) => group.map((id) => raft.progress.get(id)!));
}

/**
 * The commit index for others to hear of. It stops before a change of configuration that is not applied here, and so not known
 * on our disk to be committed: who is told may leave, and after a crash of ours nobody would be left to commit it again.
 */
export function toldCommit({ log, pendingConfIndex }: Raft): number {
  if (log.applied >= pendingConfIndex) return log.committed;
  const change = slice(log, log.applied + 1, log.committed).find(({ type }) => type !== 0);
  return change ? change.index - 1 : log.committed;
}

/** One at a time; into a joint configuration and out of it by turns. `pendingConfIndex` says whether the last is applied. */
export function takesConfChange(raft: Raft, { type, data }: ProposedConfChange): boolean {
  const leaves = type === 2 && data.length === 0;
  return raft.pendingConfIndex <= raft.log.applied && isJoint(raft.conf) === leaves;
}

/** Once a joint configuration is applied, nothing is to be waited for. */
export function leaveJoint(raft: Raft): void {
  const leave = { type: 2, data: new Uint8Array(0) };
  if (!raft.conf.autoLeave || raft.transferee !== none || !takesConfChange(raft, leave)) return;
  raft.pendingConfIndex = lastIndex(raft.log) + 1;
  propose(raft, [leave.data], leave.type);
}

/**
 * We lead and are no voter any more (thesis §4.2.2). Our removal is committed, but whoever leads next must come to know it: we
 * go on replicating, take no proposals, and hand over to the voter that has most; an election timeout later it is over in any
 * case. Differs: etcd leads on until its process ends.
 */
function resign(raft: Raft): void {
  let best: Progress | undefined;
  for (const p of raft.counted[0]!) if (p.recentActive && p.matchIndex > (best?.matchIndex ?? -1)) best = p;
  raft.electionElapsed = 0;
  if (best === undefined) return;
  raft.transferee = best.id;
  handOver(raft, best);
}

/** Tells the transferee to campaign, once it has all that we have. */
export function handOver(raft: Raft, p: Progress): boolean {
  if (p.matchIndex !== lastIndex(raft.log)) return false;
  send(raft, "TimeoutNow", p.id);
  return true;
}
