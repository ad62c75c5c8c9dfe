import type { Pod, PodCondition, PodStatus } from "../api/generated/core-v1.ts";
import { Pods } from "../api/generated/resources.ts";
import { ignoring, isNotFound } from "../apimachinery/status.ts";
import { formatTime } from "../apimachinery/time.ts";
import type { Clock } from "../base/clock.ts";
import type { Client, DeleteOptions } from "../client/types.ts";

/**
 * Deletes a Pod on behalf of the cluster, having first written why into its status: condition `DisruptionTarget`
 * (KEP-3329), by which owners tell this from a failure of the Pod's own. One that is gone is fine.
 */
export async function deletePod(
  client: Client,
  clock: Clock,
  pod: Pod,
  why: { reason: string; message: string; phase?: NonNullable<PodStatus["phase"]> },
  options: Pick<DeleteOptions, "gracePeriodSeconds">,
  signal: AbortSignal,
): Promise<void> {
  const { phase, ...text } = why;
  const lastTransitionTime = formatTime(clock.now());
  const condition: PodCondition = { type: "DisruptionTarget", status: "True", lastTransitionTime, ...text };
  const others = (pod.status?.conditions ?? []).filter(({ type }) => type !== condition.type);
  const status = { ...pod.status, conditions: [...others, condition], ...(phase && { phase }) };
  await client
    .update(Pods, { ...pod, status }, { subresource: "status", signal })
    .then(() => client.delete(Pods, pod.metadata, { ...options, preconditions: { uid: pod.metadata.uid! }, signal }))
    .catch(ignoring(isNotFound));
}
