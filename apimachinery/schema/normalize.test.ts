import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { schema } from "../../api/schema.ts";
import { scanJson } from "./json-scan.ts";
import { type JsonObject, normalize } from "./normalize.ts";
import type { Field, Message } from "./table.ts";

/** Objects of a kind, made from its schema: every field may be there, as anything that it may be. */
function anyOf(message: Message, depth: number): fc.Arbitrary<unknown> {
  switch (message.jsonForm) {
    case "quantity":
      return fc.oneof(fc.nat(), fc.constantFrom("100m", "0", "1500Mi", "0.1", "1e3"));
    case "int-or-string":
      return fc.oneof(fc.nat(), fc.constantFrom("25%", "http"));
    case "time":
    case "micro-time":
      return fc.constantFrom("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.678901+02:00");
    case "duration":
      return fc.constant("5s");
    case "list":
      return fc.array(fc.string(), { maxLength: 2 });
    case "object":
      return fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 1 }), { maxKeys: 2 });
    case "any": {
      // JSONSchemaPropsOrBool and its like: an object is a schema.
      const union = message.fields.get("schema");
      if (union) return fc.oneof(fc.boolean(), anyOf(schema.message(union.messageId!), depth - 1));
      return fc.jsonValue({ maxDepth: 1 });
    }
  }
  const fields = [...message.fields.values()].filter((f) => depth > 0 || f.scalar);
  return fc
    .subarray(fields, { maxLength: Math.min(5, fields.length) })
    .chain((some) => fc.record(Object.fromEntries(some.map((field) => [field.name, fieldOf(field, depth - 1)]))));
}

function fieldOf(field: Field, depth: number): fc.Arbitrary<unknown> {
  const one = field.scalar ? scalars[field.scalar] : anyOf(schema.message(field.messageId!), depth);
  if (field.shape === "list") return fc.oneof(fc.array(one, { maxLength: 2 }), fc.constant(null));
  if (field.shape === "map") return fc.dictionary(fc.stringMatching(/^[a-z]{1,3}$/), one, { maxKeys: 2 });
  return fc.oneof({ weight: 5, arbitrary: one }, { weight: 1, arbitrary: fc.constant(null) });
}

const scalars = {
  string: fc.constantFrom("", "a", "b"),
  bool: fc.boolean(),
  int32: fc.integer(),
  int64: fc.maxSafeInteger(),
  double: fc.double({ noNaN: true, noDefaultInfinity: true }),
  bytes: fc.uint8Array({ maxLength: 5 }).map((bytes) => Buffer.from(bytes).toString("base64")),
};

describe.each([
  "core/v1.Pod",
  "core/v1.Service",
  "apps/v1.Deployment",
  "core/v1.Node",
  "core/v1.Event",
  "apiextensions/v1.CustomResourceDefinition",
])("%s", (id) => {
  const message = schema.message(id);
  const clean = (object: unknown) => {
    const copy = structuredClone(object) as JsonObject;
    const unknown: string[] = [];
    normalize(schema, message, copy, unknown);
    return { copy, unknown };
  };

  test("every object of the kind is accepted whole, and what became of it stays as it is", () => {
    fc.assert(
      fc.property(anyOf(message, 5), (object) => {
        const { copy, unknown } = clean(object);
        expect(unknown).toEqual([]);
        expect(clean(copy).copy).toEqual(copy);
        expect(scanJson(JSON.stringify(copy)).duplicates).toEqual([]);
      }),
    );
  });

  test("a field that the kind does not have is told with its path, wherever it stands", () => {
    fc.assert(
      fc.property(anyOf(message, 4), (object) => {
        const holders: string[] = [];
        const spoiled = structuredClone(object) as JsonObject;
        spoil(spoiled, message, "", holders);
        expect(clean(spoiled).unknown).toEqual(holders);
        expect(clean(spoiled).copy).toEqual(clean(object).copy);
      }),
    );
  });
});

/** Adds a field `nope` to every message in it. */
function spoil(object: JsonObject, message: Message, path: string, told: string[]): void {
  for (const key of Object.keys(object)) {
    const field = message.fields.get(key)!;
    const inner = field.messageId === undefined ? undefined : schema.message(field.messageId);
    if (!inner || inner.jsonForm || object[key] === null) continue;
    const at = path ? `${path}.${key}` : key;
    const value = object[key];
    if (Array.isArray(value)) {
      for (const [i, item] of value.entries()) spoil(item as JsonObject, inner, `${at}[${i}]`, told);
    } else if (field.shape === "map")
      for (const [k, v] of Object.entries(value as JsonObject)) spoil(v as JsonObject, inner, `${at}.${k}`, told);
    else spoil(value as JsonObject, inner, at, told);
  }
  object["nope"] = 1;
  told.push(path ? `${path}.nope` : "nope");
}
