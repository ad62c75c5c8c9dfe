import { existsSync, readdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { parse } from "yaml";
import { systemClock } from "../base/clock.ts";
import { StartError } from "../base/process.ts";
import { systemRand } from "../base/rand.ts";
import { labsHome } from "../deploy/lab/paths.ts";
import { junit, writeRun } from "../lab/experiments/folder.ts";
import { summaryOf } from "../lab/experiments/result.ts";
import type { RunFile } from "../lab/experiments/run.ts";
import { runExperiment } from "../lab/experiments/runner.ts";
import { RunningLab } from "../lab/experiments/running-lab.ts";
import { type Experiment, ExperimentError, parseExperiment } from "../lab/experiments/schema.ts";
import { faultProblems } from "../lab/faults/types.ts";
import { writeReports } from "../lab/report/folder.ts";

export interface ExperimentOptions {
  lab?: string;
  out?: string;
  seed?: number;
  repetitions?: number;
  junit?: string;
  json?: boolean;
}

const packageDir = join(dirname(realpathSync(process.argv[1]!)), "..");
const library = join(packageDir, "lab", "experiments", "library");

export function listExperiments(): string {
  const all = readdirSync(library).map((file) => basename(file, ".yaml"));
  const width = Math.max(...all.map((name) => name.length));
  return all.map((name) => `${name.padEnd(width)}  ${load(name).experiment.description}`).join("\n");
}

/** The YAML of a ready one: to be copied and changed. */
export const showExperiment = (name: string): string => readFileSync(fileOf(name), "utf8");

function fileOf(name: string): string {
  const ready = join(library, `${name}.yaml`);
  if (!name.includes("/") && existsSync(ready)) return ready;
  if (existsSync(name)) return resolve(name);
  throw new StartError(`there is no file or ready experiment ${name}: see \`kubelab experiment list\``);
}

function load(name: string): { experiment: Experiment; source: Record<string, unknown>; title: string } {
  const file = fileOf(name);
  const text = readFileSync(file, "utf8");
  try {
    const experiment = parseExperiment(text, name, faultProblems);
    const { apply } = experiment.workload;
    if (apply !== undefined && apply !== "demo") experiment.workload.apply = resolve(dirname(file), apply);
    const { cluster } = experiment;
    for (const field of ["store", "storeCafile", "storeCertfile", "storeKeyfile"] as const) {
      const path = cluster[field]; // beside the YAML, unless it says where else
      if (path !== undefined && (field !== "store" || /^[./]/.test(path)))
        cluster[field] = resolve(dirname(file), path);
    }
    return { experiment, source: parse(text) as Record<string, unknown>, title: basename(file, ".yaml") };
  } catch (error) {
    if (error instanceof ExperimentError) throw new StartError(error.message);
    throw error;
  }
}

/** Runs all repetitions on one lab. Returns the exit code: 0 passed, 1 failed; throws when it could not be run. */
export async function runExperimentCommand(name: string, options: ExperimentOptions): Promise<number> {
  const { experiment, source, title } = load(name);
  const repetitions = options.repetitions ?? experiment.repetitions;
  if (repetitions === 0) throw new StartError("no repetition would say nothing: --repetitions takes 1 or more");
  const seed = options.seed ?? experiment.seed ?? systemRand.below(2 ** 32);
  const say = (line: string) => void process.stderr.write(`${line}\n`);
  const abort = new AbortController();
  const interrupt = () => abort.abort();
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  say(`${title}: ${experiment.description} (seed ${seed})`);
  say(options.lab === undefined ? "starting a lab" : `using lab ${options.lab}`);
  const { version } = JSON.parse(readFileSync(join(packageDir, "package.json"), "utf8")) as { version: string };
  const lab = await RunningLab.start(experiment, options.lab, systemClock);
  const runs: RunFile[] = [];
  try {
    const home = options.lab === undefined ? labsHome() : lab.status.dir;
    const stamp = new Date(systemClock.now()).toISOString().slice(0, 19).replaceAll(":", "");
    const folder = options.out === undefined ? join(home, "experiments", `${title}-${stamp}`) : resolve(options.out);
    for (let repetition = 1; repetition <= repetitions; repetition++) {
      const tools = { lab, version, clock: systemClock, signal: abort.signal, say };
      const { run, problem } = await runExperiment({ name: title, experiment, source, seed, repetition, ...tools });
      const dir = repetitions === 1 ? folder : join(folder, String(repetition));
      writeRun(dir, run);
      writeReports(dir);
      if (problem) throw new StartError(`${problem}; the lab is healed, what was seen is in ${dir}`);
      runs.push(run.file);
      say(summaryOf(run));
      for (const { name, limit, value, met } of run.file.expectations)
        say(`${met ? "  met    " : "  NOT MET"} ${name} ${limit}: ${value ?? "not known"}`);
      for (const { message } of run.file.violations.slice(0, 20)) say(`  VIOLATION ${message}`);
      say(`${run.file.verdict}: ${join(dir, "report.html")}`);
    }
    if (repetitions > 1) say(`all of them: ${writeReports(folder)}`);
  } finally {
    await lab.close();
    process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
  }
  if (options.junit !== undefined) writeFileSync(options.junit, junit(runs));
  if (options.json) console.log(JSON.stringify(runs.length === 1 ? runs[0] : runs, null, 2));
  return runs.every(({ verdict }) => verdict === "passed") ? 0 : 1;
}
