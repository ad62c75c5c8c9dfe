import assert from "node:assert/strict";
import { test } from "vitest";
import { longestGap } from "./trial.ts";

test("the gap begins with the last answer before the fault, and those before do not count", () => {
  const at = (...times: number[]) => times.map((time) => ({ at: time }));
  assert.equal(longestGap(at(0, 50, 60, 65, 165, 170), 70), 100);
  assert.equal(longestGap(at(0, 50, 60, 65, 165, 170), 66), 100);
  assert.equal(longestGap(at(0, 50), 60), 0);
});
