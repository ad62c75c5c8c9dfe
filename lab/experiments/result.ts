import { timeText } from "../report/measures.ts";
import { faultsOf, hits } from "../report/picture.ts";
import { expectationsOf } from "./expectations.ts";
import { type DoneFault, failoversOf } from "./failovers.ts";
import type { Run } from "./folder.ts";
import { acksOf, requestsOf, summarize } from "./requests.ts";
import type { Phase, RunEvent, RunFile, Violation } from "./run.ts";
import type { Experiment } from "./schema.ts";

/** Whatever a run saw, and its load from when to when. `faults` in the order of time. */
type Seen = Pick<Run, "history" | "calls" | "events" | "objects"> & {
  faults: readonly DoneFault[];
  violations: Violation[];
  begun: number;
  ended: number;
};

/** What it comes to. */
export function resultOf(
  seen: Seen,
  expect: Experiment["expect"],
): Pick<RunFile, "phases" | "failovers" | "expectations" | "verdict"> {
  const { faults, violations, begun, ended } = seen;
  const sent = requestsOf(seen);
  const acks = {
    store: acksOf(sent, "store writes"),
    api: acksOf(sent, "API requests"),
    http: acksOf(sent, "HTTP to Services"),
  };
  const answers = seen.calls.flatMap(({ answeredBy, returned }) =>
    answeredBy ? [{ atMs: returned!, by: answeredBy }] : [],
  );
  answers.sort((a, b) => a.atMs - b.atMs);
  const failovers = failoversOf({ ...seen, acks, answers, endMs: ended });
  const expectations = expectationsOf(expect, { ...seen, sent, failovers, durationMs: ended - begun });
  const doubt = violations.some(({ message }) => /^linearizability: unknown|^no verdict/.test(message));
  const wrong = violations.length > 0 || expectations.some(({ met }) => !met);
  const verdict = doubt ? "unknown" : wrong ? "failed" : "passed";
  return { phases: phasesOf(faults, begun, ended), failovers, expectations, verdict };
}

/** `before`, one a fault (until it is undone or the next begins), `after`. */
function phasesOf(faults: readonly DoneFault[], fromMs: number, toMs: number): Phase[] {
  const during = faults.map(({ name, atMs, untilMs }, i): Phase => {
    return { name, fromMs: atMs, toMs: Math.min(untilMs, faults[i + 1]?.atMs ?? toMs) };
  });
  const first = during[0]?.fromMs ?? toMs;
  const last = during.at(-1)?.toMs ?? toMs;
  return [{ name: "before", fromMs, toMs: first }, ...during, { name: "after", fromMs: last, toMs }];
}

/** Members of ours that ended by themselves. The only reason that they may have is a disk that fails or is full. */
export function crashesOf(events: readonly RunEvent[]): string[] {
  const faults = faultsOf(events, Infinity).filter(({ name }) => /^(fail-fsync|fill-disk|corrupt|wipe) /.test(name));
  for (const fault of faults) if (/^[cw]/.test(fault.name)) fault.toMs = Infinity; // no heal helps there
  return events.flatMap(({ type, subject, message, atMs }) => {
    const crashed =
      type === "Exited" && /^etcd-\d+$/.test(subject) && /^(exit code [1-9]|SIG(ABRT|SEGV|BUS|ILL))/.test(message);
    const during = (fault: (typeof faults)[0]) => fault.fromMs <= atMs && atMs <= fault.toMs + afterwardsMs;
    if (!crashed || faults.some((fault) => during(fault) && hits(fault, subject))) return [];
    return [`${subject} ended by itself at ${(atMs / 1000).toFixed(1)} s: ${message}`];
  });
}

/** A member that ended just before its disk was healed may be told of later. */
const afterwardsMs = 2000;

/** One line a run, for people. */
export function summaryOf({ history, calls, file }: Run): string {
  const { requests, unanswered, p50, p99 } = summarize(requestsOf({ history, calls }));
  const counts = `${requests} requests, ${unanswered} not answered, ${file.violations.length} violations`;
  return `${counts}, p50 ${timeText(p50)}, p99 ${timeText(p99)}`;
}
