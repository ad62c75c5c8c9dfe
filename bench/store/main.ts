/**
 * `npm run bench -- store`: three members of ours beside three of Debian's etcd-server on the same machine, in alternating
 * rounds with fresh data directories; every number is kept for every round, the result is a ratio. README.md says how.
 */
import { Cluster, commonFlags, defaultTimers, type Store, storesFor } from "../members.ts";
import { chosen, Recorder, runBench, type Series } from "../results.ts";
import { type Case, type Context, cases, prepare, workloadOf, workloads } from "./workloads.ts";

const isUsage = ({ id }: Series) => id.startsWith("member/");
const isPaced = ({ id }: Series) => /^open-|^watch\/(latency|fan-out-paced)$/.test(id);
/** About the load process itself: in the JSON only. */
const isAside = ({ metric }: Series) => metric.startsWith("late ") || metric === "load cores";

runBench({
  name: "store",
  sections: [
    { title: "closed loop", keep: (one) => ![isUsage, isPaced, isAside].some((is) => is(one)) },
    { title: "due at fixed times", keep: (one) => isPaced(one) && !isAside(one) },
    { title: "a member", keep: isUsage },
  ],
  flags: {
    rounds: { type: "number", default: 5, help: "that count (--quick: 2); a shorter one before does not" },
    seconds: { type: "number", default: 1.2, help: "length of one measurement (--quick: 0.4)" },
    "value-size": { type: "number", default: 256, help: "bytes of a value" },
    workload: { type: "strings", help: `some of ${workloads.join(", ")}` },
  },
  async measure(run) {
    const { flags, signal, recorder } = run;
    const wanted = chosen("workload", flags.workload, workloads);
    const [rounds, seconds] = flags.quick ? [2, 0.4] : [flags.rounds, flags.seconds];
    const stores = storesFor(flags.only, defaultTimers);
    run.stores = stores;
    run.conditions.push(
      `three members on one machine that carries the load as well, ${rounds} alternating rounds of ${seconds} s, fresh directories, fsync on`,
      `both with ${commonFlags.join(" ")}, GOMAXPROCS ${process.env["GOMAXPROCS"] ?? "default"}`,
      `values of ${flags["value-size"]} bytes; puts to 100,000 random keys, single reads of 10,000 random keys that exist`,
    );
    const all = cases();
    const asked = all.filter((one) => wanted.includes(workloadOf(one)));
    // The open loops need to know what each store can take; few rounds have no time to warm the machine as well.
    const probes = wanted.includes("open") ? all.filter(({ id }) => id === "put/1000" || id === "range/1000") : [];
    const planned = rounds > 2 ? [...new Set([...asked, ...probes])] : probes;
    const plan = new Recorder();
    const options = { valueSize: flags["value-size"], signal };
    const short = { ...options, measureMs: 500, warmupMs: 100, seed: 0, capacity: undefined };
    for (const store of planned.length > 0 ? stores : []) await measure(store, planned, short, plan, "warm-up");
    const capacity = { put: least(plan, "put/1000"), range: least(plan, "range/1000") };
    recorder.failures.push(...plan.failures);
    for (let round = 1; round <= rounds; round++) {
      const times = { measureMs: seconds * 1000, warmupMs: Math.min(300, seconds * 500) };
      const long = { ...options, ...times, seed: round, capacity };
      for (const store of stores) await measure(store, asked, long, recorder, `round ${round} of ${rounds}`);
    }
  },
});

/** One store, started fresh, through all cases. A case that fails is told, and the next one has its turn. */
async function measure(
  store: Store,
  asked: Case[],
  options: Omit<Context, "cluster" | "leader">,
  recorder: Recorder,
  round: string,
): Promise<void> {
  const { signal } = options;
  signal.throwIfAborted();
  let cluster: Cluster | undefined;
  await recorder
    .attempt(signal, `${round} ${store.name}`, async () => {
      cluster = await Cluster.start(store, { signal });
      const context = { ...options, cluster, leader: await cluster.leader() };
      await prepare(context);
      for (const one of asked)
        await recorder.attempt(signal, `${round} ${store.name} ${one.id}`, async () => {
          context.leader = await context.cluster.leader();
          const samples = await one.run(context);
          if (samples) recorder.addAll(store.name, `${round} ${store.name} ${one.id}`, samples);
        });
      const at = "at the end of a run";
      for (const { pssMb, cpuSeconds } of cluster.usage())
        for (const sample of [
          { id: "member/pss", title: `PSS ${at}`, unit: "MB", value: pssMb },
          { id: "member/cpu", title: `CPU time ${at}`, unit: "s", value: cpuSeconds },
        ])
          recorder.add(store.name, { ...sample, metric: "value" });
    })
    .finally(() => cluster?.stop());
}

/** Of both stores; without a measurement, or with one of a stalled machine, something that every store takes. */
function least(plan: Recorder, id: string): number {
  const rates = plan.series.filter((one) => one.id === id && one.metric === "rate").flatMap(({ values }) => values);
  return rates.length > 0 ? Math.max(400, Math.min(...rates)) : 1000;
}
