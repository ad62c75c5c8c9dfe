/**
 * `npm run bench -- failover`: how long clients of the survivors wait when a leader is killed, stopped, told to end or cut
 * off from its peers: ours with the lab's `lan` timers, real etcd with the same, and with its defaults. README.md says how.
 */
import { seededRand } from "../../base/rand.ts";
import { presets } from "../../deploy/lab/presets.ts";
import { Cluster, defaultTimers, type Store, storesFor } from "../members.ts";
import { chosen, runBench } from "../results.ts";
import { type Fault, faults, runTrial } from "./trial.ts";

const shown = (title: string, metric: string) => ({
  title: `Longest time ${title}`,
  keep: (one: { metric: string }) => one.metric === metric,
});

/** What a flag calls them. */
const wordOf = (fault: Fault) => fault.split(" ")[0]!;
const words = faults.map(wordOf);

runBench({
  name: "failover",
  sections: [
    shown("between acknowledged writes", "gap"),
    shown("until another leader is named", "leader"),
    shown("between events of a watch", "watch"),
  ],
  /** What must hold with the `lan` timers (issue, "Fast"), ms. */
  limits: {
    "kill -9 gap": { median: 100, worst: 400 },
    "SIGSTOP gap": { worst: 1500 },
    "partition gap": { worst: 1500 },
  },
  flags: {
    trials: { type: "number", default: 30, help: "of each fault and store (--quick: 4)" },
    block: { type: "number", default: 10, help: "trials before the next store has its turn" },
    faults: { type: "strings", help: `some of ${words.join(", ")}` },
    defaults: { type: "boolean", default: true, help: "etcd with its default timers, too" },
  },
  async measure(run) {
    const { flags, signal, recorder } = run;
    const wanted = chosen("faults", flags.faults, words);
    const trials = flags.quick ? 4 : flags.trials;
    const blockSize = Math.min(flags.block, trials);
    const { heartbeatMs, electionMs } = presets.lan;
    const lan = storesFor(flags.only, { heartbeatMs, electionMs });
    const slow = lan.filter(({ name }) => name === "etcd" && flags.defaults);
    const stores: Store[] = [
      ...lan,
      ...slow.map((store) => ({ ...store, name: "etcd at its defaults", timers: defaultTimers })),
    ];
    run.stores = stores;
    let [acknowledged, refused] = [0, 0];
    /** Ends with the first trial that fails: the members are in an unknown state. */
    const block = async (store: Store, fault: Fault, from: number, until: number) => {
      // Relays only where they are needed: they cost every message a hop.
      const cluster = await Cluster.start(store, { relays: fault === "partition", signal });
      try {
        for (let n = from; n < until; n++) {
          const trial = await runTrial(cluster, fault, `${fault.replace(" ", "")}-${n}`, seededRand(n), signal);
          const { gapMs: gap, leaderMs: leader, watchMs: watch } = trial;
          const samples = Object.entries({ gap, leader, watch, refused: trial.refused }).map(([metric, value]) => {
            const unit = metric === "refused" ? "writes" : "ms";
            return { id: fault, title: fault, metric, unit, value };
          });
          recorder.addAll(store.name, `${store.name}, ${fault}, trial ${n + 1} of ${trials}`, samples);
          acknowledged += trial.acknowledged;
          refused += trial.refused;
        }
      } finally {
        await cluster.stop();
      }
    };
    try {
      for (let from = 0; from < trials; from += blockSize)
        for (const store of stores)
          for (const fault of faults.filter((one) => wanted.includes(wordOf(one))))
            await recorder.attempt(signal, `${store.name}, ${fault}`, () =>
              block(store, fault, from, Math.min(trials, from + blockSize)),
            );
    } finally {
      const lost = recorder.failures.length === 0 ? "none lost, no event missed" : "see the failures";
      run.conditions.push(
        `${trials} trials of each fault at the leader of three members on one machine, in alternating blocks of ${blockSize}, fsync on`,
        "a put of a new key every 5 ms to the two survivors, a watch at one of them; faults come at a random phase of the heartbeat",
        `after each trial every member was asked for every acknowledged write (${acknowledged.toLocaleString("en-US")} in all, ${refused} refused): ${lost}`,
      );
    }
  },
});
