import { quantityToMilli } from "../../apimachinery/quantity.ts";
import { parseTime } from "../../apimachinery/time.ts";
import type { Container, Pod, PodCondition, PodSpec, PodStatus } from "../generated/core-v1.ts";

/** What controllers, scheduler, node agent and proxy read off a Pod alike. */
export const podCondition = (pod: { status?: PodStatus }, type: string): PodCondition | undefined =>
  pod.status?.conditions?.find((c) => c.type === type);

export const isPodReady = (pod: Pod): boolean => podCondition(pod, "Ready")?.status === "True";

/** When the Pod will count as available if it stays ready; Infinity if it is not ready. Milliseconds since the epoch. */
export function availableAtMs(pod: Pod, minReadySeconds: number): number {
  if (!isPodReady(pod)) return Number.POSITIVE_INFINITY;
  if (minReadySeconds === 0) return 0;
  const sinceMs = parseTime(podCondition(pod, "Ready")?.lastTransitionTime);
  return Number.isNaN(sinceMs) ? Number.POSITIVE_INFINITY : sinceMs + minReadySeconds * 1000;
}

/** All its containers have ended for good. */
export const isPodTerminal = (pod: Pod): boolean => /^(Succeeded|Failed)$/.test(pod.status?.phase ?? "");

/** Counts for its ReplicaSet: neither ended nor being deleted. */
export const isPodActive = (pod: Pod): boolean => !isPodTerminal(pod) && pod.metadata.deletionTimestamp === undefined;

/** An init container that keeps running beside the others. */
export const isSidecar = (container: Container): boolean => container.restartPolicy === "Always";

/**
 * Guaranteed: every container limits cpu and memory and requests as much. BestEffort: none asks for anything. A Pod that
 * has resources of its own counts like one container with them.
 */
export function qosClass(spec: PodSpec): "Guaranteed" | "Burstable" | "BestEffort" {
  const containers = spec.resources ? [spec] : [...spec.containers, ...(spec.initContainers ?? [])];
  const asks = (c: Pick<Container, "resources">) =>
    [c.resources?.requests, c.resources?.limits].some((list) =>
      ["cpu", "memory"].some((name) => quantityToMilli(list?.[name] ?? "0") > 0),
    );
  if (!containers.some(asks)) return "BestEffort";
  const guaranteed = containers.every((c) =>
    ["cpu", "memory"].every((name) => {
      const limit = c.resources?.limits?.[name];
      const request = c.resources?.requests?.[name] ?? limit;
      return limit !== undefined && quantityToMilli(limit) > 0 && quantityToMilli(limit) === quantityToMilli(request!);
    }),
  );
  return guaranteed ? "Guaranteed" : "Burstable";
}
