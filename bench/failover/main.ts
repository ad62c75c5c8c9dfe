/**
 * `npm run bench -- failover`: how long clients of the survivors wait when a leader is killed, stopped, told to end or cut
 * off from its peers: ours with the lab's `lan` timers, real etcd with the same, and with its defaults. README.md says how.
 */
import { systemClock } from "../../base/clock.ts";
import { parseFlags } from "../../base/flags.ts";
import { StartError } from "../../base/process.ts";
import { seededRand } from "../../base/rand.ts";
import { presets } from "../../deploy/lab/presets.ts";
import { describeMachine } from "../machine.ts";
import { Cluster, defaultTimers, type Store, storesFor } from "../members.ts";
import { numberText, Recorder, resultsDir, runBench, writeRun } from "../results.ts";
import { svg, table } from "./report.ts";
import { type Fault, faults, runTrial } from "./trial.ts";

const flagSpec = {
  trials: { type: "number", default: 30, help: "of each fault and store" },
  block: { type: "number", default: 10, help: "trials before the next store has its turn" },
  faults: { type: "strings", help: `some of ${faults.map((name) => name.replace(" -9", "")).join(", ")}` },
  quick: { type: "boolean", default: false, help: "4 trials each" },
  only: { type: "string", default: "", help: "ours or etcd: measure one store only" },
  defaults: { type: "boolean", default: true, help: "etcd with its default timers, too" },
  out: { type: "string", default: "", help: "folder for the results" },
} as const;

runBench(async (signal) => {
  const flags = parseFlags(flagSpec, process.argv.slice(2));
  const chosen = flags.faults.length === 0 ? [...faults] : flags.faults.map(faultNamed);
  const trials = flags.quick ? 4 : flags.trials;
  const block = Math.min(flags.block, trials);
  const { heartbeatMs, electionMs } = presets.lan;
  const lan = storesFor(flags.only, { heartbeatMs, electionMs });
  const stores: Store[] = [
    ...lan,
    ...lan
      .filter(({ name }) => name === "etcd" && flags.defaults)
      .map((store) => ({ ...store, name: "etcd at its defaults", timers: defaultTimers })),
  ];
  const recorder = new Recorder();
  const machine = describeMachine();
  const started = systemClock.monotonic();
  const counts = { acknowledged: 0, refused: 0 };
  try {
    for (let from = 0; from < trials; from += block) {
      const until = Math.min(trials, from + block);
      for (const store of stores) {
        // Relays only where they are needed: they cost every message a hop.
        for (const relays of [false, true]) {
          const some = chosen.filter((fault) => (fault === "partition") === relays);
          await runBlock(store, some, relays, from, until);
        }
      }
    }
  } finally {
    const lost = recorder.failures.length === 0 ? "none lost, no event missed" : "see the failures";
    const conditions = [
      `${trials} trials of each fault at the leader of three members on one machine, in alternating blocks of ${block}, fsync on`,
      "a put of a new key every 5 ms to the two survivors, a watch at one of them; faults come at a random phase of the heartbeat",
      `after each trial every member was asked for every acknowledged write (${counts.acknowledged.toLocaleString("en-US")} in all, ${counts.refused} refused): ${lost}`,
      `took ${Math.round((systemClock.monotonic() - started) / 1000)} s${signal.aborted ? ", interrupted" : ""}`,
    ];
    const full = trials >= 30 && flags.only === "" && flags.faults.length === 0 && flags.defaults && !signal.aborted;
    const run = { bench: "failover", machine, stores, conditions };
    writeRun(run, recorder, resultsDir(flags.out, full), { table, svg });
  }

  async function runBlock(store: Store, some: Fault[], relays: boolean, from: number, until: number): Promise<void> {
    let cluster: Cluster | undefined;
    const trial = async (fault: Fault, n: number) => {
      signal.throwIfAborted();
      cluster ??= await Cluster.start(store, { relays, signal });
      const on = cluster;
      const what = `${store.name}, ${fault}, trial ${n + 1}`;
      const well = await recorder.attempt(signal, what, async () => {
        const name = `${fault.replace(" ", "")}-${n}`;
        const { gapMs, leaderMs, watchMs, refused, acknowledged } = await runTrial(
          on,
          fault,
          name,
          seededRand(n),
          signal,
        );
        for (const [metric, title, value, unit] of [
          ["gap", "between acknowledged writes", gapMs, "ms"],
          ["leader", "until another leader is named", leaderMs, "ms"],
          ["watch", "between events of a watch", watchMs, "ms"],
          ["refused", "writes that were refused", refused, "writes"],
        ] as const) {
          recorder.add(store.name, { id: fault, title, metric, unit, better: "lower", value });
        }
        counts.acknowledged += acknowledged;
        counts.refused += refused;
        console.error(`${what}: ${[gapMs, leaderMs, watchMs].map(numberText).join(", ")} ms`);
      });
      if (well) return;
      await on.stop(); // in an unknown state
      cluster = undefined;
    };
    await recorder
      .attempt(signal, store.name, async () => {
        for (const fault of some) for (let n = from; n < until; n++) await trial(fault, n);
      })
      .finally(() => cluster?.stop());
  }
});

function faultNamed(name: string): Fault {
  const found = faults.find((fault) => fault === name || fault.split(" ")[0] === name || fault === name.toUpperCase());
  if (found === undefined) throw new StartError(`flag --faults: "${name}" is none of ${faults.join(", ")}`);
  return found;
}
