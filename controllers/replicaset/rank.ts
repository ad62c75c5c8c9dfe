import { isPodActive, isPodReady, podCondition } from "../../api/core/pod-status.ts";
import type { Pod } from "../../api/generated/core-v1.ts";
import { parseTime } from "../../apimachinery/time.ts";

/**
 * Which Pods go first when there are too many: those whose loss costs least (upstream's ActivePodsWithRanks). In order:
 * not assigned, then not running, then not ready, then lower `controller.kubernetes.io/pod-deletion-cost`, then on a
 * node with more of the same workload, then ready for a shorter time, then restarted more often, then younger. Times are
 * compared by order of magnitude (KEP-2185); within one, the uid decides, as good as at random.
 */
export function deletionOrder(pods: readonly Pod[], related: readonly Pod[], nowMs: number): Pod[] {
  const perNode = new Map<string | undefined, number>();
  for (const pod of related) {
    if (isPodActive(pod)) perNode.set(pod.spec.nodeName, (perNode.get(pod.spec.nodeName) ?? 0) + 1);
  }
  const keys = new Map(pods.map((pod) => [pod, rank(pod, perNode.get(pod.spec.nodeName) ?? 0)]));
  return [...pods].sort((a, b) => compare(keys.get(a)!, keys.get(b)!, nowMs));
}

interface Rank {
  /** Compared in order, smaller goes first. */
  steps: number[];
  readyMs: number | undefined;
  restarts: number;
  createdMs: number;
  uid: string;
}

const phaseOrder: Record<string, number> = { Pending: 0, Unknown: 1, Running: 2 };

function rank(pod: Pod, doubledUp: number): Rank {
  const { metadata, spec, status } = pod;
  const ready = isPodReady(pod);
  const cost = Number(metadata.annotations?.["controller.kubernetes.io/pod-deletion-cost"] ?? 0);
  return {
    steps: [
      spec.nodeName ? 1 : 0,
      phaseOrder[status?.phase ?? "Pending"] ?? 0,
      ready ? 1 : 0,
      Number.isInteger(cost) ? cost : 0,
      -doubledUp,
    ],
    readyMs: ready ? parseTime(podCondition(pod, "Ready")?.lastTransitionTime) || undefined : undefined,
    restarts: Math.max(0, ...(status?.containerStatuses ?? []).map(({ restartCount }) => restartCount)),
    createdMs: parseTime(metadata.creationTimestamp) || 0,
    uid: metadata.uid!,
  };
}

function compare(a: Rank, b: Rank, nowMs: number): number {
  for (let i = 0; i < a.steps.length; i++) {
    const difference = a.steps[i]! - b.steps[i]!;
    if (difference !== 0) return difference;
  }
  if (a.readyMs !== undefined && b.readyMs !== undefined && a.readyMs !== b.readyMs)
    return magnitude(nowMs - a.readyMs) - magnitude(nowMs - b.readyMs) || byUid(a, b);
  if (a.restarts !== b.restarts) return b.restarts - a.restarts;
  if (a.createdMs !== b.createdMs)
    return magnitude(nowMs - a.createdMs) - magnitude(nowMs - b.createdMs) || byUid(a, b);
  return byUid(a, b);
}

const magnitude = (ms: number): number => (ms <= 0 ? -1 : Math.floor(Math.log2(ms * 1e6)));

const byUid = (a: Rank, b: Rank): number => (a.uid < b.uid ? -1 : a.uid > b.uid ? 1 : 0);
