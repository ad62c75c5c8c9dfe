import { cpus, totalmem } from "node:os";
import { outcome } from "../checkers/history.ts";
import type { SoakResult } from "./soak.ts";

export interface Summary {
  seed: number;
  rounds: number;
  asked: number;
  members: number;
  clients: number;
  minutes: number;
  machine: string;
  verdict: "ok" | "violation" | "stopped early";
  violations: string[];
  operations: Record<string, { ok: number; failed: number; unknown: number }>;
  faults: Record<string, { rounds: number; gapMs: Spread; healthyMs: Spread }>;
  leaderLosses: Record<string, number>;
  snapshotsInstalled: number;
}

interface Spread {
  median: number;
  worst: number;
}

export function summarize(
  { rounds, operations, losses, snapshotsInstalled, violations }: SoakResult,
  { seed, asked, members, clients, ms }: { seed: number; asked: number; members: number; clients: number; ms: number },
): Summary {
  const byKind: Summary["operations"] = {};
  for (const operation of operations) {
    const { op } = operation.request;
    byKind[op] ??= { ok: 0, failed: 0, unknown: 0 };
    byKind[op][outcome(operation)]++;
  }
  const faults: Summary["faults"] = {};
  for (const deed of [...new Set(rounds.map((round) => round.deed))].sort()) {
    const of = rounds.filter((round) => round.deed === deed);
    faults[deed] = {
      rounds: of.length,
      gapMs: spread(of.map(({ gapMs }) => gapMs)),
      healthyMs: spread(of.map(({ healthyMs }) => healthyMs)),
    };
  }
  const verdict = violations.length > 0 ? "violation" : rounds.length < asked ? "stopped early" : "ok";
  return {
    seed,
    rounds: rounds.length,
    asked,
    members,
    clients,
    minutes: Math.round(ms / 6000) / 10,
    machine: `${cpus().length} cores (${cpus()[0]?.model.trim()}), ${Math.round(totalmem() / 2 ** 30)} GiB, Node.js ${process.version}`,
    verdict,
    violations,
    operations: byKind,
    faults,
    leaderLosses: Object.fromEntries([...losses].sort()),
    snapshotsInstalled,
  };
}

export function markdown(summary: Summary): string {
  const { operations, faults, violations } = summary;
  const sum = (kind: "ok" | "failed" | "unknown") => Object.values(operations).reduce((n, of) => n + of[kind], 0);
  return [
    `# soak: ${summary.rounds} of ${summary.asked} rounds, ${summary.members} members, seed ${summary.seed}: ${summary.verdict}`,
    "",
    `${summary.minutes} minutes, ${summary.clients} clients, ${summary.machine}. Timers of the preset \`lan\` (50/500 ms), fsync on,`,
    "a snapshot every 100 entries. Each round: one fault under load, undone, all members healthy again, equal HashKV, and every",
    "checker of `lab/checkers` over all that happened since the cluster began (some rounds on fresh data).",
    "",
    ...(violations.length > 0
      ? [
          `${violations.length} violations, the first of them:`,
          "",
          ...violations.slice(0, 20).map((line) => `- ${line}`),
          "",
        ]
      : []),
    "| fault | rounds | gap between acknowledged writes, ms: median (worst) | healthy after it was undone, ms |",
    "|---|---|---|---|",
    ...Object.entries(faults).map(
      ([name, { rounds, gapMs, healthyMs }]) =>
        `| ${name} | ${rounds} | ${gapMs.median} (${gapMs.worst}) | ${healthyMs.median} (${healthyMs.worst}) |`,
    ),
    "",
    "A gap says for how long none of the clients, of which each has its member and pauses between operations, had a put or delete",
    "answered, from the fault until all were healthy. It is no measurement of failover: `bench` has that.",
    "",
    "| operation | acknowledged | refused | unknown |",
    "|---|---|---|---|",
    ...Object.entries(operations).map(([op, { ok, failed, unknown }]) => `| ${op} | ${ok} | ${failed} | ${unknown} |`),
    `| all | ${sum("ok")} | ${sum("failed")} | ${sum("unknown")} |`,
    "",
    `Why members lost their leader, as they told it (those that were killed took it along): ${
      Object.entries(summary.leaderLosses)
        .map(([because, count]) => `${because} ${count}`)
        .join(", ") || "none did"
    }. States sent to followers that were too far behind: ${summary.snapshotsInstalled}.`,
    "",
  ].join("\n");
}

function spread(values: number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  return { median: Math.round(sorted[sorted.length >> 1] ?? 0), worst: Math.round(sorted.at(-1) ?? 0) };
}
