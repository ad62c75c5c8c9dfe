import { nonZeroRequestsOf } from "../node-info.ts";
import { maxScore, type ScorePlugin } from "../plugin.ts";

/** Prefers the node that would have the greater part of its CPU and memory left. */
export const leastAllocated: ScorePlugin = {
  weight: 1,
  score(pod, nodes) {
    const requests = nonZeroRequestsOf(pod);
    return nodes.map(({ allocatable, nonZeroRequested }) => {
      const parts = ["cpu", "memory"].map((name) => {
        const there = allocatable[name] ?? 0;
        const used = (nonZeroRequested[name] ?? 0) + (requests[name] ?? 0);
        return there === 0 || used > there ? 0 : Math.floor(((there - used) * maxScore) / there);
      });
      return Math.floor((parts[0]! + parts[1]!) / 2);
    });
  },
};
