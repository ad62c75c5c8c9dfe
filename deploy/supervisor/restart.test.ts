import { expect, test } from "vitest";
import { afterEnd } from "./restart.ts";

const died = { wanted: true, restart: true, livedMs: 50, lastDelayMs: 0 };

test.each([
  ["the first death is answered after 100 ms", died, 100],
  ["each further one after twice as long", { ...died, lastDelayMs: 100 }, 200],
  ["but never more than 5 s", { ...died, lastDelayMs: 3200 }, 5000],
  ["and 5 s it stays", { ...died, lastDelayMs: 5000 }, 5000],
  ["a process that lived for 10 s begins anew", { ...died, livedMs: 10_000, lastDelayMs: 5000 }, 100],
])("%s", (_, ended, afterMs) => {
  expect(afterEnd(ended)).toBe(afterMs);
});

test.each([
  ["one that was told to go stays down", { ...died, wanted: false }],
  ["with --no-restart everyone stays down", { ...died, restart: false }],
])("%s", (_, ended) => {
  expect(afterEnd(ended)).toBeUndefined();
});
