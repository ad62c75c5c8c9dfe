import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../base/clock.ts";
import { createLogger } from "../base/logger.ts";
import { runProcess, StartError } from "../base/process.ts";
import { Histogram, type HistogramJson } from "./load/histogram.ts";
import { type Machine, machineText } from "./machine.ts";
import type { Store } from "./members.ts";

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

export type Sample = Omit<Series, "store" | "values"> & { value: number };

export class Recorder {
  readonly series: Series[] = [];
  readonly failures: string[] = [];

  add(store: string, { value, ...rest }: Sample): void {
    const known = this.find(store, rest.id, rest.metric);
    if (known !== undefined) known.values.push(value);
    else this.series.push({ ...rest, store, values: [value] });
  }

  find(store: string, id: string, metric: string): Series | undefined {
    return this.series.find((one) => one.store === store && one.id === id && one.metric === metric);
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
  return { id, title, metric: "rate", unit, better: "higher", value };
}

/** `p50`, `p99`, ... in ms; nothing of a load so slow that nothing was sent and answered in the time. */
export function percentiles(
  id: string,
  title: string,
  json: HistogramJson,
  shares: readonly number[] = [0.5, 0.99],
  prefix = "",
): Sample[] {
  const histogram = Histogram.fromJson(json);
  if (histogram.count === 0) return [];
  return shares.map((share) => ({
    id,
    title,
    metric: `${prefix}p${Number((share * 100).toFixed(1))}`,
    unit: "ms",
    better: "lower",
    value: histogram.percentile(share) / 1000,
  }));
}

/** Full runs of the default go where the repository keeps them; what is shorter or partial does not replace those. */
export function resultsDir(out: string, full: boolean): string {
  if (out !== "") return out;
  return full ? "bench/results" : ".cache/bench/results";
}

export interface Run {
  bench: string;
  machine: Machine;
  stores: readonly Store[];
  conditions: string[];
  tls?: string;
}

/** Writes what a run has measured, if anything; with failures the process will end with 1. */
export function writeRun(
  { bench, machine, stores, conditions, tls = "no TLS" }: Run,
  { series, failures }: Recorder,
  dir: string,
  report: { table(results: Results): string[]; svg?(results: Results): string },
): void {
  if (failures.length > 0) process.exitCode = 1;
  if (series.length === 0) return;
  const when = new Date(systemClock.now()).toISOString();
  const told = stores.map(({ name, version, timers }) => ({ name, version, ...timers, tls }));
  const results: Results = { bench, when, machine, conditions, stores: told, series, failures };
  const markdown = markdownOf(results, report.table(results));
  const files = {
    json: `${JSON.stringify(results, rounded, 1)}\n`,
    md: markdown,
    ...(report.svg && { svg: report.svg(results) }),
  };
  mkdirSync(dir, { recursive: true });
  for (const [ending, text] of Object.entries(files)) writeFileSync(join(dir, `${bench}.${ending}`), text);
  console.log(`${markdown}\nWritten: ${join(dir, bench)}.${Object.keys(files).join(", .")}`);
}

/** A table below what was measured on what, and above what could not be. */
function markdownOf(results: Results, table: string[]): string {
  const lines = [
    `# bench ${results.bench}, ${results.when.slice(0, 10)}`,
    "",
    ...results.stores.map(
      ({ name, version, heartbeatMs, electionMs, tls }) =>
        `- ${name}: ${version}, heartbeat ${heartbeatMs} ms, election ${electionMs} ms, ${tls}`,
    ),
    ...[machineText(results.machine), ...results.conditions].map((condition) => `- ${condition}`),
    "",
    ...table,
    "",
    ...results.failures.map((failure) => `**Failed:** ${failure}\n`),
  ];
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

/** `12,345`, `123`, `1.23`. */
export function numberText(value: number): string {
  if (!Number.isFinite(value)) return "-";
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString("en-US");
  return Math.abs(value) >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** As every process of ours; Ctrl-C is no error, and what `main` left in `process.exitCode` counts. */
export function runBench(main: (signal: AbortSignal) => Promise<void>): void {
  runProcess(createLogger("bench"), async (signal) => {
    try {
      await main(signal);
    } catch (error) {
      if (!signal.aborted) throw error;
      console.error("bench: interrupted; members and fresh folders are gone");
      process.exitCode = 130;
    }
    if (process.exitCode !== undefined) process.exit();
  });
}
