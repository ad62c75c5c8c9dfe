import { isPodReady } from "../../api/core/pod-status.ts";
import type { Node, NodeCondition, Pod, Taint } from "../../api/generated/core-v1.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { formatTime } from "../../apimachinery/time.ts";
import type { RequeueAfter } from "../runner.ts";

export interface State {
  node: Node;
  pods: Pod[];
  /** Since the last sign of life, by our own clock: a renewed Lease or a changed status. */
  silentMs: number;
  graceMs: number;
  /** No node at all is ready: then the fault is more likely ours, and nobody is driven from anywhere. */
  noNodeIsReady: boolean;
  nowMs: number;
}

export type Action =
  | { type: "UpdateConditions"; conditions: NodeCondition[] }
  | { type: "SetTaints"; taints: Taint[] }
  | { type: "MarkPodNotReady"; pod: Pod };

const prefix = "node.kubernetes.io/";
export const notReadyTaint = `${prefix}not-ready`;
export const unreachableTaint = `${prefix}unreachable`;

/** The conditions that only the node itself can tell. */
const reported = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/**
 * A node that gives no sign of life for the grace period is Unknown; what its conditions say becomes taints, which keep
 * new Pods away (NoSchedule) and drive Pods off (NoExecute). (pkg/controller/nodelifecycle, KEP-166, KEP-589)
 */
export function reconcile(state: State): (Action | RequeueAfter)[] {
  const { node, silentMs, graceMs, nowMs } = state;
  if (node.metadata.deletionTimestamp !== undefined) return [];
  const isStale = silentMs >= graceMs;
  const conditions = isStale ? unknown(node, nowMs) : (node.status?.conditions ?? []);
  const actions: (Action | RequeueAfter)[] = [];
  if (!sameJson(conditions, node.status?.conditions ?? [])) actions.push({ type: "UpdateConditions", conditions });
  const taints = taintsFor(state, conditions);
  if (!sameJson(taints, node.spec?.taints ?? [])) actions.push({ type: "SetTaints", taints });
  // The proxies must stop sending to Pods that nobody watches any more. A node that speaks answers for its Pods itself.
  // Differs: upstream also marks the Pods of a node that says it is not ready, and the kubelet puts them right again.
  if (isStale) for (const pod of state.pods) if (isPodReady(pod)) actions.push({ type: "MarkPodNotReady", pod });
  if (!isStale) actions.push({ type: "RequeueAfter", ms: graceMs - silentMs });
  return actions;
}

export function readyStatus(conditions: readonly NodeCondition[]): NodeCondition["status"] | undefined {
  return conditions.find(({ type }) => type === "Ready")?.status;
}

function unknown({ metadata, status }: Node, nowMs: number): NodeCondition[] {
  const told = (reason: string, message: string) => {
    return { status: "Unknown" as const, reason, message, lastTransitionTime: formatTime(nowMs) };
  };
  const stopped = told("NodeStatusUnknown", "Kubelet stopped posting node status.");
  const never = told("NodeStatusNeverUpdated", "Kubelet never posted node status.");
  const before = status?.conditions ?? [];
  const missing = reported.filter((type) => !before.some((condition) => condition.type === type));
  return [
    ...before.map((one) => (reported.includes(one.type) && one.status !== "Unknown" ? { ...one, ...stopped } : one)),
    ...missing.map((type) => ({ type, lastHeartbeatTime: metadata.creationTimestamp!, ...never })),
  ];
}

/** Condition status -> taint key. */
const byCondition: Record<string, Partial<Record<NodeCondition["status"], string>>> = {
  Ready: { False: notReadyTaint, Unknown: unreachableTaint },
  MemoryPressure: { True: `${prefix}memory-pressure` },
  DiskPressure: { True: `${prefix}disk-pressure` },
  PIDPressure: { True: `${prefix}pid-pressure` },
  NetworkUnavailable: { True: `${prefix}network-unavailable` },
};
const unschedulableTaint = `${prefix}unschedulable`;

const managed = new Set([
  ...Object.values(byCondition).flatMap((keys) => Object.values(keys).map((key) => `${key}:NoSchedule`)),
  `${unschedulableTaint}:NoSchedule`,
  `${notReadyTaint}:NoExecute`,
  `${unreachableTaint}:NoExecute`,
]);

/** Others' taints stay, ours that are still right keep their timeAdded. */
function taintsFor({ node, noNodeIsReady, nowMs }: State, conditions: readonly NodeCondition[]): Taint[] {
  const wanted = new Map<string, Taint>();
  const want = (key: string, effect: Taint["effect"]) =>
    wanted.set(`${key}:${effect}`, { key, effect, timeAdded: formatTime(nowMs) });
  for (const { type, status } of conditions) {
    const key = byCondition[type]?.[status];
    if (key !== undefined) want(key, "NoSchedule");
  }
  if (node.spec?.unschedulable) want(unschedulableTaint, "NoSchedule");
  const ready = readyStatus(conditions);
  if (!noNodeIsReady && (ready === "False" || ready === "Unknown"))
    want(ready === "False" ? notReadyTaint : unreachableTaint, "NoExecute");
  const kept = (node.spec?.taints ?? []).filter(({ key, effect }) => {
    const name = `${key}:${effect}`;
    const stays = !managed.has(name) || wanted.has(name);
    wanted.delete(name);
    return stays;
  });
  return [...kept, ...wanted.values()];
}
