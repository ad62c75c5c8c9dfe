import { type NodeId, none } from "./types.ts";

/**
 * Who takes part, and what a change makes of it (§6, thesis chapter 4). Pure arithmetic on sets: `changed(conf, change)` is
 * the same on every member, since every member applies the same changes in the same order.
 *
 * - voters: elect, commit, lead. learners: are replicated to, but counted nowhere.
 * - joint (`votersOutgoing` is not empty): elections, commits and reads need a majority of `voters` *and* one of
 *   `votersOutgoing`. A voter that becomes a learner stays in `learnersNext` until the joint configuration is left.
 *
 * A change of one voter takes one step: majorities of the old and the new voters share a member. Anything larger goes
 * through a joint configuration. Lists ascend. Shape and names are those of raftpb.ConfState.
 */
export interface ConfState {
  voters: NodeId[];
  learners: NodeId[];
  votersOutgoing: NodeId[];
  learnersNext: NodeId[];
  autoLeave: boolean; // the leader proposes to leave the joint configuration by itself
}

export interface ConfChange {
  /** `auto`: joint if there is more than one change. `explicit`: joint, and left by a change of its own. */
  transition: "auto" | "implicit" | "explicit";
  /** None: leave the joint configuration. A change of member `none` does nothing. */
  changes: { type: "AddVoter" | "AddLearner" | "Remove" | "Update"; id: NodeId }[];
}

/** The change does not fit the configuration. */
export class ConfChangeError extends Error {}

/** A configuration with nobody else. */
export function confOf(voters: Iterable<NodeId>, learners: Iterable<NodeId> = []): ConfState {
  const alone = { votersOutgoing: [], learnersNext: [], autoLeave: false };
  return { voters: sorted(voters), learners: sorted(learners), ...alone };
}

export const isJoint = (conf: ConfState): boolean => conf.votersOutgoing.length > 0;

/** The groups of which a majority each decides. */
export const groupsOf = ({ voters, votersOutgoing }: ConfState): NodeId[][] =>
  votersOutgoing.length > 0 ? [voters, votersOutgoing] : [voters];

/** May it elect and lead? In a joint configuration the leaving ones still do. */
export const isVoter = (conf: ConfState, id: NodeId): boolean =>
  conf.voters.includes(id) || conf.votersOutgoing.includes(id);

/** Everybody who is replicated to. */
export const everybody = ({ voters, learners, votersOutgoing }: ConfState): NodeId[] =>
  sorted(new Set([...voters, ...votersOutgoing, ...learners]));

/** Throws ConfChangeError, with the same outcome on every member. */
export function changed(conf: ConfState, { transition, changes }: ConfChange): ConfState {
  if (changes.length === 0 && transition === "auto") return leave(conf);
  const joint = transition !== "auto" || changes.length > 1;
  if (isJoint(conf)) throw new ConfChangeError("a joint configuration is left before the next change");
  const votersOutgoing = joint ? conf.voters : [];
  const voters = new Set(conf.voters);
  const learners = new Set(conf.learners);
  const learnersNext = new Set(conf.learnersNext);
  for (const { type, id } of changes) {
    if (id === none || type === "Update" || (type === "AddLearner" && learners.has(id))) continue;
    for (const ids of [voters, learners, learnersNext]) ids.delete(id);
    if (type === "AddVoter") voters.add(id);
    // It still votes in the outgoing group, so it cannot be a learner yet.
    else if (type === "AddLearner") (votersOutgoing.includes(id) ? learnersNext : learners).add(id);
  }
  if (voters.size === 0) throw new ConfChangeError("somebody has to vote");
  const autoLeave = joint && transition !== "explicit";
  return { ...confOf(voters, learners), votersOutgoing, learnersNext: sorted(learnersNext), autoLeave };
}

function leave(conf: ConfState): ConfState {
  if (!isJoint(conf)) throw new ConfChangeError("there is no joint configuration to leave");
  return confOf(conf.voters, [...conf.learners, ...conf.learnersNext]);
}

const sorted = (ids: Iterable<NodeId>): NodeId[] => [...ids].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
