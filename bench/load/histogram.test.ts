import assert from "node:assert/strict";
import fc from "fast-check";
import { test } from "vitest";
import { Histogram } from "./histogram.ts";

test("small durations are exact", () => {
  const histogram = new Histogram();
  for (let us = 1; us <= 100; us++) histogram.record(us);
  assert.deepEqual(
    [0.5, 0.99, 1].map((p) => histogram.percentile(p)),
    [50, 99, 100],
  );
});

test("a percentile is never below the true one and at most 1.6 % above it", () => {
  const duration = fc.integer({ min: 0, max: 30 }).chain((bits) => fc.integer({ min: 0, max: 2 ** bits }));
  fc.assert(
    fc.property(fc.array(duration, { minLength: 1 }), fc.double({ min: 0, max: 1, noNaN: true }), (values, p) => {
      const histogram = new Histogram();
      for (const value of values) histogram.record(value);
      const sorted = [...values].sort((a, b) => a - b);
      const exact = sorted[Math.max(1, Math.ceil(p * values.length)) - 1]!;
      const told = histogram.percentile(p);
      assert.ok(told >= exact && told <= exact * (1 + 1 / 64) + 1, `${told} for ${exact}`);
    }),
  );
});

test("one that was sent as JSON tells the same", () => {
  const histogram = new Histogram();
  for (let i = 0; i < 1000; i++) histogram.record(i * i);
  const sent = Histogram.fromJson(JSON.parse(JSON.stringify(histogram.toJson())));
  assert.deepEqual(sent, histogram);
});

test("what takes longer than half an hour counts as the longest, and nothing has no percentile", () => {
  const histogram = new Histogram();
  assert.ok(Number.isNaN(histogram.percentile(0.5)));
  histogram.record(1e15);
  histogram.record(-5);
  assert.equal(histogram.percentile(1), 2 ** 31 - 1);
  assert.equal(histogram.percentile(0), 0);
});
