import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { systemClock } from "../../base/clock.ts";
import { parseFlags } from "../../base/flags.ts";
import { createLogger } from "../../base/logger.ts";
import { runProcess, StartError } from "../../base/process.ts";
import { type DeedName, deeds } from "./deeds.ts";
import { markdown, summarize } from "./report.ts";
import { soak } from "./soak.ts";

/**
 * `npm run soak -- --rounds 200 --seed 1`: experiments whose schedules are drawn, one after the other, on fresh labs. When
 * one does not pass it keeps the folder and says where. The seed decides what is done, not how it ends: processes are
 * not replayed.
 */
runProcess(createLogger("soak"), async (signal) => {
  const flags = parseFlags(
    {
      rounds: { type: "number", default: 200, help: "how many rounds" },
      seed: { type: "number", default: 1, help: "of what is done, to whom, for how long" },
      minutes: { type: "number", default: 60, help: "no run begins later" },
      members: { type: "number", default: 3, help: "3 or 5" },
      clients: { type: "number", default: 9, help: "each has one operation under way" },
      epoch: { type: "number", default: 20, help: "rounds on the same data: one experiment" },
      only: { type: "strings", help: `only these faults: ${Object.keys(deeds).join(", ")}` },
      out: { type: "string", optional: true, help: "keep all runs there; without it only one that did not pass" },
      report: { type: "string", optional: true, help: "where to write the report (NAME.md and NAME.json)" },
    },
    process.argv.slice(2),
  );
  const unknown = flags.only.find((name) => !(name in deeds));
  if (unknown !== undefined) throw new StartError(`--only: no fault is called "${unknown}"`);
  const dir = flags.out === undefined ? mkdtempSync(join(tmpdir(), "kubelab-soak-")) : resolve(flags.out);
  mkdirSync(dir, { recursive: true });
  const begin = systemClock.monotonic();
  const result = await soak({
    ...flags,
    roundsPerRun: flags.epoch,
    maxMs: flags.minutes * 60_000,
    dir,
    keep: flags.out !== undefined,
    only: flags.only.length > 0 ? (flags.only as DeedName[]) : undefined,
    clock: systemClock,
    signal,
  });
  const summary = summarize(result, { ...flags, asked: flags.rounds, ms: systemClock.monotonic() - begin });
  process.stdout.write(markdown(summary));
  if (flags.report !== undefined) {
    mkdirSync(dirname(flags.report), { recursive: true });
    writeFileSync(`${flags.report}.md`, markdown(summary));
    writeFileSync(`${flags.report}.json`, `${JSON.stringify(summary, null, 2)}\n`);
  }
  if (result.violations.length > 0)
    throw new StartError(
      `seed ${flags.seed}: ${result.violations.length} violations; history, events and report are in ${dir}`,
    );
  if (flags.out === undefined) rmSync(dir, { recursive: true, force: true });
});
