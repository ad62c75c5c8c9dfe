import type { Probe } from "../api/generated/core-v1.ts";

/**
 * What the results of a probe amount to: it takes `failureThreshold` failures in a row to turn it false and
 * `successThreshold` successes to turn it true. Pure.
 */
export interface ProbeState {
  result: boolean;
  /** How often in a row the last outcome has come. */
  streak: number;
  last: boolean | undefined;
}

export function observe(state: ProbeState, outcome: boolean, probe: Probe): ProbeState {
  const streak = state.last === outcome ? state.streak + 1 : 1;
  const needed = outcome ? (probe.successThreshold ?? 1) : (probe.failureThreshold ?? 3);
  return { result: streak >= needed ? outcome : state.result, streak, last: outcome };
}

/** Two tries follow each other at least this closely while a container comes up. */
const firstRetryMs = 50;

/**
 * When to try next, after `tries` tries since the container came up without a success so far.
 *
 * Differs: until the first success of a readiness or startup probe, tries come at 50, 100, 200, ... ms until
 * `periodSeconds` is reached. Those extra tries do not count as failures: they only notice sooner that a container is
 * up, which upstream notices up to a period later.
 */
export function nextTry(probe: Probe, eager: boolean, tries: number): { afterMs: number; counts: boolean } {
  const periodMs = (probe.periodSeconds ?? 10) * 1000;
  const eagerMs = firstRetryMs * 2 ** tries;
  if (eager && eagerMs < periodMs) return { afterMs: eagerMs, counts: false };
  return { afterMs: periodMs, counts: true };
}
