import { expect, test } from "vitest";
import { stringify } from "yaml";
import { seededRand } from "../../base/rand.ts";
import { parseExperiment } from "../experiments/schema.ts";
import { faultProblems } from "../faults/types.ts";
import { type DeedName, deeds, experimentOf, roundMs, shuffledDeeds } from "./deeds.ts";

const all = Object.keys(deeds) as DeedName[];

test("every deed comes up about as often as every other, in an order that the seed decides", () => {
  const order = shuffledDeeds(3 * all.length, seededRand(1));
  for (const name of all) expect(order.filter((each) => each === name)).toHaveLength(3);
  expect(shuffledDeeds(3 * all.length, seededRand(1))).toEqual(order);
  expect(shuffledDeeds(3 * all.length, seededRand(2))).not.toEqual(order);
});

test("the rounds of all deeds are a whole experiment, and each is undone before the next begins", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const yaml = stringify(experimentOf(all, { members: 3, clients: 9 }, seededRand(seed)));
    const { schedule } = parseExperiment(yaml, "soak.yaml", faultProblems);
    for (const step of schedule as { at: number; for?: number }[]) {
      const inRound = (step.at - 500) % roundMs;
      expect(inRound + (step.for ?? 0)).toBeLessThan(roundMs - 1000);
    }
  }
});
