import type { NodeId } from "./types.ts";

/**
 * What majorities decide. There is one group of voters, or two while a configuration gives way to another (joint
 * consensus, thesis §4.3): then each group must agree.
 */

/** How many of `voters` decide: any two such sets share a member, and on that rests every proof of the paper. */
export const quorum = (voters: number): number => (voters >> 1) + 1;

/** The highest index that a quorum of each group holds, from one match index a voter. Sorts the groups in place. */
export function committedIndex(groups: readonly number[][]): number {
  let index = Number.POSITIVE_INFINITY;
  for (const matched of groups) {
    matched.sort((a, b) => b - a);
    index = Math.min(index, matched[quorum(matched.length) - 1] ?? 0);
  }
  return index;
}

/** Do those who satisfy `holds` make up a quorum of each group? */
export function isQuorum<T>(groups: readonly (readonly T[])[], holds: (voter: T) => boolean): boolean {
  for (const group of groups) {
    let count = 0;
    for (const voter of group) if (holds(voter)) count++;
    if (count < quorum(group.length)) return false;
  }
  return true;
}

export type VoteResult = "won" | "lost" | "pending";

/** Answers of those who are in no group do not count. */
export function voteResult(votes: ReadonlyMap<NodeId, boolean>, groups: readonly (readonly NodeId[])[]): VoteResult {
  if (isQuorum(groups, (id) => votes.get(id) === true)) return "won";
  return isQuorum(groups, (id) => votes.get(id) !== false) ? "pending" : "lost";
}
