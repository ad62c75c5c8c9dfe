/**
 * `npm run bench -- memory`: one member (or three) loaded with 1 GB of small and of larger values, beside Debian's etcd:
 * memory, the longest stall of the event loop and the longest GC pause of each stage, snapshots, and a restart; of several,
 * one is away while a tenth is written, and takes over the state of another when it comes back.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sleep, systemClock } from "../../base/clock.ts";
import { parseFlags } from "../../base/flags.ts";
import { createLogger } from "../../base/logger.ts";
import { runProcess } from "../../base/process.ts";
import { EtcdClient } from "../../etcd-raft/client/client.ts";
import { peer } from "../../tools/peers.ts";
import { describeMachine, machineText } from "../machine.ts";
import { usageOf } from "../members.ts";

const flagSpec = {
  megabytes: { type: "number", default: 1000, help: "live data: keys and values" },
  sizes: { type: "string", default: "256,2048", help: "bytes of a value" },
  members: { type: "number", default: 1, help: "of the cluster" },
  only: { type: "string", default: "", help: "ours or etcd" },
  out: { type: "string", default: "bench/results", help: "folder for the results" },
  program: { type: "string", default: "dist/etcd-raft.mjs", help: "ours" },
} as const;
const flags = parseFlags(flagSpec, process.argv.slice(2));

/** Loaded before the member: on SIGUSR2 it writes what it has seen since the last time. */
const probeModule = `data:text/javascript,${encodeURIComponent(`
import { monitorEventLoopDelay, PerformanceObserver } from "node:perf_hooks";
import { renameSync, writeFileSync } from "node:fs";
const delay = monitorEventLoopDelay({ resolution: 5 });
delay.enable();
let gc = 0;
new PerformanceObserver((list) => {
  for (const { duration } of list.getEntries()) gc = Math.max(gc, duration);
}).observe({ entryTypes: ["gc"] });
process.on("SIGUSR2", () => {
  const file = process.env.PROBE_FILE;
  const heap = process.memoryUsage().heapTotal / 1e6;
  writeFileSync(file + ".new", JSON.stringify({ stall: Math.max(0, delay.max / 1e6 - 5), gc, heap }));
  renameSync(file + ".new", file);
  delay.reset();
  gc = 0;
});
`)}`;

/** Stages of one run, in order, and what was seen in each. */
interface Stage {
  name: string;
  seconds: number;
  /** PSS of each member. */
  pss: number[];
  /** Of all members, the worst; NaN for a program that is not ours. */
  stallMs: number;
  gcMs: number;
  heapMb: number;
}

interface Member {
  dir: string;
  log: string;
  probe: string;
  args: string[];
  child: ChildProcess;
}

runProcess(createLogger("bench"), async (signal) => {
  const etcd = peer("etcd");
  const programs = [
    { name: "ours", command: [process.execPath, "--import", probeModule, flags.program], probed: true },
    ...(etcd ? [{ name: "etcd", command: [etcd], probed: false }] : []),
  ].filter(({ name }) => flags.only === "" || flags.only === name);
  const conditions = `${flags.members} member(s), ${flags.megabytes} MB of keys and values, no TLS, 100/1000 ms timers`;
  const machine = describeMachine();
  const results: unknown[] = [];
  const lines = [
    `# bench memory: ${conditions}`,
    "",
    "| value | program | stage | seconds | PSS, MB | of live data | heap, MB | longest stall, ms | longest GC, ms |",
    "|---|---|---|---|---|---|---|---|---|",
  ];
  /** After each program: a run that is ended leaves what it has. */
  const write = () => {
    mkdirSync(flags.out, { recursive: true });
    const when = new Date(systemClock.now()).toISOString().slice(0, 10);
    const text = [...lines, "", `${when}, ${machineText(machine)}`, ""].join("\n");
    writeFileSync(join(flags.out, "memory.md"), text);
    writeFileSync(
      join(flags.out, "memory.json"),
      `${JSON.stringify({ conditions, when, machine, results }, null, 1)}\n`,
    );
  };
  for (const size of flags.sizes.split(",").map(Number)) {
    for (const { name, command, probed } of programs) {
      if (signal.aborted) return;
      const { stages, notes } = await run(command, size, probed);
      results.push({ size, program: name, stages, notes });
      for (const { name: stage, seconds, pss, stallMs, gcMs, heapMb } of stages) {
        const share = (Math.max(...pss) / flags.megabytes).toFixed(2);
        const cells = [seconds.toFixed(1), pss.map((mb) => mb.toFixed(0)).join(" "), share];
        const ours = [heapMb, stallMs, gcMs].map((n) => (probed ? n.toFixed(0) : ""));
        lines.push(`| ${[size, name, stage, ...cells, ...ours].join(" | ")} |`);
      }
      lines.push(...notes.map((note) => `| ${size} | ${name} | ${note} | | | | | | |`));
      write();
    }
  }
  console.log(lines.join("\n"));
});

