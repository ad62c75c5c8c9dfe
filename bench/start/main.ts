/**
 * `npm run bench -- start`: time from `kubelab up` to the first API answer, all nodes Ready, the first Pod Running and the
 * demo serving, and the PSS of the whole lab a moment later. Fresh lab each round.
 */
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { parseFlags } from "../../base/flags.ts";
import { createLogger } from "../../base/logger.ts";
import { runProcess } from "../../base/process.ts";
import type { LabStatus } from "../../deploy/supervisor/status.ts";
import { usageOf } from "../members.ts";
import { spread } from "../stats.ts";

const flagSpec = {
  rounds: {
    type: "number",
    default: 5,
    help: "fresh labs to start; the first is not counted when there are more than two",
  },
  members: { type: "number", default: 3, help: "raft members" },
  nodes: { type: "number", default: 2, help: "nodes" },
} as const;

/** A row of the report: what the line of `up`'s timeline says. */
const milestones = {
  "first API answer": /apiserver: answers/,
  "all nodes Ready": /every node is Ready/,
  "first Pod Running": /the first Pod runs/,
  "demo serving": /the demo serves/,
};

runProcess(createLogger("bench"), async (signal) => {
  const flags = parseFlags(flagSpec, process.argv.slice(2));
  const rows = new Map<string, number[]>();
  const memory: number[] = [];
  for (let round = 0; round < flags.rounds && !signal.aborted; round++) {
    const { times, pss } = await startOnce(flags);
    if (round === 0 && flags.rounds > 2) continue;
    for (const [name, ms] of times) rows.set(name, [...(rows.get(name) ?? []), ms]);
    memory.push(pss);
  }
  const line = (name: string, values: number[], unit: string) => {
    const { median, min, max } = spread(values);
    return `| ${name} | ${median.toFixed(0)} ${unit} | ${min.toFixed(0)} to ${max.toFixed(0)} |`;
  };
  const text = [
    `# bench start: ${flags.members} members, ${flags.nodes} nodes, ${memory.length} fresh labs`,
    "",
    "| from `kubelab up` to | median | least to most |",
    "|---|---|---|",
    ...[...rows].map(([name, values]) => line(name, values, "ms")),
    line("memory of all processes (PSS)", memory, "MB"),
    "",
  ].join("\n");
  console.log(text);
  mkdirSync("bench/results", { recursive: true });
  writeFileSync("bench/results/start.md", text);
});

async function startOnce(flags: {
  members: number;
  nodes: number;
}): Promise<{ times: [string, number][]; pss: number }> {
  const dir = mkdtempSync(join(tmpdir(), "kubelab-bench-start-"));
  const lab = ["--name=bench-start", `--dir=${join(dir, "lab")}`];
  const kubelab = (...args: string[]) => promisify(execFile)(process.execPath, ["dist/kubelab.mjs", ...args, ...lab]);
  try {
    const up = ["up", "--detach", "--demo", `--members=${flags.members}`, `--nodes=${flags.nodes}`];
    const { stdout } = await kubelab(...up);
    const status = JSON.parse((await kubelab("status", "--json")).stdout) as LabStatus;
    return { times: readTimeline(stdout), pss: labMemoryMb(status) };
  } finally {
    await kubelab("down").catch(() => {}); // it may never have come up
    rmSync(dir, { recursive: true, force: true });
  }
}

function readTimeline(text: string): [string, number][] {
  return Object.entries(milestones).map(([name, pattern]) => {
    const row = text.split("\n").find((line) => pattern.test(line));
    const ms = /^\s*(\d+) ms/.exec(row ?? "")?.[1];
    if (ms === undefined) throw new Error(`the timeline of \`up\` has no line for "${name}":\n${text}`);
    return [name, Number(ms)];
  });
}

/** The supervisor and everything below it: our processes, sandboxes, containers. */
function labMemoryMb(status: LabStatus): number {
  const children = new Map<number, number[]>();
  const parents = new Map<number, number>();
  for (const entry of readdirSync("/proc")) {
    const pid = Number(entry);
    if (!Number.isInteger(pid)) continue;
    const parent = parentOf(pid);
    if (parent === undefined) continue;
    parents.set(pid, parent);
    children.set(parent, [...(children.get(parent) ?? []), pid]);
  }
  let top = status.apiservers[0]!.pid!;
  while (!commandOf(top).includes("supervisor.mjs")) {
    top = parents.get(top) ?? 0;
    if (top <= 1) throw new Error("the apiserver has no supervisor above it");
  }
  const sum = (pid: number): number =>
    (children.get(pid) ?? []).reduce((total, child) => total + sum(child), memoryOf(pid));
  return sum(top);
}

/** A process that ends meanwhile has no memory left. */
function memoryOf(pid: number): number {
  try {
    return usageOf(pid).pssMb;
  } catch {
    return 0;
  }
}

function parentOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
  } catch {
    return undefined;
  }
}

function commandOf(pid: number): string {
  return readFileSync(`/proc/${pid}/cmdline`, "utf8");
}
