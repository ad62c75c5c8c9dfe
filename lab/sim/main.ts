import { writeFileSync } from "node:fs";
import { parseFlags } from "../../base/flags.ts";
import { createLogger } from "../../base/logger.ts";
import { runProcess, StartError } from "../../base/process.ts";
import { simulate, variety } from "./simulation.ts";

/** `npm run sim -- --seeds 1000`: runs seeds until one fails, and prints it. `--seed S --trace` replays one. */
runProcess(createLogger("sim"), async (signal) => {
  const flags = parseFlags(
    {
      seeds: { type: "number", default: 100, help: "how many seeds to run" },
      seed: { type: "number", default: 1, help: "the first seed" },
      duration: { type: "duration", default: 15_000, help: "virtual time in which things break" },
      history: { type: "string", default: "", help: "where to write the history of a failing run, as lines of JSON" },
      trace: { type: "boolean", default: false, help: "print what happens" },
    },
    process.argv.slice(2),
  );
  const start = performance.now();
  const sum = { acknowledged: 0, elections: 0, tornTails: 0, installed: 0, events: 0, changes: 0 };
  let done = 0;
  for (let seed = flags.seed; done < flags.seeds && !signal.aborted; seed++, done++) {
    const trace = flags.trace ? { trace: (line: string) => process.stdout.write(`${line}\n`) } : {};
    const result = await simulate({ ...variety(seed), durationMs: flags.duration, ...trace });
    if (result.violations.length > 0) {
      if (flags.history)
        writeFileSync(flags.history, result.history.map((line) => `${JSON.stringify(line)}\n`).join(""));
      const replay = `npm run sim -- --seed ${seed} --seeds 1 --duration ${flags.duration}ms --trace`;
      throw new StartError(`seed ${seed} fails:\n  ${result.violations.join("\n  ")}\nreplay: ${replay}`);
    }
    for (const key of Object.keys(sum) as (keyof typeof sum)[]) sum[key] += result[key];
  }
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  process.stdout.write(
    `${signal.aborted ? "stopped after " : ""}${done} seeds without violation in ${seconds} s: ${sum.acknowledged} answers, ${sum.events} watch events, ` +
      `${sum.elections} elections, ${sum.tornTails} torn tails, ${sum.installed} snapshots in place of a follower's state, ` +
      `${sum.changes} changes of members asked for\n`,
  );
});
