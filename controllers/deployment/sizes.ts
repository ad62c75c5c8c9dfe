import type { Deployment, ReplicaSet } from "../../api/generated/apps-v1.ts";

/** The arithmetic of rollouts: how far above and below the wanted size a Deployment may be, and who gets how much. */
export const replicasOf = ({ spec }: Deployment | ReplicaSet): number => spec.replicas ?? 1;

export function sum(replicaSets: readonly ReplicaSet[], count: (replicaSet: ReplicaSet) => number): number {
  return replicaSets.reduce((total, replicaSet) => total + count(replicaSet), 0);
}

export const availableOf = ({ status }: ReplicaSet): number => status?.availableReplicas ?? 0;

export function isRollingUpdate({ spec }: Deployment): boolean {
  return (spec.strategy?.type ?? "RollingUpdate") === "RollingUpdate";
}

export function maxSurge(deployment: Deployment): number {
  return isRollingUpdate(deployment) ? fenceposts(deployment).surge : 0;
}

export function maxUnavailable(deployment: Deployment): number {
  const replicas = replicasOf(deployment);
  if (!isRollingUpdate(deployment) || replicas === 0) return 0;
  return Math.min(fenceposts(deployment).unavailable, replicas);
}

/** Percentages: surge rounds up, unavailable down. Were both zero, nothing could ever move: then one may be missing. */
function fenceposts(deployment: Deployment): { surge: number; unavailable: number } {
  const { maxSurge = "25%", maxUnavailable = "25%" } = deployment.spec.strategy?.rollingUpdate ?? {};
  const replicas = replicasOf(deployment);
  const surge = resolve(maxSurge, replicas, Math.ceil);
  const unavailable = resolve(maxUnavailable, replicas, Math.floor);
  return { surge, unavailable: surge === 0 && unavailable === 0 ? 1 : unavailable };
}

function resolve(value: number | string, total: number, round: (n: number) => number): number {
  if (typeof value === "number") return value;
  return round((Number.parseInt(value, 10) * total) / 100);
}

/** How large the new ReplicaSet may be now, given all others. Never shrinks it. */
export function newReplicas(deployment: Deployment, all: readonly ReplicaSet[], current: number): number {
  const wanted = replicasOf(deployment);
  if (!isRollingUpdate(deployment)) return wanted;
  const room = wanted + maxSurge(deployment) - sum(all, replicasOf);
  return room <= 0 ? current : current + Math.min(room, wanted - current);
}

/**
 * Takes `amount` replicas away from the ReplicaSets in the given order, from each at most `limit(it)`; tells how many
 * each one has to give.
 */
export function takeAway(
  replicaSets: readonly ReplicaSet[],
  amount: number,
  limit: (replicaSet: ReplicaSet) => number,
): { replicaSet: ReplicaSet; count: number }[] {
  const result: { replicaSet: ReplicaSet; count: number }[] = [];
  let left = amount;
  for (const replicaSet of replicaSets) {
    const count = Math.min(left, Math.max(0, limit(replicaSet)));
    if (count > 0) result.push({ replicaSet, count });
    left -= count;
  }
  return result;
}

/**
 * New sizes when a Deployment is scaled in the midst of a rollout: each active ReplicaSet grows or shrinks in proportion
 * to its size, so that a rollout that may be failing does not gain ground; what rounding leaves over goes to the first.
 * `scaledFor` is the Deployment's greatest size when the ReplicaSet was last scaled.
 */
export function proportionalSizes(
  deployment: Deployment,
  active: readonly ReplicaSet[],
  scaledFor: (replicaSet: ReplicaSet) => number,
): Map<ReplicaSet, number> {
  const wanted = replicasOf(deployment);
  const greatest = wanted > 0 ? wanted + maxSurge(deployment) : 0;
  const toAdd = greatest - sum(active, replicasOf);
  const created = ({ metadata }: ReplicaSet) => metadata.creationTimestamp ?? "";
  const newer = (a: ReplicaSet, b: ReplicaSet) => (created(a) < created(b) ? 1 : created(a) > created(b) ? -1 : 0);
  // Of equal size, growth goes to the newer one first, shrinking hits the older one first.
  const ordered = [...active].sort((a, b) => replicasOf(b) - replicasOf(a) || (toAdd > 0 ? newer(a, b) : newer(b, a)));
  const sizes = new Map(ordered.map((replicaSet) => [replicaSet, replicasOf(replicaSet)]));
  let added = 0;
  for (const replicaSet of ordered) {
    const size = replicasOf(replicaSet);
    const share = wanted === 0 ? -size : Math.round((size * greatest) / scaledFor(replicaSet)) - size;
    const allowed = toAdd - added;
    const change = toAdd > 0 ? Math.min(share, allowed) : Math.max(share, allowed);
    if (toAdd === 0 || allowed === 0 || size === 0) continue;
    sizes.set(replicaSet, size + change);
    added += change;
  }
  const [first] = ordered;
  if (first !== undefined && toAdd !== 0) sizes.set(first, Math.max(0, sizes.get(first)! + toAdd - added));
  return sizes;
}
