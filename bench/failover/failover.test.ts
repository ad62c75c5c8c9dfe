import assert from "node:assert/strict";
import { test } from "vitest";
import { verdictOn } from "./report.ts";
import { longestGap } from "./trial.ts";

test("the gap begins with the last answer before the fault, and those before do not count", () => {
  assert.equal(longestGap([0, 50, 60, 65, 165, 170], 70), 100);
  assert.equal(longestGap([0, 50, 60, 65, 165, 170], 66), 100);
  assert.equal(longestGap([0, 50], 60), 0);
});

test("a verdict names each limit that is missed", () => {
  assert.equal(verdictOn("kill -9", [50, 90, 399]), "holds: median 100, most 400");
  assert.equal(verdictOn("kill -9", [50, 101, 401]), "**missed: median over 100, most over 400**");
  assert.equal(verdictOn("partition", [1600]), "**missed: most over 1500**");
  assert.equal(verdictOn("SIGTERM", [1600]), "");
});
