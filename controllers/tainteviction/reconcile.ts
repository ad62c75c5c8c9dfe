import { isPodTerminal } from "../../api/core/pod-status.ts";
import { tolerates } from "../../api/core/taints.ts";
import type { Pod, Taint } from "../../api/generated/core-v1.ts";
import type { RequeueAfter } from "../runner.ts";

export interface State {
  pod: Pod;
  /** The NoExecute taints of its node. */
  taints: Taint[];
  /** For how long the Pod has been on a node with such taints, as far as we have seen. */
  taintedForMs: number;
}

export type Action = { type: "Evict" };

/**
 * Deletes a Pod from a node whose NoExecute taints it does not tolerate: at once where one taint is not tolerated at
 * all, else after the shortest tolerationSeconds among the tolerations that apply (pkg/controller/tainteviction).
 */
export function reconcile({ pod, taints, taintedForMs }: State): (Action | RequeueAfter)[] {
  if (taints.length === 0 || pod.metadata.deletionTimestamp !== undefined || isPodTerminal(pod)) return [];
  let shortestMs = Number.POSITIVE_INFINITY;
  for (const taint of taints) {
    const applying = (pod.spec.tolerations ?? []).filter((toleration) => tolerates(toleration, taint));
    if (applying.length === 0) return [{ type: "Evict" }];
    for (const { tolerationSeconds } of applying)
      if (tolerationSeconds !== undefined) shortestMs = Math.min(shortestMs, Math.max(0, tolerationSeconds) * 1000);
  }
  if (shortestMs === Number.POSITIVE_INFINITY) return [];
  return taintedForMs >= shortestMs ? [{ type: "Evict" }] : [{ type: "RequeueAfter", ms: shortestMs - taintedForMs }];
}
