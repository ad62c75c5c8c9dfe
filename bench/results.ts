import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { systemClock } from "../base/clock.ts";
import { type FlagSpec, type Flags, parseFlags } from "../base/flags.ts";
import { createLogger } from "../base/logger.ts";
import { runProcess, StartError } from "../base/process.ts";
import type { Percentiles } from "./load/job.ts";
import { describeMachine, type Machine, machineText } from "./machine.ts";
import type { Store } from "./members.ts";
import { charts, type Layout, numberText, tables } from "./report.ts";

/** What a run measured, as it is kept in `results/*.json` and read by `bench compare`. */
export interface Results {
  bench: string;
  when: string;
  machine: Machine;
  /** Sentences: what holds for every number here. */
  conditions: string[];
  stores: { name: string; version: string; heartbeatMs: number; electionMs: number; tls: string }[];
  series: Series[];
  /** What could not be measured, and why. */
  failures: string[];
}

/** One number of one store, a value for each round or trial. */
export interface Series {
  /** `put/100`: what was done; the same for every store. */
  id: string;
  title: string;
  store: string;
  /** `rate`, `p99`, `gap`: several of one id stand side by side. */
  metric: string;
  unit: string;
  better: "higher" | "lower";
  values: number[];
}

/** What is counted by the second is better when it is more, all else when it is less. */
export type Sample = Omit<Series, "store" | "values" | "better"> & { value: number };

export class Recorder {
  readonly series: Series[] = [];
  readonly failures: string[] = [];
  readonly #began = systemClock.monotonic();

  get elapsedMs(): number {
    return systemClock.monotonic() - this.#began;
  }

  /** Progress, with the time since the run began. */
  tell(text: string): void {
    const seconds = Math.floor(this.elapsedMs / 1000);
    console.error(`${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")} ${text}`);
  }

  /** All of one thing done, and told. */
  addAll(store: string, what: string, samples: readonly Sample[]): void {
    for (const sample of samples) this.add(store, sample);
    const told = samples.map(({ metric, value, unit }) => `${metric} ${numberText(value)} ${unit}`);
    this.tell(`${what}: ${told.join(", ")}`);
  }

  add(store: string, { value, ...rest }: Sample): void {
    const { id, metric, unit } = rest;
    const better = unit.endsWith("/s") ? "higher" : "lower";
    const known = this.series.find((one) => one.store === store && one.id === id && one.metric === metric);
    if (known !== undefined) known.values.push(value);
    else this.series.push({ ...rest, better, store, values: [value] });
  }

  /** Printed at once and kept; the run goes on. */
  fail(what: string, error: unknown): void {
    const text = `${what}: ${error instanceof Error ? error.message : error}`;
    console.error(`FAILED ${text}`);
    this.failures.push(text);
  }

  /** Does it, or says why not, and the run goes on; false then. Ctrl-C ends the run. */
  async attempt(signal: AbortSignal, what: string, work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      if (signal.aborted) throw error;
      this.fail(what, error);
      return false;
    }
  }
}

export function rate(id: string, title: string, value: number, unit = "requests/s"): Sample {
  return { id, title, metric: "rate", unit, value };
}

/** Nothing of a load so slow that nothing was sent and answered in the time. */
export function percentiles(
  id: string,
  title: string,
  latency: Percentiles,
  shares: readonly ("p50" | "p99" | "p99.9")[] = ["p50", "p99"],
  prefix = "",
): Sample[] {
  if (latency.count === 0) return [];
  return shares.map((share) => ({ id, title, unit: "ms", metric: `${prefix}${share}`, value: latency[share] }));
}

/** What every bench takes. */
const sharedFlags = {
  quick: { type: "boolean", default: false, help: "a short run, that shows the order of magnitude" },
  only: { type: "string", default: "", help: "ours or etcd: measure one store only" },
  out: { type: "string", default: "", help: "folder for the results" },
} as const;

/** Those of `known` that a flag names; without it all. */
export function chosen<T extends string>(flag: string, names: readonly string[], known: readonly T[]): T[] {
  const unknown = names.find((name) => !known.includes(name as T));
  if (unknown !== undefined) throw new StartError(`flag --${flag}: "${unknown}" is none of ${known.join(", ")}`);
  return names.length === 0 ? [...known] : (names as T[]);
}

