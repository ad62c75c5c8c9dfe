import { type HistoryLine, isWrite, outcome } from "../checkers/history.ts";
import type { Call, Expectation, Failover, ObjectEvent, Violation } from "./run.ts";
import type { ExpectationName, Experiment } from "./schema.ts";

export interface Outcome {
  history: readonly HistoryLine[];
  calls: readonly Call[];
  objects: readonly ObjectEvent[];
  failovers: readonly Failover[];
  violations: readonly Violation[];
  durationMs: number;
}

/** What was expected beside what came. A number that cannot be had (nothing was answered) is not met. */
export function expectationsOf(expect: Experiment["expect"], outcome: Outcome): Expectation[] {
  return Object.entries(expect).map(([name, limit]) => {
    const value = measures[name as ExpectationName](outcome);
    const met = value !== null && (name.endsWith("Min") ? value >= limit : value <= limit);
    return { name, limit, value: value === null ? null : Math.round(value * 1000) / 1000, met };
  });
}

const measures: Record<ExpectationName, (outcome: Outcome) => number | null> = {
  lostWrites: ({ violations }) => violations.filter(({ message }) => /^lost (write|object)/.test(message)).length,
  failoverMaxMs: ({ failovers }) => most(failovers.map(({ gapMs }) => gapMs)),
  recoveryMaxMs: ({ failovers }) =>
    most(
      failovers
        .filter(({ steps }) => steps[0]?.name === "node dead")
        .map(({ atMs, steps }) => (steps.at(-1)!.name === "first answer" ? steps.at(-1)!.atMs - atMs : Infinity)),
    ),
  errorsMax: (all) => requestsOf(all).filter(({ outcome }) => outcome !== "ok").length,
  p50Ms: (all) => percentileOf(latencies(all), 0.5),
  p99Ms: (all) => percentileOf(latencies(all), 0.99),
  throughputMin: (all) => (latencies(all).length * 1000) / all.durationMs,
  readyMax: ({ objects }) => most(readyCounts(objects)),
  readyMin: ({ objects }) => {
    const counts = readyCounts(objects);
    const peak = counts.indexOf(Math.max(...counts));
    return counts.length === 0 ? null : Math.min(...counts.slice(peak));
  },
};

export interface Sent {
  write: boolean;
  /** When it was due, or else was sent. */
  due: number;
  returned: number | undefined;
  outcome: "ok" | "failed" | "unknown";
}

/** All requests alike, of store, API and Services. What a store refuses as it should (a lease that ended) is an answer. */
export function requestsOf({ history, calls }: Pick<Outcome, "history" | "calls">): Sent[] {
  const operations = history.filter((line) => line.type === "operation");
  return [
    ...operations.map((operation): Sent => {
      const { called, intended = called, returned, request } = operation;
      const how = outcome(operation);
      return { write: isWrite(request), due: intended, returned, outcome: how === "failed" ? "ok" : how };
    }),
    ...calls.map(({ kind, called, intended = called, returned, outcome }): Sent => {
      return { write: /^(create|update|delete) /.test(kind), due: intended, returned, outcome };
    }),
  ];
}

/** Of those that were answered, ascending. */
export const latenciesOf = (sent: readonly Sent[]): number[] =>
  sent.flatMap(({ due, returned, outcome }) => (outcome === "ok" ? [returned! - due] : [])).sort((a, b) => a - b);
const latencies = (all: Outcome): number[] => latenciesOf(requestsOf(all));

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

const most = (values: readonly number[]): number | null => (values.length === 0 ? null : Math.max(...values));

/** Of ascending values: the nearest rank. */
export const percentileOf = (sorted: readonly number[], p: number): number | null =>
  sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * p) - 1)] ?? null;