async function run(command: string[], size: number, probed: boolean): Promise<{ stages: Stage[]; notes: string[] }> {
  const root = mkdtempSync(join(tmpdir(), "kubelab-bench-memory-"));
  const ids = Array.from({ length: flags.members }, (_, i) => i + 1);
  const port = 25790;
  const cluster = ids.map((i) => `m${i}=http://127.0.0.1:${port + 10 + i}`).join(",");
  const members = ids.map((i): Member => {
    const dir = join(root, `m${i}`);
    const args = [
      ...command.slice(1),
      `--name=m${i}`,
      `--data-dir=${dir}`,
      `--listen-client-urls=http://127.0.0.1:${port + i}`,
      `--advertise-client-urls=http://127.0.0.1:${port + i}`,
      `--listen-peer-urls=http://127.0.0.1:${port + 10 + i}`,
      `--initial-advertise-peer-urls=http://127.0.0.1:${port + 10 + i}`,
      `--initial-cluster=${cluster}`,
      "--quota-backend-bytes=8589934592",
    ];
    return { dir, args, log: `${dir}.log`, probe: `${dir}.probe`, child: undefined as unknown as ChildProcess };
  });
  const start = (which = members) => {
    for (const member of which) {
      const log = openSync(member.log, "a");
      const env = { ...process.env, PROBE_FILE: member.probe };
      member.child = spawn(command[0]!, member.args, { stdio: ["ignore", log, log], env });
    }
  };
  const client = new EtcdClient({ endpoints: ids.map((i) => `http://127.0.0.1:${port + i}`) });
  const stages: Stage[] = [];
  const stage = async (name: string, work: () => Promise<unknown>) => {
    const begin = systemClock.monotonic();
    await work();
    const seconds = (systemClock.monotonic() - begin) / 1000;
    await sleep(systemClock, 3000);
    const running = members.filter(({ child }) => child.exitCode === null && child.signalCode === null);
    const probes = probed ? await Promise.all(running.map(readProbe)) : [];
    const worst = (key: "stall" | "gc" | "heap") => Math.max(0, ...probes.map((probe) => probe[key]));
    const pss = running.map(({ child }) => usageOf(child.pid!).pssMb);
    stages.push({ name, seconds, pss, stallMs: worst("stall"), gcMs: worst("gc"), heapMb: worst("heap") });
    console.error(`${size} ${name}: ${seconds.toFixed(1)} s, ${pss.map((mb) => mb.toFixed(0)).join(" ")} MB`);
  };
  const answers = async (of = client) => {
    const deadline = systemClock.monotonic() + 300_000;
    for (;;) {
      try {
        return await of.range({ key: "x" }, { timeoutMs: 1000 });
      } catch (error) {
        if (systemClock.monotonic() > deadline) throw error;
        await sleep(systemClock, 50);
      }
    }
  };
  try {
    start();
    await stage("start, empty", () => answers());
    await stage("load", () => load(client, size, 1));
    const { header, hash } = await timedHash();
    const away = members.slice(1).slice(-1);
    for (const { child } of away) await stopped(child, "SIGTERM");
    await stage("write a tenth again", () => load(client, size, 0.1));
    if (away.length > 0) {
      const behind = new EtcdClient({ endpoints: [`http://127.0.0.1:${port + flags.members}`] });
      start(away);
      await stage("a follower takes over the state", () => answers(behind)).finally(() => behind.close());
    }
    await stage("compact", () => client.compact({ revision: header!.revision }, { timeoutMs: 60_000 }));
    await sleep(systemClock, 15_000);
    await stage("after compaction", async () => {});
    await Promise.all(members.map(({ child }) => stopped(child, "SIGTERM")));
    start();
    await stage("restart", () => answers());
    return { stages, notes: [`hash ${hash}`, ...snapshots(members[0]!)] };
  } finally {
    client.close();
    await Promise.all(members.map(({ child }) => stopped(child, "SIGKILL")));
    rmSync(root, { recursive: true, force: true });
  }

  async function timedHash() {
    let answer: Awaited<ReturnType<EtcdClient["hashKV"]>>;
    await stage("HashKV", async () => {
      answer = await client.hashKV(0, { timeoutMs: 120_000 });
    });
    return answer!;
  }
}

/** Keys of 32 bytes in an order that is not theirs, 128 puts a request. */
async function load(client: EtcdClient, size: number, share: number): Promise<void> {
  const count = Math.floor((flags.megabytes * 1e6 * share) / (size + 32));
  const value = Buffer.alloc(size, "v");
  let next = 0;
  const worker = async () => {
    while (next < count) {
      const from = next;
      next = Math.min(count, from + 128);
      const success = Array.from({ length: next - from }, (_, i) => {
        const key = `/registry/pods/default/${String(((from + i) * 7_919_017) % 999_999_937).padStart(9, "0")}`;
        return { requestPut: { key, value } };
      });
      await client.txn({ success }, { timeoutMs: 120_000 });
    }
  };
  await Promise.all(Array.from({ length: 16 }, worker));
}

/** What our log says of them: how often, how much, how long. */
function snapshots({ log }: Member): string[] {
  const text = readFileSync(log, "utf8");
  const saved = text.split("\n").filter((line) => line.includes("Saved snapshot"));
  const field = (line: string, name: string) => Number(new RegExp(`"?${name}"?[:=]\\s*([\\d.]+)`).exec(line)?.[1] ?? 0);
  if (saved.length === 0) return [];
  const bytes = saved.reduce((sum, line) => sum + field(line, "bytes"), 0);
  const longest = Math.max(...saved.map((line) => field(line, "seconds")));
  return [`${saved.length} snapshots, ${(bytes / 1e6).toFixed(0)} MB in all, the longest ${longest.toFixed(1)} s`];
}

async function readProbe({ child, probe }: Member): Promise<{ stall: number; gc: number; heap: number }> {
  rmSync(probe, { force: true });
  child.kill("SIGUSR2");
  for (let tries = 0; tries < 100; tries++) {
    await sleep(systemClock, 50);
    try {
      return JSON.parse(readFileSync(probe, "utf8"));
    } catch {}
  }
  throw new Error("the member does not answer the probe");
}

async function stopped(child: ChildProcess | undefined, how: "SIGTERM" | "SIGKILL"): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const exit = new Promise((resolve) => child.once("exit", resolve));
  child.kill(how);
  await exit;
}
