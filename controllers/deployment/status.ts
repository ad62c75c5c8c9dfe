import type { Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet } from "../../api/generated/apps-v1.ts";
import { formatTime, parseTime } from "../../apimachinery/time.ts";
import { availableOf, maxUnavailable, replicasOf, sum } from "./sizes.ts";

/** What a Deployment's status says, and when its conditions change (upstream's sync.go and progress.go). */
export type Conditions = readonly DeploymentCondition[];

export function condition(conditions: Conditions, type: string): DeploymentCondition | undefined {
  return conditions.find((candidate) => candidate.type === type);
}

type ConditionType = "Available" | "Progressing" | "ReplicaFailure";
export type NewCondition = [ConditionType, DeploymentCondition["status"], reason: string, message: string];

/** Nothing changes when status and reason are the same: messages are for people. */
export function withCondition(conditions: Conditions, nowMs: number, ...next: NewCondition): Conditions {
  const [type, status, reason] = next;
  const old = condition(conditions, type);
  return old?.status === status && old.reason === reason ? conditions : renewed(conditions, nowMs, ...next);
}

function renewed(conditions: Conditions, nowMs: number, ...[type, status, reason, message]: NewCondition): Conditions {
  const old = condition(conditions, type);
  const now = formatTime(nowMs);
  const lastTransitionTime = old?.status === status ? old.lastTransitionTime : now;
  const next = { type, status, reason, message, lastUpdateTime: now, lastTransitionTime };
  return [...without(conditions, type), next as DeploymentCondition];
}

export function without(conditions: Conditions, type: string): Conditions {
  return conditions.filter((candidate) => candidate.type !== type);
}

/** Without a deadline nobody asks for progress. The largest int32 stands for none. */
export function hasProgressDeadline({ spec }: Deployment): boolean {
  return spec.progressDeadlineSeconds !== undefined && spec.progressDeadlineSeconds !== 2 ** 31 - 1;
}

/** The numbers, and whether the Deployment has its minimum available. */
export function countStatus(
  deployment: Deployment,
  all: readonly ReplicaSet[],
  newOne: ReplicaSet | undefined,
  conditions: Conditions,
  collisionCount: number | undefined,
  nowMs: number,
): DeploymentStatus {
  const wanted = replicasOf(deployment);
  const available = sum(all, availableOf);
  const numbers = {
    replicas: sum(all, ({ status }) => status?.replicas ?? 0),
    updatedReplicas: newOne?.status?.replicas ?? 0,
    readyReplicas: sum(all, ({ status }) => status?.readyReplicas ?? 0),
    availableReplicas: available,
    unavailableReplicas: Math.max(0, sum(all, replicasOf) - available),
  };
  const enough = available >= wanted - maxUnavailable(deployment);
  const told: NewCondition = enough
    ? ["Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability."]
    : ["Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability."];
  return {
    observedGeneration: deployment.metadata.generation!,
    ...Object.fromEntries(Object.entries(numbers).filter(([, number]) => number > 0)), // upstream leaves zeros out
    ...(collisionCount !== undefined && { collisionCount }),
    conditions: [...withCondition(conditions, nowMs, ...told)],
  };
}

export function isComplete(deployment: Deployment, status: DeploymentStatus): boolean {
  const wanted = replicasOf(deployment);
  return (
    (status.updatedReplicas ?? 0) === wanted &&
    (status.replicas ?? 0) === wanted &&
    (status.availableReplicas ?? 0) === wanted &&
    (status.observedGeneration ?? 0) >= deployment.metadata.generation!
  );
}

/** The Progressing and ReplicaFailure conditions at the end of a rollout step. */
export function progressConditions(
  deployment: Deployment,
  status: DeploymentStatus,
  all: readonly ReplicaSet[],
  newOne: ReplicaSet | undefined,
  nowMs: number,
): DeploymentStatus {
  let conditions: Conditions = status.conditions ?? [];
  const current = condition(conditions, "Progressing");
  const subject = newOne ? `ReplicaSet "${newOne.metadata.name}"` : `Deployment "${deployment.metadata.name}"`;
  const progressing = (status: NewCondition[1], reason: string, does: string): NewCondition => {
    return ["Progressing", status, reason, `${subject} ${does}`];
  };
  const wasComplete =
    (status.replicas ?? 0) === (status.updatedReplicas ?? 0) && current?.reason === "NewReplicaSetAvailable";
  if (!hasProgressDeadline(deployment)) {
    conditions = without(conditions, "Progressing");
  } else if (!wasComplete) {
    if (isComplete(deployment, status)) {
      const done = progressing("True", "NewReplicaSetAvailable", "has successfully progressed.");
      conditions = withCondition(conditions, nowMs, ...done);
    } else if (hasProgressed(deployment.status ?? {}, status)) {
      // Also with the same reason as before: the time of the last update is what the deadline counts from.
      conditions = renewed(conditions, nowMs, ...progressing("True", "ReplicaSetUpdated", "is progressing."));
    } else if (deadlineMs(deployment, current) <= nowMs) {
      const late = progressing("False", "ProgressDeadlineExceeded", "has timed out progressing.");
      conditions = withCondition(conditions, nowMs, ...late);
    }
  }
  conditions = withFailure(conditions, all, newOne, nowMs);
  return { ...status, conditions: [...conditions] };
}

function hasProgressed(old: DeploymentStatus, now: DeploymentStatus): boolean {
  const outdated = ({ replicas = 0, updatedReplicas = 0 }: DeploymentStatus) => replicas - updatedReplicas;
  return (
    (now.updatedReplicas ?? 0) > (old.updatedReplicas ?? 0) ||
    outdated(now) < outdated(old) ||
    (now.readyReplicas ?? 0) > (old.readyReplicas ?? 0) ||
    (now.availableReplicas ?? 0) > (old.availableReplicas ?? 0)
  );
}

/** When the rollout counts as stuck unless something moves; Infinity when it does not run. */
export function deadlineMs(deployment: Deployment, current: DeploymentCondition | undefined): number {
  const running = current !== undefined && current.reason !== "NewReplicaSetAvailable";
  if (!hasProgressDeadline(deployment) || !running || current.reason === "DeploymentPaused") return Infinity;
  if (current.reason === "ProgressDeadlineExceeded") return 0;
  return parseTime(current.lastUpdateTime) + deployment.spec.progressDeadlineSeconds! * 1000;
}

/** A failure of the new ReplicaSet to make Pods, or else of any other, is the Deployment's too. */
function withFailure(
  conditions: Conditions,
  all: readonly ReplicaSet[],
  newOne: ReplicaSet | undefined,
  nowMs: number,
): Conditions {
  const failureOf = (replicaSet: ReplicaSet | undefined) =>
    replicaSet?.status?.conditions?.find(({ type }) => type === "ReplicaFailure");
  const failure = failureOf(newOne) ?? all.map(failureOf).find((found) => found !== undefined);
  if (failure === undefined) return without(conditions, "ReplicaFailure");
  const { status, reason = "", message = "" } = failure;
  return withCondition(conditions, nowMs, "ReplicaFailure", status, reason, message);
}
