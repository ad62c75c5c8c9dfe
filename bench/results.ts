import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createLogger } from "../base/logger.ts";
import { runProcess, StartError } from "../base/process.ts";
import type { Machine } from "./machine.ts";

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
}

/** Full runs of the default go where the repository keeps them; what is shorter or partial does not replace those. */
export function resultsDir(out: string, full: boolean): string {
  if (out !== "") return out;
  return full ? "bench/results" : ".cache/bench/results";
}

export function writeResults(dir: string, name: string, results: Results, markdown: string, svg: string): void {
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, `${name}.json`), `${JSON.stringify(results, rounded, 1)}\n`);
  writeFileSync(join(dir, `${name}.md`), markdown);
  writeFileSync(join(dir, `${name}.svg`), svg);
  console.log(`${markdown}\nWritten: ${join(dir, name)}.json, .md, .svg`);
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
