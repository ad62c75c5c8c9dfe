import assert from "node:assert/strict";
import { test } from "vitest";
import { percentile, spread } from "./stats.ts";

test("the median of an even count lies between the two middle values", () => {
  assert.deepEqual(spread([4, 1, 3, 2]), { median: 2.5, min: 1, max: 4 });
});

test("percentiles interpolate between ranks", () => {
  const hundred = Array.from({ length: 101 }, (_, i) => i);
  assert.equal(percentile(hundred, 0.99), 99);
  assert.equal(percentile([10, 20], 0.25), 12.5);
});
