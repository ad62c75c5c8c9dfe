import { describe, expect, test } from "vitest";
import { type SimulationOptions, simulate, variety } from "./simulation.ts";

describe("no seed breaks a promise", () => {
  const runs: [string, (seed: number) => SimulationOptions, number][] = [
    ["three and five members, with and without PreVote", variety, 40],
    ["a single member", (seed) => ({ seed, members: 1, durationMs: 5000 }), 10],
  ];
  test.each(runs)("%s", async (_, options, seeds) => {
    let acknowledged = 0;
    let installed = 0;
    for (let seed = 1; seed <= seeds; seed++) {
      const result = await simulate(options(seed));
      expect(result.violations, `seed ${seed}`).toEqual([]);
      acknowledged += result.acknowledged;
      installed += result.installed;
    }
    expect(acknowledged).toBeGreaterThan(20 * seeds); // something was at stake
    if (seeds > 10) expect(installed).toBeGreaterThan(seeds); // followers were far behind
  });
});

test("a seed replays a run, event by event", async () => {
  const trace = async () => {
    const lines: string[] = [];
    const result = await simulate({ seed: 3, durationMs: 5000, trace: (line) => lines.push(line) });
    return { lines, result };
  };
  const first = await trace();
  expect(first.lines.length).toBeGreaterThan(10);
  expect(await trace()).toEqual(first);
});

describe("a checker notices", () => {
  const faults: [NonNullable<SimulationOptions["planted"]>, RegExp][] = [
    ["forgotten vote", /^election safety: \d and \d both lead term \d+$/],
    ["forgetful disk", /^(election safety|leader completeness|state machine safety|log matching):/],
    ["early acknowledgement", /^lost write: w\d+ was acknowledged but is not in the log$/],
    ["stale read", /^linearizability: violation of k\d: read of .* has no place/],
    ["racing snapshot", /^snapshots: that of \d at \d+ is not what was applied up to there$/],
    ["double apply", /^apply order: \d applies (\d+) of term \d+ after index \1$/],
  ];
  test.each(faults)("a %s", async (planted, violation) => {
    const others = new Set<string>();
    for (let seed = 1; seed <= 200; seed++) {
      const crashesOnly = planted !== "double apply" && planted !== "racing snapshot"; // which need a log of some length
      const { violations } = await simulate({ seed, planted, crashesOnly, durationMs: 6000 });
      if (violations.some((text) => violation.test(text))) return;
      for (const text of violations) others.add(text);
    }
    expect.fail(`not seen in 200 seeds; seen instead: ${[...others].join("; ")}`);
  });
});
