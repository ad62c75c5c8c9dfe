import { podCondition } from "../api/core/pod-status.ts";
import type { Pod } from "../api/generated/core-v1.ts";
import { parseTime } from "../apimachinery/time.ts";

/** When the Pod will count as available if it stays ready; Infinity if it is not ready. Milliseconds since the epoch. */
export function availableAtMs(pod: Pod, minReadySeconds: number): number {
  const condition = podCondition(pod, "Ready");
  if (condition?.status !== "True") return Number.POSITIVE_INFINITY;
  if (minReadySeconds === 0) return 0;
  const sinceMs = parseTime(condition.lastTransitionTime);
  return Number.isNaN(sinceMs) ? Number.POSITIVE_INFINITY : sinceMs + minReadySeconds * 1000;
}
