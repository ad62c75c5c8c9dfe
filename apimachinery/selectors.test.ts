import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  checkFields,
  formatSelector,
  labelSelector,
  matches,
  matchesFields,
  parseFieldSelector,
  parseSelector,
} from "./selectors.ts";

const labels = { app: "web", tier: "front", count: "5" };

describe("a selector holds when all its requirements do", () => {
  test.each([
    ["the empty one selects everything", "", true],
    ["equality", "app=web", true],
    ["equality, doubled", "app==web", true],
    ["inequality", "app!=db", true],
    ["inequality holds for absent keys", "owner!=me", true],
    ["membership", "tier in (front, back)", true],
    ["exclusion", "tier notin (front)", false],
    ["exclusion holds for absent keys", "owner notin (me)", true],
    ["existence", "app", true],
    ["absence", "!app", false],
    ["greater", "count>4", true],
    ["less", "count<4", false],
    ["order needs a number", "app>4", false],
    ["all must hold", "app=web,tier=back", false],
    ["a key may be called in", "in in (in)", false],
    ["an empty value", "app=", false],
    ["spaces do not matter", "  app  =  web ,tier   ", true],
  ])("%s: %j", (_, text, holds) => expect(matches(parseSelector(text), labels)).toBe(holds));
});

describe("bad selectors get upstream's words", () => {
  test.each([
    ["a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"],
    ["app=web,", "found '', expected: identifier after ','"],
    ["app=web tier", "found 'tier', expected: ',' or 'end of string'"],
    [",", "found ',', expected: !, identifier, or 'end of string'"],
    ["x in a", "unable to parse requirement: found 'a' expected: '('"],
    ["x in (a", "unable to parse requirement: found '', expected: ',' or ')'"],
    ["x in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"],
    ["!", "unable to parse requirement: found '', expected: identifier"],
    ["x==!", "unable to parse requirement: found '!', expected: identifier"],
    ["x>a", "for 'Gt', 'Lt' operators, the value must be an integer"],
    ["-x=1", 'unable to parse requirement: key: Invalid value: "-x": name part must consist of alphanumeric'],
    ["x=-", 'values[0][x]: Invalid value: "-": a valid label must be an empty string or consist of'],
  ])("%j: %s", (text, message) => expect(() => parseSelector(text)).toThrow(message));
});

const key = fc.stringMatching(/^[a-z][a-z0-9]{0,8}$/);
const requirement = fc.oneof(
  fc.tuple(key, fc.constantFrom("=", "==", "!="), key).map(([k, op, v]) => `${k}${op}${v}`),
  fc
    .tuple(key, fc.constantFrom("in", "notin"), fc.uniqueArray(key, { minLength: 1, maxLength: 3 }))
    .map(([k, op, v]) => `${k} ${op} (${v})`),
  fc.tuple(fc.constantFrom("", "!"), key).map(([no, k]) => no + k),
  fc.tuple(key, fc.constantFrom("<", ">"), fc.nat()).map(([k, op, n]) => `${k}${op}${n}`),
);

test("a printed selector reads as the same one", () => {
  fc.assert(
    fc.property(fc.array(requirement, { maxLength: 4 }), (parts) => {
      const selector = parseSelector(parts.join(","));
      expect(parseSelector(formatSelector(selector))).toEqual(selector);
    }),
  );
});

test("no text makes the parser fail otherwise than with BadRequest", () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[a-z=!(),<> in]{0,30}$/), (text) => {
      try {
        parseSelector(text);
      } catch (error) {
        expect((error as { reason?: string }).reason).toBe("BadRequest");
      }
    }),
  );
});

describe("LabelSelector objects", () => {
  test("none selects nothing, an empty one everything", () => {
    expect(matches(labelSelector(undefined), labels)).toBe(false);
    expect(matches(labelSelector({}), labels)).toBe(true);
  });
  test("labels and expressions must all hold, and print sorted by key", () => {
    const selector = labelSelector({
      matchLabels: { tier: "front" },
      matchExpressions: [
        { key: "app", operator: "In", values: ["web", "api"] },
        { key: "old", operator: "DoesNotExist" },
      ],
    });
    expect(formatSelector(selector)).toBe("app in (api,web),!old,tier=front");
    expect(matches(selector, labels)).toBe(true);
  });
});

describe("field selectors", () => {
  test("equal and different, with escapes", () => {
    const selector = parseFieldSelector("spec.nodeName=a\\,b,status.phase!=Running");
    expect(matchesFields(selector, { "spec.nodeName": "a,b", "status.phase": "Pending" })).toBe(true);
    expect(matchesFields(selector, { "spec.nodeName": "a,b", "status.phase": "Running" })).toBe(false);
  });
  test.each([
    ["a", "invalid selector: 'a'; can't understand 'a'"],
    ["a=b=c", "invalid field selector: unescaped character in value: ="],
    ["a=b\\c", "invalid field selector: invalid escape sequence: \\c"],
  ])("%j: %s", (text, message) => expect(() => parseFieldSelector(text)).toThrow(message));
  test("a kind says which fields it knows", () => {
    const kind = { selectableFields: ["metadata.name", "spec.nodeName"], unknownField: (name: string) => `no ${name}` };
    expect(() => checkFields(parseFieldSelector("spec.x=1"), kind)).toThrow("no spec.x");
    checkFields(parseFieldSelector("metadata.name=a,spec.nodeName="), kind);
  });
});
