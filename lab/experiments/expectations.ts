import { acksOf, type Sent, summarize } from "./requests.ts";
import type { Expectation, Failover, ObjectEvent, Violation } from "./run.ts";
import type { ExpectationName, Experiment } from "./schema.ts";

export interface Outcome {
  sent: readonly Sent[];
  objects: readonly ObjectEvent[];
  failovers: readonly Failover[];
  violations: readonly Violation[];
  durationMs: number;
}

/** What was expected beside what came. A number that cannot be had (nothing was answered) is not met. */
export function expectationsOf(expect: Experiment["expect"], outcome: Outcome): Expectation[] {
  return Object.entries(expect).map(([name, limit]) => {
    const value = measures[name as ExpectationName](outcome);
    const met = name.endsWith("Min") ? value >= limit : value <= limit;
    return { name, limit, value: Number.isNaN(value) ? null : Math.round(value * 1000) / 1000, met };
  });
}

/** NaN: it cannot be had. */
const measures: Record<ExpectationName, (outcome: Outcome) => number> = {
  lostWrites: ({ violations }) => violations.filter(({ message }) => /^lost (write|object)/.test(message)).length,
  failoverMaxMs: ({ failovers, sent }) =>
    acksOf(sent).length > 0 ? most(failovers.map(({ gapMs }) => gapMs)) : Number.NaN,
  recoveryMaxMs: ({ failovers }) =>
    most(
      failovers
        .filter(({ steps }) => steps[0]?.name === "node dead")
        .map(({ atMs, steps }) => (steps.at(-1)!.name === "first answer" ? steps.at(-1)!.atMs - atMs : Infinity)),
    ),
  errorsMax: ({ sent }) => summarize(sent).unanswered,
  p50Ms: ({ sent }) => summarize(sent).p50,
  p99Ms: ({ sent }) => summarize(sent).p99,
  throughputMin: ({ sent, durationMs }) => (sent.filter(({ outcome }) => outcome === "ok").length * 1000) / durationMs,
  readyMax: ({ objects }) => most(readyCounts(objects)),
  readyMin: ({ objects }) => {
    const counts = readyCounts(objects);
    const peak = counts.indexOf(Math.max(...counts));
    return counts.length === 0 ? Number.NaN : Math.min(...counts.slice(peak));
  },
};

/** How many Pods of the workload that has most of them were ready, after each change. */
function readyCounts(objects: readonly ObjectEvent[]): number[] {
  const owners = new Map<string, string>(); // of ReplicaSets: their Deployment
  for (const { object } of objects)
    if (object?.kind === "ReplicaSet" && object.owner) owners.set(object.uid, object.owner);
  const workloads = new Map<string, { ready: Set<string>; counts: number[] }>();
  for (const { type, object } of objects) {
    if (object?.kind !== "Pod" || !object.owner) continue;
    const workload = owners.get(object.owner) ?? object.owner;
    const { ready, counts } = workloads.get(workload) ?? { ready: new Set(), counts: [] };
    if (type !== "DELETED" && object.ready && !object.terminating) ready.add(object.uid);
    else ready.delete(object.uid);
    counts.push(ready.size);
    workloads.set(workload, { ready, counts });
  }
  const all = [...workloads.values()].map(({ counts }) => counts);
  return all.sort((a, b) => Math.max(...b) - Math.max(...a))[0] ?? [];
}

const most = (values: readonly number[]): number => (values.length === 0 ? Number.NaN : Math.max(...values));
