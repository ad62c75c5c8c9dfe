import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  addQuantities,
  canonicalQuantity,
  compareQuantities,
  quantityError,
  quantityToMilli,
  quantityToNumber,
  subtractQuantities,
} from "./quantity.ts";

describe("a quantity prints with the greatest suffix that loses nothing", () => {
  test.each([
    ["a thousand milli are one", "1000m", "1"],
    ["a fraction becomes milli", "0.5", "500m"],
    ["binary stays binary", "1024Mi", "1Gi"],
    ["a binary fraction is spelled out", "1.5Gi", "1536Mi"],
    ["below 1024 there is no binary suffix", "0.5Ki", "512"],
    ["what binary cannot say goes decimal", "0.1Gi", "107374182400m"],
    ["exponents stay exponents", "1e3", "1e3"],
    ["E alone is exa", "1E", "1E"],
    ["less than a nano rounds up", "0.1n", "1n"],
    ["the largest is 2^63-1", "99999999999E", "9223372036854775807"],
    ["zero has no suffix", "0Ki", "0"],
    ["a sign is kept", "-3Mi", "-3Mi"],
    ["leading and trailing zeros go", "0010.50", "10500m"],
  ])("%s: %s -> %s", (_, text, canonical) => expect(canonicalQuantity(text)).toBe(canonical));

  test.each(["", "Mi", "1.2.3", "1 Mi", "0x10", "1mm", "--1", ".", "NaN"])("%j is none", (text) => {
    expect(() => canonicalQuantity(text)).toThrow(/quantities must match|unable to parse quantity's suffix/);
  });

  test("the error names the expression", () => expect(() => canonicalQuantity("x")).toThrow(quantityError));
});

const quantity = fc
  .tuple(
    fc.integer({ min: -(10 ** 9), max: 10 ** 9 }),
    fc.constantFrom("", "m", "u", "n", "k", "M", "Ki", "Mi", "Gi", "e3", "E-2"),
  )
  .map(([n, suffix]) => `${n}${suffix}`);

test("printing is canonical: what was printed prints the same and is as much", () => {
  fc.assert(
    fc.property(quantity, (text) => {
      const once = canonicalQuantity(text);
      expect(canonicalQuantity(once)).toBe(once);
      expect(compareQuantities(once, text)).toBe(0);
    }),
  );
});

test("what was added can be taken away", () => {
  fc.assert(
    fc.property(quantity, quantity, (a, b) => {
      expect(compareQuantities(subtractQuantities(addQuantities(a, b), b), a)).toBe(0);
    }),
  );
});

test("readers round up", () => {
  expect(quantityToMilli("100u")).toBe(1);
  expect(quantityToMilli("1.5")).toBe(1500);
  expect(quantityToNumber("1Ki")).toBe(1024);
  expect(quantityToNumber("100m")).toBe(1);
});
