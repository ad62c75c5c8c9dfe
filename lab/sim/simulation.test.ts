import { describe, expect, test } from "vitest";
import { type SimulationOptions, simulate, variety } from "./simulation.ts";
import { type PlantedFault, plant } from "./testing/planted.ts";

describe("no seed breaks a promise", () => {
  const runs: [string, (seed: number) => SimulationOptions, number][] = [
    ["three and five members, with and without PreVote", (seed) => ({ ...variety(seed), durationMs: 10_000 }), 20],
    ["a single member", (seed) => ({ seed, members: 1, durationMs: 5000 }), 6],
  ];
  test.each(runs)("%s", async (_, options, seeds) => {
    let acknowledged = 0;
    let installed = 0;
    let events = 0;
    let changes = 0;
    for (let seed = 1; seed <= seeds; seed++) {
      const result = await simulate(options(seed));
      expect(result.violations, `seed ${seed}`).toEqual([]);
      acknowledged += result.acknowledged;
      installed += result.installed;
      events += result.events;
      changes += result.changes;
    }
    expect(acknowledged).toBeGreaterThan(20 * seeds); // something was at stake
    expect(events).toBeGreaterThan(20 * seeds);
    if (seeds > 10) expect(changes).toBeGreaterThan(seeds); // in two of five
    if (seeds > 10) expect(installed).toBeGreaterThan(seeds / 2); // followers were far behind
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
  const faults: [PlantedFault, RegExp][] = [
    ["forgotten vote", /^election safety: \d+ and \d+ both lead term \d+$/],
    ["forgetful disk", /^(election safety|leader completeness|state machine safety|log matching):/],
    ["early acknowledgement", /^lost write: .* was acknowledged at revision \d+, but is not in the log$/],
    ["stale read", /^linearizability: violation of r\d: read of .* has no place/],
    ["stale read", /^stale answer: .* reports revision \d+, after .* had seen \d+$/],
    ["early snapshot", /^apply order: \d+ applies \d+ of term \d+ after index \d+$|^unequal hashes: /],
    ["double apply", /^wrong answer: .* was answered .*, not /],
    ["wrong branch", /^wrong answer: .*"op":"txn".* was answered .*, not /],
    ["skipped event", /^watch w\d: skipped event: /],
    ["repeated event", /^watch w\d: repeated event: /],
    ["short lease", /^short lease: \d+ ends \d+ ms after a (grant|keepalive) that gave it \d s$/],
  ];
  test.each(faults)("a %s: %s", async (planted, violation) => {
    const others = new Set<string>();
    for (let seed = 1; seed <= 100; seed++) {
      const crashesOnly = ["forgotten vote", "forgetful disk", "early acknowledgement", "early snapshot"].includes(
        planted,
      );
      const { violations } = await simulate({
        seed,
        plant: (who) => plant(planted, who),
        crashesOnly,
        durationMs: 6000,
      });
      if (violations.some((text) => violation.test(text))) return;
      for (const text of violations) others.add(text);
    }
    expect.fail(`not seen in 100 seeds; seen instead: ${[...others].slice(0, 20).join("; ")}`);
  });
});
