import { isDeepStrictEqual } from "node:util";
import type { PodCondition, PodStatus } from "../api/generated/core-v1.ts";
import { formatTime } from "../apimachinery/time.ts";
import { ownedConditions } from "./status.ts";

/**
 * The strategic merge patch that turns the status `old` into `wanted`, or undefined when there is nothing to change.
 * Only conditions that the agent owns are touched; a condition keeps its lastTransitionTime until its status changes.
 */
export function statusPatch(old: PodStatus | undefined, wanted: PodStatus, nowMs: number): object | undefined {
  const patch: Record<string, unknown> = {};
  for (const key of scalarAndAtomic) {
    if (!isDeepStrictEqual(plain(old?.[key]), plain(wanted[key]))) patch[key] = wanted[key] ?? null;
  }
  for (const key of ["podIPs", "hostIPs"] as const) {
    const before = (old?.[key] ?? []).map(({ ip }) => ip);
    const after = (wanted[key] ?? []).map(({ ip }) => ip);
    if (isDeepStrictEqual(before, after)) continue;
    const gone = before.filter((ip) => !after.includes(ip));
    patch[key] = [...gone.map((ip) => ({ $patch: "delete", ip })), ...after.map((ip) => ({ ip }))];
  }
  const conditions = (wanted.conditions ?? [])
    .filter(({ type }) => ownedConditions.includes(type))
    .flatMap((condition) => conditionPatch(old?.conditions, condition, nowMs));
  if (conditions.length > 0) patch["conditions"] = conditions;
  return Object.keys(patch).length === 0 ? undefined : patch;
}

const scalarAndAtomic = [
  "observedGeneration",
  "phase",
  "reason",
  "message",
  "hostIP",
  "podIP",
  "startTime",
  "initContainerStatuses",
  "containerStatuses",
  "qosClass",
] as const;

function conditionPatch(old: PodCondition[] | undefined, wanted: PodCondition, nowMs: number): object[] {
  const before = old?.find(({ type }) => type === wanted.type);
  const flipped = before?.status !== wanted.status;
  if (!flipped && before.reason === wanted.reason && before.message === wanted.message) return [];
  const cleared = (key: "reason" | "message") => (before?.[key] !== undefined ? { [key]: null } : {});
  return [
    {
      ...cleared("reason"),
      ...cleared("message"),
      ...wanted,
      ...(flipped && { lastProbeTime: null, lastTransitionTime: formatTime(nowMs) }),
    },
  ];
}

/** As it will be read back: without the keys that are undefined. */
const plain = (value: unknown): unknown => (value === undefined ? undefined : JSON.parse(JSON.stringify(value)));
