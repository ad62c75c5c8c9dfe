/**
 * `npm run bench -- start`: time from `kubelab up` to the first API answer, all nodes Ready, the first Pod Running and the
 * demo serving, and the PSS of the whole lab a moment later. Fresh lab each round.
 */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { presets } from "../../deploy/lab/presets.ts";
import type { LabStatus } from "../../deploy/supervisor/status.ts";
import { ourStore } from "../members.ts";
import { dropFolder, freshFolder, usageOf } from "../process.ts";
import { runBench, type Sample } from "../results.ts";

/** What the line of `up`'s timeline says. */
const milestones = {
  "first API answer": /apiserver: answers/,
  "all nodes Ready": /every node is Ready/,
  "first Pod Running": /the first Pod runs/,
  "demo serving": /the demo serves/,
};

runBench({
  name: "start",
  tls: "TLS everywhere",
  sections: [
    { title: "from `kubelab up` to", keep: ({ unit }) => unit === "ms" },
    { title: "memory", keep: ({ unit }) => unit === "MB" },
  ],
  flags: {
    rounds: { type: "number", default: 5, help: "fresh labs that count; one before them does not (--quick: 1 round)" },
    members: { type: "number", default: 3, help: "raft members" },
    nodes: { type: "number", default: 2, help: "nodes" },
  },
  async measure(run) {
    const { flags, recorder, signal } = run;
    const rounds = flags.quick ? 1 : flags.rounds;
    run.stores = [ourStore(presets.lan)];
    run.conditions.push(`${flags.members} members, ${flags.nodes} nodes, ${rounds} fresh labs, warm page cache`);
    for (let round = rounds > 2 ? 0 : 1; round <= rounds && !signal.aborted; round++)
      await recorder.attempt(signal, `round ${round}`, async () => {
        const samples = await startOnce(flags.members, flags.nodes);
        if (round > 0) recorder.addAll("ours", `round ${round} of ${rounds}`, samples);
      });
  },
});

async function startOnce(members: number, nodes: number): Promise<Sample[]> {
  const dir = freshFolder("start");
  const lab = ["--name=bench-start", `--dir=${join(dir, "lab")}`];
  const kubelab = (...args: string[]) => promisify(execFile)(process.execPath, ["dist/kubelab.mjs", ...args, ...lab]);
  try {
    const up = ["up", "--detach", "--demo", `--members=${members}`, `--nodes=${nodes}`];
    const timeline = (await kubelab(...up)).stdout.split("\n");
    const status = JSON.parse((await kubelab("status", "--json")).stdout) as LabStatus;
    const times = Object.entries(milestones).map(([title, pattern]) => {
      const ms = /^\s*(\d+) ms/.exec(timeline.find((line) => pattern.test(line)) ?? "")?.[1];
      if (ms === undefined) throw new Error(`the timeline of \`up\` has no line for "${title}"`);
      return { title, unit: "ms", value: Number(ms) };
    });
    const memory = { title: "memory of all processes (PSS)", unit: "MB", value: labMemoryMb(status) };
    return [...times, memory].map((one) => ({ id: `start/${one.title}`, ...one, metric: "time" }));
  } finally {
    await kubelab("down").catch(() => {}); // it may never have come up
    dropFolder(dir);
  }
}

/** The supervisor and everything below it: our processes, sandboxes, containers. */
function labMemoryMb(status: LabStatus): number {
  const proc = (pid: number, file: string) => readFileSync(`/proc/${pid}/${file}`, "utf8");
  const sum = (pid: number): number => {
    try {
      const children = proc(pid, `task/${pid}/children`).split(" ").filter(Boolean);
      return children.reduce((total, child) => total + sum(Number(child)), usageOf(pid).pssMb);
    } catch {
      return 0; // it ends meanwhile
    }
  };
  let top = status.apiservers[0]!.pid!;
  while (!proc(top, "cmdline").includes("supervisor.mjs")) {
    top = Number(/^PPid:\s+(\d+)/m.exec(proc(top, "status"))![1]);
    if (top <= 1) throw new Error("the apiserver has no supervisor above it");
  }
  return sum(top);
}
