import { seededRand } from "../../base/rand.ts";
import type { Experiment, Injury, MaintainStep, PatchStep, ReplaceStep } from "./schema.ts";

/** One thing to do at a fixed time. What was drawn is drawn: the seed alone decides. */
export type Deed = { atMs: number } & (
  | { kind: "fault"; fault: Omit<Injury, "for">; forMs: number | undefined }
  | ({ kind: "patch" } & Pick<PatchStep, "patch" | "with">)
  | ({ kind: "replace" } & Omit<ReplaceStep, "at">)
  | ({ kind: "maintain" } & Pick<MaintainStep, "maintain">)
);

/** The schedule with its random steps drawn, in the order of time. Nothing begins at or after the end. */
export function deedsOf({ schedule, duration }: Experiment, seed: number): Deed[] {
  const rand = seededRand(seed);
  const deeds = schedule.flatMap((step): Deed[] => {
    if ("random" in step && "choices" in step) {
      const { from, until, every } = step.random as { from: number; until: number; every: number };
      const choices = step.choices as (Injury & { weight?: number })[];
      const times = Array.from({ length: Math.ceil((until - from) / every) }, (_, i) => from + i * every);
      return times.map((time) => ofFault(Math.round(time + (rand.next() * every) / 4), drawn(choices, rand.next())));
    }
    if ("patch" in step && "with" in step) {
      const { at, patch, with: body } = step as PatchStep;
      return [{ atMs: at, kind: "patch", patch, with: body }];
    }
    if ("replace" in step) {
      const { at, ...how } = step as ReplaceStep;
      return [{ atMs: at, kind: "replace", ...how }];
    }
    if ("maintain" in step) {
      const { at, maintain } = step as MaintainStep;
      return [{ atMs: at, kind: "maintain", maintain }];
    }
    const { at, ...fault } = step as Injury & { at: number };
    return [ofFault(at, fault)];
  });
  return deeds.filter(({ atMs }) => atMs < duration).sort((a, b) => a.atMs - b.atMs);
}

function ofFault(atMs: number, { for: forMs, weight: _, ...fault }: Injury & { weight?: number }): Deed {
  return { atMs, kind: "fault", fault: fault as Injury, forMs };
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
