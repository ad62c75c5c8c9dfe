import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { test } from "vitest";
import { sameJson } from "./same-json.ts";

test("two JSON values are the same exactly when Node finds them deeply equal", () => {
  // Few letters and small numbers, so that equal pairs and pairs that differ in one place are frequent.
  const { json } = fc.letrec((tie) => ({
    json: fc.oneof(
      { maxDepth: 3 },
      fc.constantFrom(null, true, 0, -0, 1, "", "a", Number.NaN),
      fc.array(tie("json"), { maxLength: 2 }),
      fc.dictionary(fc.constantFrom("a", "b", "__proto__"), tie("json"), { maxKeys: 2, noNullPrototype: true }),
    ),
  }));
  fc.assert(
    fc.property(json, json, (a, b) => {
      assert.equal(sameJson(a, b), isDeepStrictEqual(a, b));
      assert.equal(sameJson(a, structuredClone(a)), true);
    }),
    { numRuns: 2000 },
  );
});

test.each([
  ["a key whose value is undefined is not an absent key", { a: undefined }, {}],
  ["another key of the same count", { a: undefined }, { b: undefined }],
  ["an array is no object", [], {}],
])("%s", (_name, a, b) => assert.equal(sameJson(a, b), false));
