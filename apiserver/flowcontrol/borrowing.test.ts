import fc from "fast-check";
import { expect, test } from "vitest";
import { boundsOf, currentLimits, Demand } from "./borrowing.ts";

const level = (nominal: number, limited: object = {}) =>
  boundsOf({ metadata: { name: "x" }, spec: { type: "Limited", limited: limited as never } }, nominal, 600);

test("a level keeps what it may not lend, and has what it may borrow at most", () => {
  expect(level(10)).toEqual({ nominal: 10, min: 10, max: 610 });
  expect(level(10, { lendablePercent: 33, borrowingLimitPercent: 50 })).toEqual({ nominal: 10, min: 7, max: 15 });
});

test("demand: the highest, and average plus deviation, which falls slowly", () => {
  const demand = new Demand(0);
  demand.set(10, 5000);
  demand.set(0, 10_000);
  expect(demand.take(10_000)).toEqual({ high: 10, smoothed: 10 }); // 5 + 5
  expect(demand.take(20_000)).toEqual({ high: 0, smoothed: 9.77 });
});

test.each<[string, Parameters<typeof currentLimits>[0], number[]]>([
  [
    "an idle one lends to a busy one",
    [
      { nominal: 10, min: 5, max: 600, high: 0, smoothed: 0 },
      { nominal: 10, min: 10, max: 600, high: 30, smoothed: 30 },
    ],
    [5, 15],
  ],
  [
    "but not more than that one may borrow",
    [
      { nominal: 10, min: 0, max: 600, high: 0, smoothed: 0 },
      { nominal: 10, min: 10, max: 12, high: 30, smoothed: 30 },
    ],
    [8, 12],
  ],
  [
    "two that are busy have what is theirs",
    [
      { nominal: 10, min: 5, max: 600, high: 20, smoothed: 20 },
      { nominal: 30, min: 15, max: 600, high: 60, smoothed: 60 },
    ],
    [10, 30],
  ],
])("%s", (_, levels, expected) => expect(currentLimits(levels)).toEqual(expected));

test("no seat is made or lost, and nobody leaves its bounds", () => {
  const one = fc.record({
    nominal: fc.integer({ min: 1, max: 100 }),
    lendablePercent: fc.integer({ min: 0, max: 100 }),
    borrowingLimitPercent: fc.option(fc.integer({ min: 0, max: 200 }), { nil: undefined }),
    high: fc.integer({ min: 0, max: 300 }),
    smoothed: fc.float({ min: 0, max: 300, noNaN: true }),
  });
  fc.assert(
    fc.property(fc.array(one, { minLength: 1, maxLength: 8 }), (list) => {
      const levels = list.map(({ nominal, high, smoothed, ...limited }) => ({
        ...level(nominal, limited),
        high,
        smoothed,
      }));
      const limits = currentLimits(levels);
      const sum = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0);
      expect(Math.abs(sum(limits) - sum(list.map(({ nominal }) => nominal)))).toBeLessThanOrEqual(list.length);
      for (const [i, { min, max }] of levels.entries()) {
        expect(limits[i]).toBeGreaterThanOrEqual(min);
        expect(limits[i]).toBeLessThanOrEqual(max);
      }
    }),
  );
});
