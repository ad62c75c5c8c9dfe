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
  /** The leader proposes to leave the joint configuration by itself. */
  autoLeave: boolean;
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
export function confOf(voters: readonly NodeId[], learners: readonly NodeId[] = []): ConfState {
  return {
    voters: sorted(voters),
    learners: sorted(learners),
    votersOutgoing: [],
    learnersNext: [],
    autoLeave: false,
  };
}

export function isJoint(conf: ConfState): boolean {
  return conf.votersOutgoing.length > 0;
}

/** The groups of which a majority each decides. */
export function groupsOf({ voters, votersOutgoing }: ConfState): NodeId[][] {
  return votersOutgoing.length > 0 ? [voters, votersOutgoing] : [voters];
}

/** May it elect and lead? In a joint configuration the leaving ones still do. */
export function isVoter(conf: ConfState, id: NodeId): boolean {
  return conf.voters.includes(id) || conf.votersOutgoing.includes(id);
}

/** Everybody who is replicated to. */
export function everybody({ voters, learners, votersOutgoing }: ConfState): NodeId[] {
  return sorted(new Set([...voters, ...votersOutgoing, ...learners]));
}

/** Throws ConfChangeError, with the same outcome on every member. */
export function changed(conf: ConfState, { transition, changes }: ConfChange): ConfState {
  if (changes.length === 0 && transition === "auto") return leave(conf);
  const joint = transition !== "auto" || changes.length > 1;
  if (isJoint(conf)) throw new ConfChangeError("a joint configuration is left before the next change");
  const next = new Draft(joint ? { ...conf, votersOutgoing: conf.voters } : conf);
  for (const { type, id } of changes) if (id !== none) next.apply(type, id);
  if (next.voters.size === 0) throw new ConfChangeError("somebody has to vote");
  return next.state(joint && transition !== "explicit");
}

function leave(conf: ConfState): ConfState {
  if (!isJoint(conf)) throw new ConfChangeError("there is no joint configuration to leave");
  return confOf(conf.voters, [...conf.learners, ...conf.learnersNext]);
}

class Draft {
  readonly voters: Set<NodeId>;
  readonly #learners: Set<NodeId>;
  readonly #outgoing: Set<NodeId>;
  readonly #learnersNext: Set<NodeId>;

  constructor({ voters, learners, votersOutgoing, learnersNext }: ConfState) {
    this.voters = new Set(voters);
    this.#learners = new Set(learners);
    this.#outgoing = new Set(votersOutgoing);
    this.#learnersNext = new Set(learnersNext);
  }

  apply(type: ConfChange["changes"][number]["type"], id: NodeId): void {
    if (type === "Update" || (type === "AddLearner" && this.#learners.has(id))) return;
    this.voters.delete(id);
    this.#learners.delete(id);
    this.#learnersNext.delete(id);
    if (type === "AddVoter") this.voters.add(id);
    // It still votes in the outgoing group, so it cannot be a learner yet.
    else if (type === "AddLearner") (this.#outgoing.has(id) ? this.#learnersNext : this.#learners).add(id);
  }

  state(autoLeave: boolean): ConfState {
    return {
      voters: sorted(this.voters),
      learners: sorted(this.#learners),
      votersOutgoing: sorted(this.#outgoing),
      learnersNext: sorted(this.#learnersNext),
      autoLeave,
    };
  }
}

function sorted(ids: Iterable<NodeId>): NodeId[] {
  return [...ids].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}
