import { availableAtMs, isPodActive, isPodReady } from "../../api/core/pod-status.ts";
import type { ReplicaSet, ReplicaSetCondition, ReplicaSetStatus } from "../../api/generated/apps-v1.ts";
import type { Pod } from "../../api/generated/core-v1.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { formatTime } from "../../apimachinery/time.ts";
import { claim } from "../ownership.ts";
import type { RequeueAfter } from "../runner.ts";
import { deletionOrder } from "./rank.ts";

export interface State {
  replicaSet: ReplicaSet;
  /** Pods that it controls, and Pods of its namespace without a controller. */
  pods: Pod[];
  /** Pods of all ReplicaSets with the same controller, this one's included: of one Deployment, that is. */
  relatedPods: Pod[];
  /** Why the last try to create or delete Pods failed. */
  failure: { reason: "FailedCreate" | "FailedDelete"; message: string } | undefined;
  nowMs: number;
}

export type Action =
  | { type: "AdoptPod"; pod: Pod }
  | { type: "ReleasePod"; pod: Pod }
  | { type: "CreatePods"; count: number }
  | { type: "DeletePods"; pods: Pod[] }
  | { type: "UpdateStatus"; status: ReplicaSetStatus };

/** Upstream creates or deletes at most this many Pods at a time. */
const burstReplicas = 500;

/** Keeps `spec.replicas` active Pods, and tells how many are there, ready and available (pkg/controller/replicaset). */
export function reconcile(state: State): (Action | RequeueAfter)[] {
  const { replicaSet, failure, nowMs } = state;
  const active = state.pods.filter(isPodActive);
  const { owned, adopt, release } = claim(replicaSet, replicaSet.spec.selector, active);
  const changes: Action[] = [
    ...adopt.map((pod) => ({ type: "AdoptPod", pod }) as const),
    ...release.map((pod) => ({ type: "ReleasePod", pod }) as const),
  ];
  const manage = replicaSet.metadata.deletionTimestamp === undefined ? scale(state, owned) : [];
  const status = statusOf(state, owned);
  const update: Action[] = sameJson(status, replicaSet.status) ? [] : [{ type: "UpdateStatus", status }];
  // Creating comes first as someone waits for it, except where it has failed: the failure is to be seen.
  const actions = failure === undefined ? [...changes, ...manage, ...update] : [...changes, ...update, ...manage];
  const waitMs = nextAvailableMs(owned, replicaSet.spec.minReadySeconds ?? 0, nowMs);
  return waitMs === undefined ? actions : [...actions, { type: "RequeueAfter", ms: waitMs }];
}

function scale({ replicaSet, relatedPods, nowMs }: State, owned: Pod[]): Action[] {
  const missing = (replicaSet.spec.replicas ?? 1) - owned.length;
  if (missing > 0) return [{ type: "CreatePods", count: Math.min(missing, burstReplicas) }];
  if (missing < 0) {
    const pods = deletionOrder(owned, relatedPods, nowMs).slice(0, Math.min(-missing, burstReplicas));
    return [{ type: "DeletePods", pods }];
  }
  return [];
}

function statusOf({ replicaSet, failure, nowMs }: State, owned: Pod[]): ReplicaSetStatus {
  const { template, minReadySeconds = 0 } = replicaSet.spec;
  const templateLabels = Object.entries(template?.metadata?.labels ?? {});
  const count = (is: (pod: Pod) => boolean) => owned.filter(is).length;
  const fullyLabeled = ({ metadata }: Pod) => templateLabels.every(([key, value]) => metadata.labels?.[key] === value);
  const numbers = {
    fullyLabeledReplicas: count(fullyLabeled),
    readyReplicas: count(isPodReady),
    availableReplicas: count((pod) => availableAtMs(pod, minReadySeconds) <= nowMs),
  };
  const conditions = conditionsOf(replicaSet.status?.conditions ?? [], failure, nowMs);
  return {
    replicas: owned.length,
    ...Object.fromEntries(Object.entries(numbers).filter(([, number]) => number > 0)), // upstream leaves zeros out
    observedGeneration: replicaSet.metadata.generation!,
    ...(conditions.length > 0 && { conditions }),
  };
}

function conditionsOf(old: ReplicaSetCondition[], failure: State["failure"], nowMs: number): ReplicaSetCondition[] {
  const others = old.filter(({ type }) => type !== "ReplicaFailure");
  if (failure === undefined) return others;
  const known = old.find(({ type, reason }) => type === "ReplicaFailure" && reason === failure.reason);
  if (known !== undefined) return old;
  return [...others, { type: "ReplicaFailure", status: "True", lastTransitionTime: formatTime(nowMs), ...failure }];
}

/** Until the next ready Pod becomes available. */
function nextAvailableMs(owned: Pod[], minReadySeconds: number, nowMs: number): number | undefined {
  const times = owned.map((pod) => availableAtMs(pod, minReadySeconds)).filter((ms) => ms > nowMs && ms < Infinity);
  return times.length === 0 ? undefined : Math.min(...times) - nowMs;
}
