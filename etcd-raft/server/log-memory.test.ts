import assert from "node:assert/strict";
import { test } from "vitest";
import { LogMemory } from "./log-memory.ts";

const megabyte = 1 << 20;

/** Adds entries of `bytes` and returns how many of them are still kept at the end. */
function kept(memory: LogMemory, count: number, bytes: number, stateBytes: number): number {
  let forgotten = 0;
  for (let index = 1; index <= count; index++) {
    memory.add(index, bytes);
    const upTo = memory.forget(stateBytes) ?? forgotten;
    assert.ok(upTo >= forgotten && upTo <= index, "only forward, and only what was applied");
    forgotten = upTo;
  }
  return count - forgotten;
}

test("32 MB are kept beside a small state, a 32nd of a large one", () => {
  for (const [state, wanted] of [
    [0, 32],
    [4000 * megabyte, 125],
  ] as const) {
    const entries = kept(new LogMemory(100), 10_000, megabyte / 10, state);
    assert.ok(entries > wanted * 10 - 20 && entries < wanted * 10 * 1.25 + 20, `${entries} of 0.1 MB`);
  }
});

test("the catch-up entries are kept even if they are more, up to four times as much", () => {
  assert.equal(kept(new LogMemory(500), 450, megabyte / 10, 0), 450);
  const many = kept(new LogMemory(900), 3000, megabyte / 10, 0);
  assert.ok(many >= 900 && many < 1300, `${many}`);
  const huge = kept(new LogMemory(5000), 3000, megabyte, 0);
  assert.ok(huge >= 128 && huge < 170, `${huge} of 1 MB`);
});

test("nothing is forgotten while it is little", () => {
  assert.equal(kept(new LogMemory(10), 10_000, 1000, 0), 10_000);
});
