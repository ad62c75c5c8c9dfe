import assert from "node:assert/strict";
import { test } from "vitest";
import { seededRand, systemRand } from "./rand.ts";

test("a seed says it all: the same numbers, ids and choices every time", () => {
  const draw = (seed: number) => {
    const rand = seededRand(seed);
    return [rand.next(), rand.below(1000), rand.uint64(), rand.uuid()];
  };
  assert.deepEqual(draw(7), draw(7));
  assert.notDeepEqual(draw(7), draw(8));
});

test.each([
  ["seeded", seededRand(1)],
  ["the system's", systemRand],
])("%s numbers keep their ranges, and UUIDs are version 4", (_, rand) => {
  for (let i = 0; i < 1000; i++) {
    const next = rand.next();
    assert.ok(next >= 0 && next < 1);
    assert.ok(Number.isInteger(rand.below(3)) && rand.below(3) < 3);
    assert.match(rand.uuid(), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  }
});
