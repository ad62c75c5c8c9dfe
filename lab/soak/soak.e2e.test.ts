import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { eventually } from "../../deploy/testing/lab.ts";
import { judge } from "../checkers/judge.ts";
import { isOwnKey } from "../clients/members.ts";
import { readRun } from "../report/folder.ts";
import type { DeedName } from "./deeds.ts";
import { sentencesOf, soak } from "./soak.ts";

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "soak-test-"));
  vi.stubEnv("HOME", dir);
});
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(dir, { recursive: true, force: true });
});

test("real members, hurt in eight ways under load, keep every promise that their clients can check", async () => {
  const only: DeedName[] = [
    "kill -9 of the leader",
    "SIGSTOP of a member",
    "leader cut off",
    "kill -9 of all",
    "full disk of a member",
    "leader killed while a member is cut off",
    "member replaced by way of a learner",
    "backup and defragmentation",
  ];
  const result = await soak({
    ...{
      rounds: only.length,
      roundsPerRun: 10,
      members: 3,
      clients: 6,
      maxMs: 200_000,
      seed: 7,
      dir,
      keep: true,
      only,
    },
    ...{ clock: systemClock, signal: new AbortController().signal },
  });
  expect(result.violations).toEqual([]);
  expect(result.rounds.map(({ deed }) => deed).sort()).toEqual(only.toSorted());
  expect(result.rounds.every(({ gapMs }) => Number.isFinite(gapMs))).toBe(true);
  expect(result.operations["put"]!.ok).toBeGreaterThan(50);
  expect(result.operations["compact"]!.ok).toBeGreaterThan(0);
  expect(Object.keys(result.losses)).not.toEqual([]);
  expect(sentencesOf(result)[0]).toContain(`put ${result.operations["put"]!.ok} (`);
  expect(labs()).toEqual([]);
});

const labs = () => readdirSync(join(dir, ".kubelab")).filter((name) => name.startsWith("experiment-"));

test("told to end while one runs, it leaves no lab, and counts nothing that has no verdict", async () => {
  const abort = new AbortController();
  const sizes = { rounds: 9, roundsPerRun: 9, members: 3, clients: 3, maxMs: 200_000, seed: 1 };
  const own = mkdtempSync(join(dir, "ended-"));
  const running = soak({ ...sizes, dir: own, clock: systemClock, signal: abort.signal });
  await eventually("a lab", async () => labs().length > 0);
  abort.abort();
  expect(await running).toMatchObject({ rounds: [], violations: [] });
  expect(labs()).toEqual([]);
});

test("what such a run leaves is judged again as it was, and a lie in it is found", () => {
  const { history } = readRun(join(dir, "rounds-1"));
  expect(judge(history, { own: isOwnKey })).toEqual([]);
  const lies = history.map((line) =>
    line.type === "operation" && line.request.op === "put" && line.response?.op === "put"
      ? { ...line, request: { ...line.request, value: `${line.request.value}!` } }
      : line,
  );
  expect(judge(lies, { own: isOwnKey }).join("\n")).toMatch(/lost write: .* was acknowledged/);
});
