import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { seededRand } from "../../base/rand.ts";
import type { HistoryLine } from "../checkers/history.ts";
import type { DeedName } from "./faults.ts";
import { markdown, summarize } from "./report.ts";
import { type SoakOptions, soak } from "./soak.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "soak-test-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const options = (only: DeedName[]): SoakOptions => ({
  rounds: only.length,
  roundsPerEpoch: 10,
  members: 3,
  clients: 6,
  maxMs: 200_000,
  dir,
  only,
  rand: seededRand(7),
  clock: systemClock,
  signal: new AbortController().signal,
  say: () => {},
});

test("real members, hurt in six ways under load, keep every promise that their clients can check", async () => {
  const deeds: DeedName[] = [
    "kill -9 of the leader",
    "SIGSTOP of a member",
    "leader cut off",
    "kill -9 of all",
    "full disk of a member",
    "leader killed while a member is cut off",
  ];
  const result = await soak(options(deeds));
  expect(result.violations).toEqual([]);
  expect(result.rounds.map(({ deed }) => deed).sort()).toEqual(deeds.toSorted());
  expect(existsSync(join(dir, "epoch-1"))).toBe(false);
  const summary = summarize(result, { seed: 7, asked: 6, members: 3, clients: 6, ms: 60_000 });
  expect(summary.verdict).toBe("ok");
  expect(summary.operations["put"]!.ok).toBeGreaterThan(50);
  expect(summary.operations["range"]!.ok).toBeGreaterThan(50);
  expect(Object.keys(summary.leaderLosses)).not.toEqual([]);
  expect(markdown(summary)).toContain("| kill -9 of all | 1 |");
});

test("a lie in what a client saw is found, ends the soak, and its history is kept", async () => {
  const planted = (history: HistoryLine[]) =>
    history.map((line) => {
      const lie = line.type === "operation" && line.response?.op === "put" && line.request.op === "put";
      return lie
        ? { ...line, request: { ...line.request, value: `${(line.request as { value: string }).value}!` } }
        : line;
    }) as HistoryLine[];
  const result = await soak({ ...options(["leadership moved", "SIGSTOP of a member"]), planted });
  expect(result.rounds).toHaveLength(1);
  expect(result.violations.join("\n")).toMatch(/lost write: .* was acknowledged/);
  const kept = join(dir, "epoch-1");
  expect(readdirSync(kept)).toEqual(
    expect.arrayContaining(["history.jsonl", "violations.txt", "m0.log", "m0-events.json"]),
  );
  expect(readFileSync(join(kept, "history.jsonl"), "utf8").split("\n").length).toBeGreaterThan(50);
});
