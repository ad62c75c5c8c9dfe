import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../base/clock.ts";
import { parseFlags } from "../../base/flags.ts";
import { createLogger } from "../../base/logger.ts";
import { runProcess, StartError } from "../../base/process.ts";
import { seededRand } from "../../base/rand.ts";
import { type DeedName, deeds } from "./faults.ts";
import { markdown, summarize } from "./report.ts";
import { soak } from "./soak.ts";

/**
 * `npm run soak -- --rounds 200 --seed 1`: hurts real members round by round and judges what their clients saw. On a
 * violation it keeps the folder and prints seed, round and what is wrong. The seed decides what is done, not how it ends:
 * processes are not replayed.
 */
runProcess(createLogger("soak"), async (signal) => {
  const flags = parseFlags(
    {
      rounds: { type: "number", default: 200, help: "how many rounds" },
      seed: { type: "number", default: 1, help: "of what is done, to whom, for how long" },
      minutes: { type: "number", default: 30, help: "no round begins later" },
      members: { type: "number", default: 3, help: "3 or 5" },
      clients: { type: "number", default: 9, help: "each has one operation under way" },
      epoch: { type: "number", default: 10, help: "rounds on the same data" },
      only: { type: "strings", help: `only these faults: ${Object.keys(deeds).join(", ")}` },
      report: { type: "string", optional: true, help: "where to write the report (NAME.md and NAME.json)" },
    },
    process.argv.slice(2),
  );
  const unknown = flags.only.find((name) => !(name in deeds));
  if (unknown !== undefined) throw new StartError(`--only: no fault is called "${unknown}"`);
  const dir = mkdtempSync(join(tmpdir(), "kubelab-soak-"));
  const begin = systemClock.monotonic();
  const result = await soak({
    rounds: flags.rounds,
    roundsPerEpoch: flags.epoch,
    members: flags.members,
    clients: flags.clients,
    maxMs: flags.minutes * 60_000,
    dir,
    ...(flags.only.length > 0 && { only: flags.only as DeedName[] }),
    rand: seededRand(flags.seed),
    clock: systemClock,
    signal,
    say: (line) => void process.stderr.write(`${line}\n`),
  });
  const ms = systemClock.monotonic() - begin;
  const { rounds: asked, seed, members, clients } = flags;
  const summary = summarize(result, { seed, asked, members, clients, ms });
  process.stdout.write(markdown(summary));
  if (flags.report !== undefined) {
    mkdirSync(join(flags.report, ".."), { recursive: true });
    writeFileSync(`${flags.report}.md`, markdown(summary));
    writeFileSync(`${flags.report}.json`, `${JSON.stringify(summary, null, 2)}\n`);
  }
  if (result.violations.length > 0) {
    const last = result.rounds.at(-1)?.round ?? 0;
    throw new StartError(
      `seed ${seed}, round ${last}: ${result.violations.length} violations; history, logs and data are in ${dir}`,
    );
  }
  rmSync(dir, { recursive: true, force: true });
});
