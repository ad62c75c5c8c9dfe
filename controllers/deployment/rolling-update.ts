import type { ReplicaSet } from "../../api/generated/apps-v1.ts";
import type { Plan } from "./plan.ts";
import { availableOf, maxUnavailable, newReplicas, replicasOf, sum, takeAway } from "./sizes.ts";

/**
 * One step of a rolling update: first the new ReplicaSet grows as far as maxSurge leaves room; only when it cannot, old
 * ones shrink as far as availability stays at or above the wanted size less maxUnavailable.
 */
export function rollingUpdate(plan: Plan): void {
  const { deployment, newOne } = plan;
  if (newOne === undefined) return;
  const wanted = replicasOf(deployment);
  const current = replicasOf(newOne);
  const size = current > wanted ? wanted : newReplicas(deployment, plan.all, current);
  if (size !== current) plan.scale(newOne, size);
  else shrinkOld(plan);
}

function shrinkOld(plan: Plan): void {
  const { deployment, newOne } = plan;
  if (sum(plan.old, replicasOf) === 0) return;
  const minAvailable = replicasOf(deployment) - maxUnavailable(deployment);
  const newUnavailable = replicasOf(newOne!) - lasting(newOne!);
  const most = sum(plan.all, replicasOf) - minAvailable - newUnavailable;
  if (most <= 0) return;
  const available = sum(plan.all, lasting);
  // Unavailable old Pods first: taking them costs nothing, and they might hold a broken rollout up for ever.
  const unhealthy = takeAway(plan.old, most, (replicaSet) => replicasOf(replicaSet) - lasting(replicaSet));
  for (const { replicaSet, count } of unhealthy) plan.scale(replicaSet, replicasOf(replicaSet) - count);
  for (const { replicaSet, count } of takeAway(plan.old, available - minAvailable, replicasOf))
    plan.scale(replicaSet, replicasOf(replicaSet) - count);
}

/**
 * Available Pods that will still be there. A status may be older than the size: what it counts beyond that is as good as
 * gone. Differs: upstream gives such a step up with an error, in one of the two places where it matters.
 */
const lasting = (replicaSet: ReplicaSet): number => Math.min(availableOf(replicaSet), replicasOf(replicaSet));
