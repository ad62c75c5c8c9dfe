import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { systemClock } from "./clock.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("what is due in more days than a timer can count comes then, not at once; it can be taken back on the way", () => {
  const days = (n: number) => n * 24 * 3_600_000;
  const happened: string[] = [];
  systemClock.after(days(60), () => happened.push("in 60 days"));
  systemClock.after(Number.POSITIVE_INFINITY, () => happened.push("never"));
  const cancel = systemClock.after(days(60), () => happened.push("cancelled"));
  vi.advanceTimersByTime(days(59));
  expect(happened).toEqual([]);
  cancel();
  vi.advanceTimersByTime(days(1));
  expect(happened).toEqual(["in 60 days"]);
});
