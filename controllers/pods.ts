import type { Pod, PodCondition } from "../api/generated/core-v1.ts";

/** What controllers ask about a Pod (pkg/controller and pkg/api/v1/pod upstream). Times are milliseconds. */
export function isActive({ metadata, status }: Pod): boolean {
  return metadata.deletionTimestamp === undefined && status?.phase !== "Succeeded" && status?.phase !== "Failed";
}

export function isTerminal({ status }: Pod): boolean {
  return status?.phase === "Succeeded" || status?.phase === "Failed";
}

export function readyCondition({ status }: Pod): PodCondition | undefined {
  return status?.conditions?.find(({ type }) => type === "Ready");
}

export function isReady(pod: Pod): boolean {
  return readyCondition(pod)?.status === "True";
}

/** Ready for at least `minReadySeconds`. */
export function isAvailable(pod: Pod, minReadySeconds: number, nowMs: number): boolean {
  return availableAtMs(pod, minReadySeconds) <= nowMs;
}

/** When the Pod will count as available if it stays ready; Infinity if it is not ready. */
export function availableAtMs(pod: Pod, minReadySeconds: number): number {
  const condition = readyCondition(pod);
  if (condition?.status !== "True") return Number.POSITIVE_INFINITY;
  if (minReadySeconds === 0) return 0;
  const sinceMs = timeMs(condition.lastTransitionTime);
  return sinceMs === undefined ? Number.POSITIVE_INFINITY : sinceMs + minReadySeconds * 1000;
}

/** metav1.Time as milliseconds. */
export function timeMs(time: string | undefined): number | undefined {
  return time === undefined ? undefined : Date.parse(time);
}

/** metav1.Time: seconds, UTC. */
export function timestamp(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}
