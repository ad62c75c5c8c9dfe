import { percentile } from "../../bench/stats.ts";
import { isWrite, outcome } from "../checkers/history.ts";
import type { Run } from "./folder.ts";
import type { Phase } from "./run.ts";

export const groups = ["store writes", "store reads", "API requests", "HTTP to Services"] as const;

/** A request of the store, the API or a Service: all alike. */
export interface Sent {
  group: (typeof groups)[number];
  /** Its answer ends the time without one: of writes, and of Services. */
  endsGap: boolean;
  /** When it was due, or else was sent. */
  due: number;
  returned: number | undefined;
  outcome: "ok" | "failed" | "unknown";
}

/** In the order in which they were due. What a store refuses as it should (a lease that ended) is an answer. */
export function requestsOf({ history, calls }: Pick<Run, "history" | "calls">): Sent[] {
  const operations = history.filter((line) => line.type === "operation");
  const sent = [
    ...operations.map((operation): Sent => {
      const { called, intended: due = called, returned, request } = operation;
      const how = outcome(operation);
      const writes = isWrite(request);
      const group = writes ? "store writes" : "store reads";
      return { group, endsGap: writes, due, returned, outcome: how === "failed" ? "ok" : how };
    }),
    ...calls.map(({ kind, intended: due, returned, outcome }): Sent => {
      const group = kind.startsWith("http ") ? "HTTP to Services" : "API requests";
      return { group, endsGap: /^(create|update|delete|http) /.test(kind), due, returned, outcome };
    }),
  ];
  return sent.sort((a, b) => a.due - b.due);
}

/** When something of the group was acknowledged, ascending. */
export function acksOf(sent: readonly Sent[], of?: Sent["group"]): number[] {
  const acked = sent.filter(({ group, endsGap, outcome }) => outcome === "ok" && endsGap && group === (of ?? group));
  return acked.map(({ returned }) => returned!).sort((a, b) => a - b);
}

export const latency = ({ due, returned }: Sent): number => Math.max(0, (returned ?? due) - due);

export interface Summary {
  requests: number;
  unanswered: number;
  perSecond: number;
  /** Milliseconds, of what was answered; NaN where nothing was. */
  p50: number;
  p90: number;
  p99: number;
  max: number;
}

const always = { fromMs: -Infinity, toMs: Infinity };

/** Of the requests that were due in the phase, whenever they were answered. */
export function summarize(sent: readonly Sent[], { fromMs, toMs }: Pick<Phase, "fromMs" | "toMs"> = always): Summary {
  const due = sent.filter((one) => one.due >= fromMs && one.due < toMs);
  const sorted = due.filter(({ outcome }) => outcome === "ok").map(latency);
  sorted.sort((a, b) => a - b);
  const at = (p: number) => (sorted.length === 0 ? Number.NaN : percentile(sorted, p));
  return {
    requests: due.length,
    unanswered: due.length - sorted.length,
    perSecond: toMs > fromMs ? (sorted.length * 1000) / (toMs - fromMs) : Number.NaN,
    ...{ p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) },
  };
}