/** One run of a bench; `measure` fills in what it knows as it goes, and what is there is written however it ends. */
export interface Run<S extends FlagSpec> {
  flags: Flags<typeof sharedFlags & S>;
  signal: AbortSignal;
  recorder: Recorder;
  stores: readonly Store[];
  /** Sentences for the report. */
  conditions: string[];
  /** With no flag but where to write: goes where the repository keeps results, which nothing shorter or partial replaces. */
  full: boolean;
}

export interface Bench<S extends FlagSpec> extends Layout {
  name: string;
  flags: S;
  tls?: string;
  measure(run: Run<S>): Promise<void>;
}

/** As every process of ours; Ctrl-C is no error. What was measured is written; with failures the exit code is 1. */
export function runBench<const S extends FlagSpec>(bench: Bench<S>): void {
  runProcess(createLogger("bench"), async (signal) => {
    const [flags, usual] = [process.argv.slice(2), []].map((args) =>
      parseFlags({ ...sharedFlags, ...bench.flags }, args),
    ) as [Run<S>["flags"], Run<S>["flags"]];
    const recorder = new Recorder();
    const where = { out: "", profile: "" };
    const full = isDeepStrictEqual({ ...flags, ...where }, { ...usual, ...where });
    const run: Run<S> = { flags, signal, recorder, stores: [], conditions: [], full };
    const machine = describeMachine();
    try {
      await bench.measure(run);
    } catch (error) {
      if (!signal.aborted) throw error;
      console.error("bench: interrupted; members and fresh folders are gone");
      process.exitCode = 130;
    } finally {
      const took = `took ${Math.round(recorder.elapsedMs / 1000)} s${signal.aborted ? ", interrupted" : ""}`;
      const { out } = flags as Flags<typeof sharedFlags>;
      const dir = out || (run.full && !signal.aborted ? "bench/results" : ".cache/bench/results");
      writeRun(bench, { ...run, conditions: [...run.conditions, took] }, machine, dir);
    }
    if (process.exitCode !== undefined) process.exit();
  });
}

function writeRun<S extends FlagSpec>(bench: Bench<S>, run: Run<S>, machine: Machine, dir: string): void {
  const { series, failures } = run.recorder;
  if (failures.length > 0) process.exitCode ??= 1; // 130: told to end
  if (series.length === 0) return;
  const when = new Date(systemClock.now()).toISOString();
  const { name, tls = "no TLS" } = bench;
  const stores = run.stores.map(({ name, version, timers }) => ({ name, version, ...timers, tls }));
  const results: Results = { bench: name, when, machine, conditions: run.conditions, stores, series, failures };
  const markdown = markdownOf(results, tables(results, bench));
  const files = { json: `${JSON.stringify(results, rounded, 1)}\n`, md: markdown, svg: charts(results, bench) };
  mkdirSync(dir, { recursive: true });
  for (const [ending, text] of Object.entries(files)) writeFileSync(join(dir, `${name}.${ending}`), text);
  console.log(`${markdown}\nWritten: ${join(dir, name)}.json, .md, .svg`);
}

/** A table below what was measured on what, and above what could not be. */
function markdownOf(results: Results, table: string[]): string {
  const { bench, when, stores, machine, conditions, failures } = results;
  const told = stores.map((one) => {
    return `${one.name}: ${one.version}, heartbeat ${one.heartbeatMs} ms, election ${one.electionMs} ms, ${one.tls}`;
  });
  const facts = [...told, machineText(machine), ...conditions].map((fact) => `- ${fact}`);
  const failed = failures.map((failure) => `**Failed:** ${failure}\n`);
  const lines = [`# bench ${bench}, ${when.slice(0, 10)}`, "", ...facts, "", ...table, "", ...failed];
  return `${lines.join("\n").trim()}\n`;
}

export function readResults(file: string): Results {
  try {
    const results = JSON.parse(readFileSync(file, "utf8")) as Results;
    if (!Array.isArray(results.series)) throw new Error("no series in it");
    return results;
  } catch (error) {
    throw new StartError(`${file} is no result of a bench: ${(error as Error).message}`);
  }
}

/** Four digits are more than any run is good for. */
function rounded(_key: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(4)) : value;
}
