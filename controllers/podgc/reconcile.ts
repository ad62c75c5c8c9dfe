import { isPodTerminal } from "../../api/core/pod-status.ts";
import type { Pod } from "../../api/generated/core-v1.ts";
import type { RequeueAfter } from "../runner.ts";

export interface State {
  pod: Pod;
  /** For how long its node has been gone; undefined when the node exists or the Pod has none. */
  nodeGoneForMs: number | undefined;
}

export type Action = { type: "ForceDelete"; reason: "NodeGone" | "NeverScheduled" };

/** A node that comes back under its name within this time keeps its Pods. */
export const quarantineMs = 40_000;

/** Removes Pods that no node agent will ever finish (pkg/controller/podgc). */
export function reconcile({ pod, nodeGoneForMs }: State): (Action | RequeueAfter)[] {
  if (pod.metadata.deletionTimestamp !== undefined && !pod.spec.nodeName && !isPodTerminal(pod))
    return [{ type: "ForceDelete", reason: "NeverScheduled" }];
  if (nodeGoneForMs === undefined) return [];
  if (nodeGoneForMs < quarantineMs) return [{ type: "RequeueAfter", ms: quarantineMs - nodeGoneForMs }];
  return [{ type: "ForceDelete", reason: "NodeGone" }];
}
