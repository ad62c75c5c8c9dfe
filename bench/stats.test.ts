import assert from "node:assert/strict";
import { test } from "vitest";
import { mannWhitney, percentile, spread } from "./stats.ts";

test("the median of an even count lies between the two middle values", () => {
  assert.deepEqual(spread([4, 1, 3, 2]), { median: 2.5, min: 1, max: 4 });
});

test("percentiles interpolate between ranks", () => {
  const hundred = Array.from({ length: 101 }, (_, i) => i);
  assert.equal(percentile(hundred, 0.99), 99);
  assert.equal(percentile([10, 20], 0.25), 12.5);
});

test("five rounds that are all faster than five others: the least p that five can give", () => {
  assert.equal(mannWhitney([6, 7, 8, 9, 10], [1, 2, 3, 4, 5]), 2 / 252);
  assert.equal(mannWhitney([1, 2, 3, 4, 5], [60, 70, 80, 90, 100]), 2 / 252);
});

test("interleaved and equal rounds are noise", () => {
  assert.ok(mannWhitney([1, 3, 5, 7, 9], [2, 4, 6, 8, 10]) > 0.6);
  assert.equal(mannWhitney([4, 4, 4], [4, 4, 4]), 1);
});

test("many values are counted out, too", () => {
  // 11 and 11 values with U = 33: exact 0.0759.
  const a = [1, 2, 3, 4, 5, 6, 7, 8, 20, 21, 22];
  const b = [9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19];
  const u = a.reduce((sum, x) => sum + b.filter((y) => y < x).length, 0);
  assert.equal(u, 33);
  assert.ok(Math.abs(mannWhitney(a, b) - 0.0759) < 0.0001, `${mannWhitney(a, b)}`);
});
