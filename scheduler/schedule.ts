import type { Pod } from "../api/generated/core-v1.ts";
import type { Rand } from "../base/rand.ts";
import type { NodeInfo } from "./node-info.ts";
import type { FilterPlugin, Rejection, ScorePlugin } from "./plugin.ts";
import { leastAllocated } from "./plugins/least-allocated.ts";
import { nodeAffinity, preferredNodeAffinity } from "./plugins/node-affinity.ts";
import { nodeName } from "./plugins/node-name.ts";
import { nodePorts } from "./plugins/node-ports.ts";
import { nodeResourcesFit } from "./plugins/node-resources-fit.ts";
import { nodeUnschedulable } from "./plugins/node-unschedulable.ts";
import { spread } from "./plugins/spread.ts";
import { preferNoSchedule, taintToleration } from "./plugins/taint-toleration.ts";

/** By upstream's names, in its order: the first plugin that rejects a node gives the reasons. */
export const filters: readonly FilterPlugin[] = [
  nodeUnschedulable,
  nodeName,
  taintToleration,
  nodeAffinity,
  nodePorts,
  nodeResourcesFit,
];

/** Upstream's TaintToleration, NodeAffinity, NodeResourcesFit and PodTopologySpread. */
export const scores: readonly ScorePlugin[] = [preferNoSchedule, preferredNodeAffinity, leastAllocated, spread];

export type Decision = { node: string } | { unschedulable: string };

/**
 * Picks a node: of those that all filters let pass, the one with the greatest weighted sum of scores; of equals, any.
 * Otherwise says why there is none, in upstream's words: people and programs read them.
 */
export function schedule(pod: Pod, nodes: readonly NodeInfo[], rand: Rand): Decision {
  if (nodes.length === 0) return { unschedulable: "no nodes available to schedule pods" };
  const feasible: NodeInfo[] = [];
  const rejected: { node: NodeInfo; rejection: Rejection }[] = [];
  for (const node of nodes) {
    const rejection = firstRejection(pod, node);
    if (rejection === undefined) feasible.push(node);
    else rejected.push({ node, rejection });
  }
  if (feasible.length === 0) return { unschedulable: explain(pod, rejected) };
  const totals = feasible.map(() => 0);
  for (const { weight, score } of scores) {
    for (const [i, points] of score(pod, feasible).entries()) totals[i]! += weight * points;
  }
  const best = Math.max(...totals);
  const winners = feasible.filter((_, i) => totals[i] === best);
  return { node: winners[rand.below(winners.length)]!.node.metadata.name };
}

function firstRejection(pod: Pod, node: NodeInfo): Rejection | undefined {
  for (const filter of filters) {
    const rejection = filter(pod, node);
    if (rejection !== undefined) return rejection;
  }
  return undefined;
}

function explain(pod: Pod, rejected: readonly { node: NodeInfo; rejection: Rejection }[]): string {
  const reasons = histogram(rejected.flatMap(({ rejection }) => rejection.reasons));
  const text = `0/${rejected.length} nodes are available: ${reasons}.`;
  // Pods of lower priority could make room; they are not made to yet, and the text that there are none would be untrue.
  const priority = pod.spec.priority ?? 0;
  const hasVictims = rejected.some(
    ({ node, rejection }) =>
      !rejection.unresolvable && node.pods.some((other) => (other.spec.priority ?? 0) < priority),
  );
  if (hasVictims) return text;
  const outcomes = rejected.map(({ rejection }) =>
    rejection.unresolvable
      ? "Preemption is not helpful for scheduling"
      : "No preemption victims found for incoming pod",
  );
  return `${text} preemption: 0/${rejected.length} nodes are available: ${histogram(outcomes)}.`;
}

/** `2 Insufficient cpu, 1 node(s) were unschedulable`, sorted as text. */
function histogram(reasons: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return [...counts]
    .map(([reason, count]) => `${count} ${reason}`)
    .sort()
    .join(", ");
}
