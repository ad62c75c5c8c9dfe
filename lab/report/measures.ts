import { percentile } from "../../bench/stats.ts";
import type { Run } from "../experiments/folder.ts";
import { groups, requestsOf, type Sent } from "../experiments/requests.ts";
import type { Failover } from "../experiments/run.ts";

/** One kind of requests of a run, in the order in which they were due. */
export interface Group {
  name: string;
  sent: Sent[];
}

export function groupsOf(run: Pick<Run, "history" | "calls">): Group[] {
  const all = requestsOf(run);
  return groups
    .map((name) => ({ name, sent: all.filter(({ group }) => group === name) }))
    .filter(({ sent }) => sent.length > 0);
}

/** The middle, and what 90 and 99 of 100 stay below. */
export function percentiles(values: readonly number[]): number[] {
  const sorted = values.toSorted((a, b) => a - b);
  return [0.5, 0.9, 0.99].map((p) => percentile(sorted, p));
}

/** What one process told of itself. */
export interface Series {
  name: string;
  points: { atMs: number; value: number }[];
}

/** `scale`: what a value is multiplied with; of a counter (`_total`) its growth a second is drawn, not across a restart. */
export function seriesOf(samples: Run["metrics"], metric: string, scale: number): Series[] {
  const known = samples.filter(({ name }) => name === metric).sort((a, b) => a.atMs - b.atMs);
  return [...new Set(known.map(({ subject }) => subject))].sort().map((name) => {
    const own = known.filter(({ subject }) => subject === name);
    const points = own.map(({ atMs, value }, i) => {
      if (!metric.endsWith("_total")) return { atMs, value: value * scale };
      const last = own[i - 1];
      return { atMs, value: last ? ((value - last.value) * 1000 * scale) / (atMs - last.atMs) : -1 };
    });
    return { name, points: points.filter(({ value }) => value >= 0) };
  });
}

/** How long each step of failovers took, and the whole time without an answer, of all together. */
export function stepsOf(failovers: readonly Failover[]): Map<string, number[]> {
  const steps = new Map([["without an answer", failovers.map(({ gapMs }) => gapMs)]]);
  for (const { steps: all } of failovers)
    for (const [i, { name, atMs }] of all.slice(1).entries())
      steps.set(`until ${name}`, [...(steps.get(`until ${name}`) ?? []), atMs - all[i]!.atMs]);
  return steps;
}

/** The time without an acknowledgement; undefined where the fault left none behind that can be placed. */
export function gapOf({ steps, gapMs }: Failover): { fromMs: number; toMs: number } | undefined {
  const from = steps.find(({ name }) => name === "last ack")?.atMs;
  return from === undefined ? undefined : { fromMs: from, toMs: from + gapMs };
}

export const wholeRun = ({ phases, durationMs }: Run["file"]): { fromMs: number; toMs: number } => ({
  fromMs: Math.min(0, ...phases.map(({ fromMs }) => fromMs)),
  toMs: Math.max(durationMs, ...phases.map(({ toMs }) => toMs)),
});

export function timeText(ms: number): string {
  if (Number.isNaN(ms)) return "-";
  if (ms === 0) return "0";
  if (Math.abs(ms) >= 10_000) return `${(ms / 1000).toFixed(1)} s`;
  if (Math.abs(ms) >= 1000) return `${(ms / 1000).toFixed(2)} s`;
  return `${ms.toFixed(ms >= 100 ? 0 : ms >= 10 ? 1 : 2)} ms`;
}
