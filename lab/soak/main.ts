/**
 * `npm run soak -- --rounds 200 --seed 1`: experiments whose schedules are drawn, one after the other, on fresh labs. When
 * one does not pass it keeps the folder and says where. The seed decides what is done, not how it ends: processes are
 * not replayed.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { systemClock } from "../../base/clock.ts";
import { ourStore } from "../../bench/members.ts";
import { chosen, runBench } from "../../bench/results.ts";
import { presets } from "../../deploy/lab/presets.ts";
import { deedNames } from "./deeds.ts";
import { sentencesOf, soak } from "./soak.ts";

runBench({
  name: "soak",
  tls: "TLS everywhere",
  sections: [{ title: "longest time between acknowledged writes, from the fault until the next", keep: () => true }],
  flags: {
    rounds: { type: "number", default: 200, help: "how many rounds (--quick: 20)" },
    seed: { type: "number", default: 1, help: "of what is done, to whom, for how long" },
    minutes: { type: "number", default: 60, help: "no run begins later" },
    members: { type: "number", default: 3, help: "3 or 5" },
    clients: { type: "number", default: 9, help: "each has one operation under way" },
    epoch: { type: "number", default: 20, help: "rounds on the same data: one experiment" },
    deeds: { type: "strings", help: `only these: ${deedNames.join(", ")}` },
    keep: { type: "string", default: "", help: "keep all runs there; without it only one that did not pass" },
  },
  async measure(run) {
    const { flags, signal, recorder } = run;
    const { seed, members, clients } = flags;
    const rounds = flags.quick ? 20 : flags.rounds;
    const dir = flags.keep === "" ? mkdtempSync(join(tmpdir(), "kubelab-soak-")) : resolve(flags.keep);
    mkdirSync(dir, { recursive: true });
    run.stores = [ourStore(presets.lan)];
    const result = await soak({
      ...{ rounds, seed, members, clients, dir, clock: systemClock, signal },
      roundsPerRun: flags.epoch,
      maxMs: flags.minutes * 60_000,
      keep: flags.keep !== "",
      only: chosen("deeds", flags.deeds, deedNames),
    });
    for (const { deed, gapMs } of result.rounds)
      recorder.add("ours", { id: deed, title: deed, metric: "gap", unit: "ms", value: gapMs });
    run.full &&= result.rounds.length >= 200 && flags.deeds.length === 0;
    run.conditions.push(
      `${result.rounds.length} of ${rounds} rounds, ${members} members, ${clients} clients, seed ${seed}; experiments in mode host, one after the other, each ${flags.epoch} rounds on fresh data, fsync on, a snapshot every 100 entries; each round one fault under load, undone`,
      "at the end of each experiment: all members healthy, equal HashKV, no member ended by itself, and every checker of lab/checkers over all that happened",
      "none of the clients, of which each has its member and pauses between operations, had a put or delete answered for so long: no measurement of failover, bench has that",
      ...sentencesOf(result),
    );
    for (const violation of result.violations) recorder.fail(`seed ${seed}`, violation);
    if (result.violations.length > 0) recorder.tell(`history, events and report are in ${dir}`);
    else if (flags.keep === "") rmSync(dir, { recursive: true, force: true });
  },
});
