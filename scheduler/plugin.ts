import type { Pod } from "../api/generated/core-v1.ts";
import type { NodeInfo } from "./node-info.ts";

/** Why a Pod cannot be on a node, in upstream's words. */
export interface Rejection {
  reasons: readonly string[];
  /** Taking other Pods away from the node would not help either. */
  unresolvable: boolean;
}

/** One consideration in one file. Pure: what it says follows from the Pod and the nodes as they are. */
export type FilterPlugin = (pod: Pod, node: NodeInfo) => Rejection | undefined;

export interface ScorePlugin {
  weight: number;
  /** From 0 to 100 a node, greater is better. */
  score(pod: Pod, nodes: readonly NodeInfo[]): number[];
}

export const maxScore = 100;

/** Scales so that the greatest is 100; `reverse` turns it round, so that the smallest raw score is best. */
export function normalize(raw: readonly number[], reverse = false): number[] {
  const greatest = Math.max(0, ...raw);
  if (greatest === 0) return raw.map(() => (reverse ? maxScore : 0));
  return raw.map((score) => {
    const scaled = Math.floor((score * maxScore) / greatest);
    return reverse ? maxScore - scaled : scaled;
  });
}
