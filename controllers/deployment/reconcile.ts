import { isPodTerminal } from "../../api/core/pod-status.ts";
import type { Deployment, DeploymentStatus, ReplicaSet } from "../../api/generated/apps-v1.ts";
import type { Pod } from "../../api/generated/core-v1.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { claim } from "../ownership.ts";
import type { RequeueAfter } from "../runner.ts";
import { cleanUp, makeNewReplicaSet } from "./history.ts";
import { Plan } from "./plan.ts";
import { recreate } from "./recreate.ts";
import { desiredReplicasAnnotation, maxReplicasAnnotation } from "./revision.ts";
import { rollingUpdate } from "./rolling-update.ts";
import { availableOf, isRollingUpdate, proportionalSizes, replicasOf } from "./sizes.ts";
import { condition, countStatus, deadlineMs, hasProgressDeadline, isComplete, progressConditions } from "./status.ts";

export interface State {
  deployment: Deployment;
  /** ReplicaSets that it controls, and those of its namespace without a controller. */
  replicaSets: ReplicaSet[];
  /** Pods of the controlled ReplicaSets. */
  pods: Pod[];
  /** How often the name of a new ReplicaSet was taken by another. */
  collisionCount: number | undefined;
  /** Why the last try to create the new ReplicaSet failed. */
  failure: string | undefined;
  nowMs: number;
}

export type Action =
  | { type: "AdoptReplicaSet" | "ReleaseReplicaSet" | "DeleteReplicaSet"; replicaSet: ReplicaSet }
  | { type: "CreateReplicaSet"; replicaSet: ReplicaSet }
  /** `from`: the size before, where it changes. */
  | { type: "UpdateReplicaSet"; replicaSet: ReplicaSet; from: number | undefined }
  | { type: "SetRevision"; revision: string }
  | { type: "UpdateStatus"; status: DeploymentStatus };

/**
 * Moves Pods from old ReplicaSets to the one of the present template, within what the strategy allows, and tells how far
 * it got (pkg/controller/deployment). One step a call: the next follows from what the ReplicaSets then report.
 */
export function reconcile(state: State): (Action | RequeueAfter)[] {
  const { deployment, nowMs } = state;
  const { owned, adopt, release } = claim(deployment, deployment.spec.selector, state.replicaSets);
  const plan = new Plan(state, owned);
  const actions: Action[] = [
    ...adopt.map((replicaSet) => ({ type: "AdoptReplicaSet", replicaSet }) as const),
    ...release.map((replicaSet) => ({ type: "ReleaseReplicaSet", replicaSet }) as const),
  ];
  const progress = decide(state, plan);
  const newOne = plan.newOne;
  let status = countStatus(deployment, plan.all, newOne, plan.conditions, state.collisionCount, nowMs);
  if (progress) status = progressConditions(deployment, status, plan.all, newOne, nowMs);
  const update: Action[] = sameJson(status, deployment.status) ? [] : [{ type: "UpdateStatus", status }];
  // Where creating has failed before, the status tells so first.
  if (state.failure === undefined) actions.push(...plan.actions(), ...update);
  else actions.push(...update, ...plan.actions());
  const atMs = progress ? deadlineMs(deployment, condition(status.conditions ?? [], "Progressing")) : Infinity;
  // A second more, as stamps have whole seconds.
  return atMs > nowMs && atMs < Infinity ? [...actions, { type: "RequeueAfter", ms: atMs - nowMs + 1000 }] : actions;
}

/** Fills the plan; true when the step was one of a rollout, of which progress is expected. */
function decide({ deployment, pods }: State, plan: Plan): boolean {
  if (deployment.metadata.deletionTimestamp !== undefined) return false;
  pausedCondition(deployment, plan);
  if (deployment.spec.paused) {
    makeNewReplicaSet(plan, { create: false });
    scale(plan);
    cleanUp(plan);
    return false;
  }
  if (plan.active.some((replicaSet) => wasScaledForAnotherSize(deployment, replicaSet))) {
    makeNewReplicaSet(plan, { create: false });
    scale(plan);
    return false;
  }
  if (isRollingUpdate(deployment)) {
    makeNewReplicaSet(plan, { create: true });
    rollingUpdate(plan);
  } else {
    makeNewReplicaSet(plan, { create: false });
    recreate(plan, oldPodsRun(plan, pods));
  }
  const { conditions, newOne } = plan;
  const status = countStatus(deployment, plan.all, newOne, conditions, undefined, 0);
  if (isComplete(deployment, status)) cleanUp(plan);
  return true;
}

/** While paused nobody waits for progress; the deadline starts anew on resume. */
function pausedCondition({ spec, ...deployment }: Deployment, plan: Plan): void {
  if (!hasProgressDeadline({ ...deployment, spec })) return;
  const current = condition(plan.conditions, "Progressing");
  if (current?.reason === "ProgressDeadlineExceeded") return;
  const isSaid = current?.reason === "DeploymentPaused";
  if (spec.paused && !isSaid) plan.setCondition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused");
  if (!spec.paused && isSaid) plan.setCondition("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed");
}

function wasScaledForAnotherSize(deployment: Deployment, { metadata }: ReplicaSet): boolean {
  const desired = metadata.annotations?.[desiredReplicasAnnotation];
  return desired !== undefined && Number(desired) !== replicasOf(deployment);
}

/** The Deployment's size has changed, or it is paused: nothing rolls, but the sum follows. */
function scale(plan: Plan): void {
  const { deployment, newOne, old, active } = plan;
  const wanted = replicasOf(deployment);
  const only = active.length === 0 ? (newOne ?? old.at(-1)) : active.length === 1 ? active[0] : undefined;
  if (only !== undefined) {
    plan.scale(only, wanted);
    return;
  }
  if (newOne !== undefined && isSaturated(deployment, newOne)) {
    for (const replicaSet of old) if (replicasOf(replicaSet) > 0) plan.scale(replicaSet, 0);
    return;
  }
  if (!isRollingUpdate(deployment)) return;
  const scaledFor = ({ metadata }: ReplicaSet) =>
    Number(metadata.annotations?.[maxReplicasAnnotation] ?? 0) || deployment.status?.replicas || wanted;
  for (const [replicaSet, size] of proportionalSizes(deployment, active, scaledFor)) plan.scale(replicaSet, size);
}

function isSaturated(deployment: Deployment, newOne: ReplicaSet): boolean {
  const wanted = replicasOf(deployment);
  return (
    Number(newOne.metadata.annotations?.[desiredReplicasAnnotation]) === wanted &&
    replicasOf(newOne) === wanted &&
    availableOf(newOne) === wanted
  );
}

/** Any Pod of an old ReplicaSet that may still do something. One on an unreachable node may. */
function oldPodsRun({ old, newOne }: Plan, pods: Pod[]): boolean {
  if (old.some(({ status }) => (status?.replicas ?? 0) > 0)) return true;
  const isNew = (pod: Pod) => pod.metadata.ownerReferences?.some(({ uid }) => uid === newOne?.metadata.uid);
  return pods.some((pod) => !isPodTerminal(pod) && !isNew(pod));
}
