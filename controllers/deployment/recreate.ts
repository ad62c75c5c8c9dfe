import { makeNewReplicaSet } from "./history.ts";
import type { Plan } from "./plan.ts";
import { replicasOf } from "./sizes.ts";

/** Strategy Recreate: all old Pods are gone before the first new one is made. */
export function recreate(plan: Plan, oldPodsRun: boolean): void {
  const activeOld = plan.old.filter((replicaSet) => replicasOf(replicaSet) > 0);
  if (activeOld.length > 0) {
    for (const replicaSet of activeOld) plan.scale(replicaSet, 0);
    return;
  }
  if (oldPodsRun) return;
  if (plan.newOne === undefined) makeNewReplicaSet(plan, { create: true });
  else if (replicasOf(plan.newOne) !== replicasOf(plan.deployment))
    plan.scale(plan.newOne, replicasOf(plan.deployment));
}
