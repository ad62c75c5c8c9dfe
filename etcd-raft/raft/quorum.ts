import type { NodeId } from "./types.ts";

/** How many of `voters` decide: any two such sets share a member, and on that rests every proof of the paper. */
export function quorum(voters: number): number {
  return (voters >> 1) + 1;
}

/** The highest index that a quorum holds, from one match index a voter. Sorts `matched` in place. */
export function committedIndex(matched: number[]): number {
  matched.sort((a, b) => b - a);
  return matched[quorum(matched.length) - 1]!;
}

export type VoteResult = "won" | "lost" | "pending";

export function voteResult(votes: ReadonlyMap<NodeId, boolean>, voters: number): VoteResult {
  let granted = 0;
  for (const vote of votes.values()) if (vote) granted++;
  if (granted >= quorum(voters)) return "won";
  const missing = voters - votes.size;
  return granted + missing < quorum(voters) ? "lost" : "pending";
}
