/**
 * `npm run bench -- memory`: three members loaded with 1 GB of small and of larger values, beside Debian's etcd: memory,
 * the longest stall of the event loop and the longest GC pause of each stage, and restarts until each member
 * answers. One is away while a tenth is written, and takes over the state of another when it comes back.
 */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { sleep, systemClock } from "../../base/clock.ts";
import { KVService, MaintenanceService } from "../../proto/generated/etcdserverpb.ts";
import { Cluster, defaultTimers, type Store, storesFor } from "../members.ts";
import { preload } from "../preload.ts";
import { until } from "../process.ts";
import { type Run, runBench, type Sample } from "../results.ts";

const flagSpec = {
  megabytes: { type: "number", default: 1000, help: "live data: keys and values (--quick: 50)" },
  sizes: { type: "string", default: "256,2048", help: "bytes of a value" },
  restarts: { type: "number", default: 3, help: "after SIGKILL to all members" },
} as const;

const prefix = "/registry/pods/default/";
const patienceMs = 300_000;

/** Loaded before the member: on SIGUSR2 it writes what it has seen since the last time, beside the data directory. */
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
  const file = process.argv.find((arg) => arg.startsWith("--data-dir=")).slice(11) + ".probe";
  const heap = process.memoryUsage().heapTotal / 1e6;
  writeFileSync(file + ".new", JSON.stringify({ stall: Math.max(0, delay.max / 1e6 - 5), gc, heap }));
  renameSync(file + ".new", file);
  delay.reset();
  gc = 0;
});
`)}`;

runBench({
  name: "memory",
  flags: flagSpec,
  sections: ["256", "2048", ""].map((size) => ({
    title: size === "" ? "values of another size" : `values of ${size} bytes`,
    keep: ({ id }) => (size === "" ? !/^(256|2048)\//.test(id) : id.startsWith(`${size}/`)),
  })),
  async measure(run) {
    const { flags, signal, recorder } = run;
    const megabytes = flags.quick ? Math.min(50, flags.megabytes) : flags.megabytes;
    run.stores = storesFor(flags.only, defaultTimers);
    run.conditions.push(
      `three members, ${megabytes} MB of keys and values, in transactions of 100 puts; PSS and stalls are of the worst member, 3 s after the stage${flags.quick ? " (--quick: a tenth of these times)" : ""}`,
    );
    // Ours first: for minutes after etcd's 16 GB whoever allocates waits for the kernel (stalls of 0.8 s were seen).
    for (const store of run.stores)
      for (const size of flags.sizes.split(",").map(Number))
        await recorder.attempt(signal, `${store.name}, ${size} bytes`, () => measure(run, store, size, megabytes));
  },
});

async function measure(run: Run<typeof flagSpec>, store: Store, size: number, megabytes: number): Promise<void> {
  const { signal, recorder } = run;
  const ours = store.name === "ours";
  const [program, ...rest] = store.command;
  const probed = ours ? { ...store, command: [program!, "--import", probeModule, ...rest] } : store;
  let cluster!: Cluster;
  const everyone = [0, 1, 2];
  const count = Math.floor((megabytes * 1e6) / (size + 32));
  const load = { prefix, valueSize: size, scattered: true, signal };
  const stage = async (name: string, work: () => Promise<unknown>) => {
    const id = `${size}/${name}`;
    const began = systemClock.monotonic();
    await work();
    const seconds = (systemClock.monotonic() - began) / 1000;
    await sleep(systemClock, run.flags.quick ? 300 : 3000, signal);
    const running = everyone.filter((i) => cluster.runs(i));
    const probes = ours ? await Promise.all(running.map((i) => readProbe(cluster, i, signal))) : [];
    const worst = (key: "stall" | "gc" | "heap") => Math.max(...probes.map((probe) => probe[key]));
    const pss = Math.max(...cluster.usage().map(({ pssMb }) => pssMb));
    const sample = (metric: string, unit: string, value: number): Sample => {
      return { id, title: name, metric, unit, value };
    };
    recorder.addAll(store.name, `${store.name} ${id}`, [
      sample("took", "s", seconds),
      sample("PSS", "MB", pss),
      sample("PSS of live data", "x", pss / megabytes),
      ...(ours ? [sample("heap", "MB", worst("heap"))] : []),
      ...(ours ? [sample("longest stall", "ms", worst("stall")), sample("longest GC", "ms", worst("gc"))] : []),
    ]);
  };
  const started = async (which: number[]) => {
    for (const i of which) cluster.startMember(i);
    await cluster.leader(patienceMs);
    for (const i of which) await cluster.revision(i, patienceMs);
  };
  try {
    await stage("start, empty", async () => {
      cluster = await Cluster.start(probed, { signal });
    });
    await stage("load", () => preload(cluster, 0, { ...load, keys: count }));
    const revision = await cluster.revision(0);
    await stage("HashKV", () => cluster.client(0).unary(MaintenanceService.HashKV, {}, { timeoutMs: patienceMs }));
    await cluster.end(2, "SIGTERM");
    await stage("write a tenth again", () => preload(cluster, 0, { ...load, keys: count / 10 }));
    await stage("a follower takes over the state", () => started([2]));
    await cluster.client(0).unary(KVService.Compact, { revision }, { timeoutMs: patienceMs });
    await stage("compact, and 15 s", () => sleep(systemClock, run.flags.quick ? 1500 : 15_000, signal));
    for (let n = 0; n < run.flags.restarts; n++) {
      await Promise.all(everyone.map((i) => cluster.end(i, "SIGKILL")));
      await stage("restart after SIGKILL", () => started(everyone));
    }
  } finally {
    await cluster?.stop();
  }
}

async function readProbe(cluster: Cluster, i: number, signal: AbortSignal) {
  const file = join(cluster.dir, `m${i}.probe`);
  rmSync(file, { force: true });
  cluster.signal(i, "SIGUSR2");
  await until("an answer of the probe", { limitMs: 5000, signal }, () => existsSync(file));
  return JSON.parse(readFileSync(file, "utf8")) as { stall: number; gc: number; heap: number };
}
