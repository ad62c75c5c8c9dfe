import { type StdioOptions, spawn } from "node:child_process";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { stringify } from "yaml";
import type { Clock } from "../../base/clock.ts";
import { StartError } from "../../base/process.ts";
import { seededRand } from "../../base/rand.ts";
import { outcome } from "../checkers/history.ts";
import type { Run } from "../experiments/folder.ts";
import { readRun } from "../report/folder.ts";
import { type DeedName, experimentOf, roundMs, shuffledDeeds } from "./deeds.ts";

export interface SoakOptions {
  rounds: number;
  roundsPerRun: number; // on the same data, judged at their end together
  members: number;
  clients: number;
  maxMs: number; // no run begins after so long
  dir: string; // each run has its YAML and its folder in it. They are removed when all was well, unless `keep`.
  keep?: boolean;
  only?: readonly DeedName[] | undefined;
  seed: number; // of what is done, and when; each run's experiment has its own seed, from it
  clock: Clock;
  signal: AbortSignal;
}

export interface SoakResult {
  /** `gapMs`: the longest time without an acknowledged write from the deed until the next. */
  rounds: { deed: DeedName; gapMs: number }[];
  operations: Record<string, { ok: number; failed: number; unknown: number }>;
  losses: Record<string, number>; // why members lost their leader, as they told it
  snapshotsInstalled: number;
  violations: string[];
}

/** Experiments one after the other, until one does not pass. */
export async function soak(options: SoakOptions): Promise<SoakResult> {
  const { rounds, roundsPerRun, clock, signal, maxMs, dir, seed, keep = false } = options;
  const result: SoakResult = { rounds: [], operations: {}, losses: {}, snapshotsInstalled: 0, violations: [] };
  const rand = seededRand(seed);
  const order = shuffledDeeds(rounds, rand, options.only);
  const end = clock.monotonic() + maxMs;
  for (let first = 0; first < rounds && !signal.aborted && clock.monotonic() < end; first += roundsPerRun) {
    const names = order.slice(first, first + roundsPerRun);
    const out = join(dir, `rounds-${first + 1}`);
    writeFileSync(`${out}.yaml`, stringify(experimentOf(names, options, rand)));
    const code = await runExperiment(`${out}.yaml`, ["--seed", `${seed + first}`, "--out", out], signal);
    if (signal.aborted && code === 2) break; // it has no verdict
    if (!existsSync(join(out, "run.json"))) throw new StartError(`${out}.yaml could not be run`);
    take(readRun(out), names, result);
    if (code !== 0 || signal.aborted) break;
    if (!keep) for (const path of [out, `${out}.yaml`]) rmSync(path, { recursive: true });
  }
  return result;
}

/** As a process of its own, which is as it is used. Told to end, it heals and leaves its folder. */
function runExperiment(file: string, args: string[], signal: AbortSignal): Promise<number | null> {
  const command = [resolve("dist/kubelab.mjs"), "experiment", "run", file, ...args];
  const stdio: StdioOptions = ["ignore", "ignore", "inherit"];
  const child = spawn(process.execPath, command, { stdio, signal, killSignal: "SIGINT" });
  return new Promise((resolve) => child.on("error", () => {}).once("exit", resolve)); // error: that it was told to end
}

/** What a report tells beside the gaps. */
export function sentencesOf({ operations, losses, snapshotsInstalled }: SoakResult): string[] {
  const counts = Object.entries(operations).map(
    ([op, { ok, failed, unknown }]) => `${op} ${ok} (${failed}, ${unknown})`,
  );
  const why = Object.entries(losses).map(([because, count]) => `${because} ${count}`);
  return [
    `operations acknowledged (refused, unknown): ${counts.join(", ")}`,
    `why members lost their leader, as they told it (those that were killed took it along): ${why.sort().join(", ") || "none did"}`,
    `states sent to followers that were too far behind: ${snapshotsInstalled}`,
  ];
}

function take({ file, history, events }: Run, names: readonly DeedName[], result: SoakResult): void {
  const begun = file.phases[0]!.fromMs;
  for (const [i, deed] of names.entries()) {
    if (i * roundMs > file.durationMs) break; // it failed before
    const inRound = ({ atMs }: { atMs: number }) => Math.floor((atMs - begun - 400) / roundMs) === i;
    result.rounds.push({ deed, gapMs: Math.max(0, ...file.failovers.filter(inRound).map(({ gapMs }) => gapMs)) });
  }
  for (const line of history) {
    if (line.type !== "operation") continue;
    const { op } = line.request;
    result.operations[op] ??= { ok: 0, failed: 0, unknown: 0 };
    result.operations[op][outcome(line)]++;
  }
  for (const { details } of events) {
    const because = String(details["because"]);
    if (details["kind"] === "SnapshotInstalled") result.snapshotsInstalled++;
    if (details["kind"] === "LeaderLost") result.losses[because] = (result.losses[because] ?? 0) + 1;
  }
  result.violations.push(...file.violations.map(({ message }) => message));
  for (const { name, met, value } of file.expectations)
    if (!met) result.violations.push(`${name} is ${value ?? "not known"}`);
}
