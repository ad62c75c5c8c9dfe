import { etcdError } from "../errors.ts";
import { quorum } from "../raft/quorum.ts";
import type { MemberRecord } from "../snap/membership.ts";

/**
 * etcd's rules for a change of members (`--strict-reconfig-check`): none that could cost the cluster its majority. Pure;
 * each throws the error that the caller gets. "Started" is who has published a name, "connected" who has been reached for
 * `healthMs` without a break.
 */
export interface Health {
  self: bigint;
  members: ReadonlyMap<bigint, MemberRecord>;
  /** For how many milliseconds there has been a connection; undefined: there is none. */
  connectedMs(id: bigint): number | undefined;
}

export function checkAdd(health: Health, isLearner: boolean): void {
  const voters = votersOf(health);
  // Alone and started: a second one may be added, or it could never have a second one.
  const alone = voters.length === 1 && started(voters) === 1;
  if (!isLearner && !alone && started(voters) < quorum(voters.length + 1)) throw etcdError("notEnoughStarted");
  // As if the new voter were down, which it is at first.
  const needed = isLearner || alone ? quorum(voters.length) : quorum(voters.length + 1);
  if (connected(health, voters) < needed) throw etcdError("unhealthy");
}

export function checkRemove(health: Health, id: bigint): void {
  if (health.members.get(id)?.isLearner) return;
  const voters = votersOf(health);
  const others = voters.filter((member) => member.id !== id);
  if (started(others) < quorum(others.length)) throw etcdError("notEnoughStarted");
  // Who is down takes nobody's majority along.
  if (id !== health.self && health.connectedMs(id) === undefined) return;
  if (connected(health, voters) - 1 < quorum(voters.length - 1)) throw etcdError("unhealthy");
}

/** `matched`: how far the logs of the leader and the learner are durable; undefined for a learner that the leader does not know. */
export function checkPromote(
  health: Health,
  strict: boolean,
  matched: { leader: number; learner: number | undefined },
): void {
  const voters = votersOf(health);
  if (matched.learner === undefined) throw etcdError("memberNotFound");
  if (matched.learner < readyShare * matched.leader) throw etcdError("learnerNotReady");
  if (strict && started(voters) + 1 < quorum(voters.length + 1)) throw etcdError("notEnoughStarted");
}

const votersOf = ({ members }: Health) => [...members.values()].filter(({ isLearner }) => !isLearner);

const started = (members: MemberRecord[]) => members.filter(({ name }) => name !== "").length;

const connected = ({ self, connectedMs }: Health, members: MemberRecord[]) =>
  members.filter(({ id }) => id === self || (connectedMs(id) ?? 0) >= healthMs).length;

export const healthMs = 5000;
const readyShare = 0.9;
