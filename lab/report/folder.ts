import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join, relative, resolve } from "node:path";
import { StartError } from "../../base/process.ts";
import type { Run } from "../experiments/folder.ts";
import type { RunFile } from "../experiments/run.ts";
import { measuresOf, type Repetition, renderComparison, renderOverview, type Side } from "./compare.ts";
import { renderReport } from "./report.ts";

/** A run as its folder has it. A StartError where there is none, or one of another version. */
export function readRun(dir: string): Run {
  const path = join(dir, "run.json");
  if (!existsSync(path)) throw new StartError(`there is no run in ${dir}: it has no run.json`);
  const file = parsed<RunFile>(path, readFileSync(path, "utf8"));
  if (file.formatVersion !== 1)
    throw new StartError(`the run in ${dir} has format version ${file.formatVersion}, this kubelab reads 1`);
  const lines = (name: string): unknown[] => {
    const from = join(dir, `${name}.jsonl`);
    if (!existsSync(from)) return [];
    const all = readFileSync(from, "utf8").split("\n").filter(Boolean);
    return all.map((line, i) => parsed<unknown>(`${from}:${i + 1}`, line));
  };
  const names = ["history", "calls", "events", "objects", "metrics"];
  return { file, ...Object.fromEntries(names.map((name) => [name, lines(name)])) } as unknown as Run;
}

function parsed<T>(where: string, text: string): T {
  try {
    return JSON.parse(text) as T;
  } catch (error) {
    throw new StartError(`${where} is not JSON: ${(error as Error).message}`);
  }
}

/** The runs in a folder: itself, or one in each of `1`, `2`, ... for an experiment that was repeated. */
export function runFolders(dir: string): string[] {
  if (existsSync(join(dir, "run.json"))) return [dir];
  const names = existsSync(dir) ? readdirSync(dir).filter((name) => existsSync(join(dir, name, "run.json"))) : [];
  if (names.length === 0)
    throw new StartError(`there is no run in ${dir}: neither it nor a folder in it has a run.json`);
  return names.sort((a, b) => Number(a) - Number(b) || a.localeCompare(b)).map((name) => join(dir, name));
}

/** Writes `report.html` into each run's folder, and an overview of several beside them; returns the one to open. */
export function writeReports(dir: string): string {
  const all = runFolders(dir).map((folder) => {
    const run = readRun(folder);
    writeFileSync(join(folder, "report.html"), renderReport(run));
    return repetitionOf(run, join(relative(dir, folder), "report.html"));
  });
  const path = join(dir, "report.html");
  if (all.length > 1) writeFileSync(path, renderOverview(all));
  return all.length > 1 ? path : join(dir, all[0]!.link);
}

/** Two folders, with one run or several in each, on one page. */
export function compareRuns(a: string, b: string): string {
  const side = (dir: string): Side => {
    const folders = runFolders(dir);
    const repetitions = folders.map((folder) => repetitionOf(readRun(folder), folder));
    return { name: basename(resolve(dir)), repetitions, shown: readRun(folders[0]!) };
  };
  return renderComparison(side(a), side(b));
}

const repetitionOf = (run: Run, link: string): Repetition => ({ file: run.file, measures: measuresOf(run), link });
