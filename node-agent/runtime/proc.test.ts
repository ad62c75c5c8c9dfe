import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { describe, test } from "vitest";
import { isAlive, parseStat, signalProcess } from "./proc.ts";

describe("parseStat", () => {
  const rest = "S 1 2 3 0 -1 4194560 79 0 0 0 0 0 0 0 20 0 1 0 175478 2654208 395\n";
  test.each([
    ["an ordinary name", `12 (sh) ${rest}`],
    ["a name with spaces and parentheses", `12 (a) S 1 (b c) ${rest}`],
  ])("%s", (_title, text) => {
    assert.deepEqual(parseStat(text), { pid: 12, startTime: 175478, state: "S" });
  });
  test.each([
    ["empty", ""],
    ["cut short", `12 (sh) ${rest.slice(0, -1)}`],
    ["no stat at all", "ok\n"],
  ])("%s is nobody", (_title, text) => assert.equal(parseStat(text), undefined));
});

test("a process is alive until it ends, zombie or not; a namesake with another start time is not it", async () => {
  const child = spawn("sleep", ["1000"]);
  const identity = parseStat(readFileSync(`/proc/${child.pid}/stat`, "utf8"))!;
  const namesake = { ...identity, startTime: identity.startTime - 1 };
  assert.ok(isAlive(identity) && !isAlive(namesake));
  assert.equal(signalProcess(namesake, "SIGKILL"), false);
  assert.ok(isAlive(identity));
  const ended = once(child, "exit");
  assert.equal(signalProcess(identity, "SIGKILL"), true);
  await ended;
  assert.equal(isAlive(identity), false);
  assert.equal(signalProcess(identity, "SIGKILL"), false);
});
