import assert from "node:assert/strict";
import { test } from "vitest";
import { seededRand } from "../../base/rand.ts";
import { Schedule } from "./schedule.ts";

function times(seed: number, count: number): number[] {
  const schedule = new Schedule(1000, 5000, seededRand(seed));
  return Array.from({ length: count }, () => {
    const { next } = schedule;
    schedule.advance();
    return next;
  });
}

test("a seed fixes the times, and they ascend from the start", () => {
  const all = times(7, 1000);
  assert.deepEqual(times(7, 1000), all);
  assert.notDeepEqual(times(8, 1000), all);
  assert.ok(all.every((time, i) => time > (i === 0 ? 1000 : all[i - 1]!)));
});

test("the rate is kept on average, and gaps spread as independent arrivals do", () => {
  const all = times(1, 50_000);
  const gaps = all.slice(1).map((time, i) => time - all[i]!);
  const mean = gaps.reduce((sum, gap) => sum + gap) / gaps.length;
  const deviation = Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length);
  assert.ok(Math.abs(mean - 0.2) < 0.004, `${mean}`);
  assert.ok(Math.abs(deviation / mean - 1) < 0.03, `${deviation / mean}`);
});
