import { requestsOf } from "../node-info.ts";
import type { FilterPlugin } from "../plugin.ts";

/** What all Pods of a node ask for stays within its allocatable. What they really use does not count. */
export const nodeResourcesFit: FilterPlugin = (pod, { pods, allocatable, requested }) => {
  const reasons: string[] = [];
  let unresolvable = false;
  if (pods.length + 1 > (allocatable["pods"] ?? 0)) reasons.push("Too many pods");
  for (const [name, amount] of Object.entries(requestsOf(pod))) {
    const there = allocatable[name] ?? 0;
    if (amount === 0 || amount + (requested[name] ?? 0) <= there) continue;
    reasons.push(`Insufficient ${name}`);
    if (amount > there) unresolvable = true; // not even on an empty node
  }
  return reasons.length === 0 ? undefined : { reasons, unresolvable };
};
