import { cpus, totalmem } from "node:os";
import type { SoakResult } from "./soak.ts";

export interface Summary extends Omit<SoakResult, "rounds"> {
  seed: number;
  rounds: number;
  asked: number;
  members: number;
  clients: number;
  minutes: number;
  machine: string;
  verdict: "ok" | "violation" | "stopped early";
  faults: Record<string, { rounds: number; medianGapMs: number; worstGapMs: number }>;
}

export function summarize(
  { rounds, ...seen }: SoakResult,
  { seed, asked, members, clients, ms }: { seed: number; asked: number; members: number; clients: number; ms: number },
): Summary {
  const faults: Summary["faults"] = {};
  for (const deed of [...new Set(rounds.map((round) => round.deed))].sort()) {
    const gaps = rounds.filter((round) => round.deed === deed).map(({ gapMs }) => Math.round(gapMs));
    gaps.sort((a, b) => a - b);
    faults[deed] = { rounds: gaps.length, medianGapMs: gaps[gaps.length >> 1]!, worstGapMs: gaps.at(-1)! };
  }
  return {
    ...{ seed, rounds: rounds.length, asked, members, clients },
    minutes: Math.round(ms / 6000) / 10,
    machine: `${cpus().length} cores (${cpus()[0]?.model.trim()}), ${Math.round(totalmem() / 2 ** 30)} GiB, Node.js ${process.version}`,
    verdict: seen.violations.length > 0 ? "violation" : rounds.length < asked ? "stopped early" : "ok",
    ...seen,
    faults,
  };
}

export function markdown(summary: Summary): string {
  const { operations, faults, violations, losses } = summary;
  const sum = (kind: "ok" | "failed" | "unknown") => Object.values(operations).reduce((n, of) => n + of[kind], 0);
  const why = Object.entries(losses)
    .sort()
    .map(([because, count]) => `${because} ${count}`);
  const first = violations.slice(0, 20).map((line) => `- ${line}`);
  return [
    `# soak: ${summary.rounds} of ${summary.asked} rounds, ${summary.members} members, seed ${summary.seed}: ${summary.verdict}`,
    "",
    `${summary.minutes} minutes, ${summary.clients} clients, ${summary.machine}. Experiments in mode host, one after the other, each some`,
    "rounds on fresh data: timers of the preset `lan` (50/500 ms), fsync on, a snapshot every 100 entries. Each round: one fault",
    "under load, undone. At the end of each experiment: all members healthy, equal HashKV, no member ended by itself, and every",
    "checker of `lab/checkers` over all that happened.",
    "",
    ...(first.length > 0 ? [`${violations.length} violations, the first of them:`, "", ...first, ""] : []),
    "| fault | rounds | gap between acknowledged writes, ms: median | worst |",
    "|---|---|---|---|",
    ...Object.entries(faults).map(
      ([name, { rounds, medianGapMs, worstGapMs }]) => `| ${name} | ${rounds} | ${medianGapMs} | ${worstGapMs} |`,
    ),
    "",
    "A gap says for how long none of the clients, of which each has its member and pauses between operations, had a put or delete",
    "answered, from the fault until the next. It is no measurement of failover: `bench` has that.",
    "",
    "| operation | acknowledged | refused | unknown |",
    "|---|---|---|---|",
    ...Object.entries(operations).map(([op, { ok, failed, unknown }]) => `| ${op} | ${ok} | ${failed} | ${unknown} |`),
    `| all | ${sum("ok")} | ${sum("failed")} | ${sum("unknown")} |`,
    "",
    `Why members lost their leader, as they told it (those that were killed took it along): ${why.join(", ") || "none did"}.`,
    `States sent to followers that were too far behind: ${summary.snapshotsInstalled}.`,
    "",
  ].join("\n");
}
