import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { validateSchema } from "../../api/apiextensions/schema-validation.ts";
import { errorText } from "../../apimachinery/field-error.ts";
import { checkRules } from "../../apimachinery/schema/rules.ts";
import type { JsonSchema } from "../../apimachinery/schema/structural.ts";

const spec = (rules: object[], more: object = {}): JsonSchema => ({
  type: "object",
  properties: {
    spec: {
      type: "object",
      "x-kubernetes-validations": rules,
      properties: {
        min: { type: "integer" },
        max: { type: "integer" },
        name: { type: "string" },
        "odd-name": { type: "string" },
        until: { type: "string", format: "date-time" },
        items: {
          type: "array",
          "x-kubernetes-list-type": "map",
          "x-kubernetes-list-map-keys": ["key"],
          items: {
            type: "object",
            required: ["key"],
            properties: {
              key: { type: "string" },
              size: {
                type: "integer",
                "x-kubernetes-validations": [{ rule: "self >= oldSelf", message: "may not shrink" }],
              },
            },
          },
        },
        ...more,
      },
    },
  },
});

describe("rules", () => {
  // name, rules, spec, old spec, what is told
  const rows: [string, object[], object, object | undefined, string[]][] = [
    ["a rule that holds is silent", [{ rule: "self.min <= self.max" }], { min: 1, max: 2 }, undefined, []],
    [
      "without a message the rule itself speaks",
      [{ rule: "self.min <= self.max" }],
      { min: 3, max: 2 },
      undefined,
      ['spec: Invalid value: "object": failed rule: self.min <= self.max'],
    ],
    [
      "messageExpression wins over message",
      [{ rule: "false", message: "m", messageExpression: "'min ' + string(self.min)" }],
      { min: 3 },
      undefined,
      ['spec: Invalid value: "object": min 3'],
    ],
    [
      "reason and fieldPath",
      [{ rule: "false", message: "m", reason: "FieldValueForbidden", fieldPath: ".min" }],
      {},
      undefined,
      ["spec.min: Forbidden: m"],
    ],
    [
      "a missing field is an error of the rule",
      [{ rule: "self.min > 1" }],
      {},
      undefined,
      ['spec: Invalid value: "object": no such key: min evaluating rule: self.min > 1'],
    ],
    ["has() asks for it", [{ rule: "!has(self.min) || self.min > 1" }], {}, undefined, []],
    [
      "names that are no identifiers are escaped, formats are types",
      [{ rule: "self.odd__dash__name == 'x' && self.until > timestamp('2020-01-01T00:00:00Z')" }],
      { "odd-name": "x", until: "2026-01-01T00:00:00Z" },
      undefined,
      [],
    ],
    [
      "a transition rule rests without an old value",
      [{ rule: "self.name == oldSelf.name" }],
      { name: "a" },
      undefined,
      [],
    ],
    [
      "a transition rule sees both values",
      [{ rule: "self.name == oldSelf.name", message: "name is immutable" }],
      { name: "a" },
      { name: "b" },
      ['spec: Invalid value: "object": name is immutable'],
    ],
    [
      "optionalOldSelf asks on create, too",
      [{ rule: "oldSelf.hasValue() || self.min == 0", optionalOldSelf: true, message: "starts at 0" }],
      { min: 1 },
      undefined,
      ['spec: Invalid value: "object": starts at 0'],
    ],
    [
      "items of a map list are compared by their keys",
      [],
      {
        items: [
          { key: "b", size: 1 },
          { key: "a", size: 1 },
        ],
      },
      { items: [{ key: "a", size: 2 }] },
      ['spec.items[1].size: Invalid value: "integer": may not shrink'],
    ],
    [
      "what was wrong and did not change is left alone",
      [{ rule: "self.min <= self.max" }],
      { min: 3, max: 2 },
      { min: 3, max: 2 },
      [],
    ],
  ];
  test.each(rows)("%s", (_name, rules, value, old, told) => {
    const errors = checkRules(
      spec(rules),
      { metadata: { name: "x" }, spec: value },
      old && { metadata: { name: "x" }, spec: old },
    );
    assert.deepEqual(errors.map(errorText), told);
  });

  test("the root knows its name", () => {
    const schema: JsonSchema = {
      type: "object",
      "x-kubernetes-validations": [{ rule: "self.metadata.name.startsWith('x')" }],
    };
    assert.deepEqual(checkRules(schema, { metadata: { name: "x" } }, undefined), []);
    assert.equal(checkRules(schema, { metadata: { name: "y" } }, undefined).length, 1);
  });

  test("a rule that costs too much ends the checks, not the server", () => {
    const list = { list: { type: "array", items: { type: "integer" } } };
    const rule = "self.list.all(a, self.list.all(b, self.list.all(c, a + b + c >= 0)))";
    const value = { spec: { list: Array.from({ length: 1000 }, (_, i) => i) } };
    assert.deepEqual(checkRules(spec([{ rule }, { rule: "false" }], list), value, undefined).map(errorText), [
      "spec: Invalid value: \"object\": 'operation cancelled: actual cost limit exceeded': no further validation rules will be run due to call cost exceeds limit for rule: self.list.all(a, self.list.all(b, self.list.all(c, a + b + c >= 0)))",
    ]);
    const dear = { rule: "self.list.all(a, self.list.all(b, b < 160))" };
    const lesser = { spec: { list: Array.from({ length: 400 }, (_, i) => i % 160) } };
    assert.deepEqual(checkRules(spec([dear, dear, dear, dear], list), lesser, undefined).map(errorText), [
      'spec: Invalid value: "object": validation failed due to running out of cost budget, no further validation rules will be run',
    ]);
  });

  test("a definition with a bad rule is refused", () => {
    const rules = [
      { rule: "self.min <" },
      { rule: "other" },
      { rule: "'text'" },
      { rule: "" },
      { rule: "true", reason: "Odd" },
    ];
    const errors = [...validateSchema(spec(rules), "s")];
    const at = "s.properties[spec].x-kubernetes-validations";
    assert.deepEqual(
      errors.map(({ field }) => field),
      [`${at}[0].rule`, `${at}[1].rule`, `${at}[2].rule`, `${at}[3].rule`, `${at}[4].reason`],
    );
    assert.match(
      errorText(errors[1]!),
      /compilation failed: ERROR: <input>:1:1: undeclared reference to 'other' \(in container ''\)/,
    );
  });
});
