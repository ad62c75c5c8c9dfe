import assert from "node:assert/strict";
import { describe, test } from "vitest";
import type { Clock } from "../../base/clock.ts";
import { silentLogger } from "../../base/logger.ts";
import { autoCompact, parseAutoCompaction } from "./auto-compaction.ts";
import type { Member } from "./member.ts";

const minute = 60_000;

describe("flags", () => {
  test.each([
    ["off by default", "periodic", "0", undefined],
    ["a plain number of periodic is hours", "periodic", "2", { mode: "periodic", retentionMs: 120 * minute }],
    ["a duration", "periodic", "1h30m", { mode: "periodic", retentionMs: 90 * minute }],
    ["revisions", "revision", "1000", { mode: "revision", keep: 1000 }],
  ])("%s", (_, mode, retention, expected) => assert.deepEqual(parseAutoCompaction(mode, retention), expected));

  test.each([
    ["weekly", "1", /--auto-compaction-mode is periodic or revision, not "weekly"/],
    ["revision", "1h", /--auto-compaction-retention: "1h" is not a number of revisions/],
    ["periodic", "soon", /--auto-compaction-retention: "soon" is not hours/],
  ])("%s %s is refused by name", (mode, retention, message) => {
    assert.throws(() => parseAutoCompaction(mode, retention), message);
  });
});

/** A store that makes one revision a minute, and what was compacted in each minute. */
function run(mode: string, retention: string, minutes: number, leads = (_minute: number) => true) {
  let step = { ms: 0, fn: () => {} };
  const clock = {
    every(ms: number, fn: () => void) {
      step = { ms, fn };
      return () => {};
    },
  } as unknown as Clock;
  let now = 0;
  const compacted: [minute: number, revision: number][] = [];
  const member = {
    get isLeader() {
      return leads(now);
    },
    applier: {
      store: {
        get revision() {
          return Math.floor(now) + 1;
        },
      },
    },
    write({ compaction }: { compaction: { revision: number } }) {
      compacted.push([Math.round(now), compaction.revision]);
      return Promise.resolve();
    },
  } as unknown as Member;
  autoCompact(parseAutoCompaction(mode, retention)!, member, clock, silentLogger);
  for (now = step.ms / minute; now <= minutes; now += step.ms / minute) step.fn();
  return compacted;
}

test("periodic compacts, every period, what was the revision a retention ago", () => {
  assert.deepEqual(run("periodic", "30m", 120).slice(0, 3), [
    [33, 4],
    [63, 34],
    [93, 64],
  ]);
});

test("a retention of days compacts every hour", () => {
  const times = run("periodic", "24h", 26 * 60).map(([at]) => at);
  assert.deepEqual(times, [1446, 1506]);
});

test("revision keeps the last so many, every five minutes", () => {
  assert.deepEqual(run("revision", "10", 20), [
    [10, 1],
    [15, 6],
    [20, 11],
  ]);
});

test("a follower compacts nothing", () => {
  assert.deepEqual(
    run("revision", "10", 20, () => false),
    [],
  );
});
