import { seededRand } from "../../base/rand.ts";
import type { Experiment, Step } from "./schema.ts";

/** The schedule with its random steps drawn by the seed alone, in the order of time. Nothing begins at or after the end. */
export function deedsOf({ schedule, duration }: Experiment, seed: number): Step[] {
  const rand = seededRand(seed);
  const deeds = schedule.flatMap((step): Step[] => {
    if (step.kind !== "random") return [step];
    const { from, until, every } = step.random;
    const times = Array.from({ length: Math.ceil((until - from) / every) }, (_, i) => from + i * every);
    return times.map((time) => {
      const at = Math.round(time + (rand.next() * every) / 4);
      return { kind: "fault", at, ...drawn(step.choices, rand.next()) };
    });
  });
  return deeds.filter(({ at }) => at < duration).sort((a, b) => a.at - b.at);
}

/** By weight; 1 without one. */
function drawn<T extends { weight?: number }>(choices: readonly T[], at: number): T {
  let left = at * choices.reduce((sum, { weight = 1 }) => sum + weight, 0);
  for (const one of choices) {
    left -= one.weight ?? 1;
    if (left < 0) return one;
  }
  return choices.at(-1)!;
}
