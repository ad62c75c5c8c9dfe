import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { schema } from "../../api/schema.ts";
import type { ManagedFieldsEntry } from "../object.ts";
import type { JsonObject } from "../schema/normalize.ts";
import { isConflict } from "../status.ts";
import { apply, track } from "./apply.ts";
import { structOf } from "./atom.ts";
import {
  difference,
  type FieldSet,
  has,
  intersection,
  members,
  parseFieldsV1,
  setOfPaths,
  sorted,
  union,
} from "./field-set.ts";
import { compare, fieldSetOf, merge } from "./typed.ts";

const message = schema.kind("v1", "Pod")!;
const atom = structOf(schema, message);

/** Objects of a Pod's shape: structs, granular and atomic maps, lists by one key and by two, sets, atomic lists. */
const some = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const word = fc.constantFrom("a", "b", "c");
const map = fc.dictionary(word, word, { maxKeys: 3 });
const record = (shape: Record<string, fc.Arbitrary<unknown>>) =>
  fc
    .record(Object.fromEntries(Object.entries(shape).map(([key, value]) => [key, some(value)])))
    .map((object) => JSON.parse(JSON.stringify(object)) as JsonObject);
const listBy = (key: (item: JsonObject) => unknown, item: fc.Arbitrary<JsonObject>) =>
  fc.uniqueArray(item, { maxLength: 3, selector: (i) => JSON.stringify(key(i)) });
const port = fc
  .tuple(fc.constantFrom(80, 90), fc.constantFrom("TCP", "UDP"), record({ hostPort: fc.nat(2) }))
  .map(([containerPort, protocol, rest]): JsonObject => ({ containerPort, protocol, ...rest }));
const container = fc
  .tuple(
    word,
    record({
      image: word,
      command: fc.array(word, { maxLength: 2 }),
      ports: listBy((p) => [p["containerPort"], p["protocol"]], port),
      resources: record({ limits: fc.dictionary(word, fc.constantFrom("1", "2"), { maxKeys: 2 }) }),
    }),
  )
  .map(([name, rest]): JsonObject => ({ name, ...rest }));
const config = fc
  .tuple(
    record({ labels: map, annotations: map, finalizers: fc.uniqueArray(word) }),
    record({
      nodeName: word,
      nodeSelector: map,
      containers: listBy((c) => c["name"], container),
      tolerations: fc.array(record({ key: word }), { maxLength: 2 }),
    }),
  )
  .map(
    ([metadata, spec]): JsonObject => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "x", ...metadata },
      ...(Object.keys(spec).length > 0 ? { spec } : {}),
    }),
  );

const withEntries = (object: JsonObject, managedFields: ManagedFieldsEntry[] | undefined): JsonObject => {
  const { managedFields: _, ...metadata } = object["metadata"] as JsonObject;
  return { ...object, metadata: { ...metadata, ...(managedFields ? { managedFields } : {}) } };
};
const entriesOf = (object: JsonObject) =>
  ((object["metadata"] as JsonObject)["managedFields"] ?? []) as ManagedFieldsEntry[];
const ownedBy = (object: JsonObject, manager: string) =>
  (entriesOf(object).find((e) => e.manager === manager)?.fieldsV1 ?? {}) as unknown as FieldSet;
const writer = (manager: string, now = "2026-01-02T03:04:05Z") => ({ manager, apiVersion: "v1", subresource: "", now });

function applied(live: JsonObject | undefined, body: JsonObject, manager: string, now?: string, force = true) {
  const { object, managedFields } = apply(schema, message, live, body, { ...writer(manager, now), force });
  return withEntries(object, managedFields);
}
function updated(live: JsonObject | undefined, body: JsonObject, manager: string) {
  return withEntries(body, track(schema, message, live, withEntries(body, live && entriesOf(live)), writer(manager)));
}

/** Any object after a few writes by several managers. */
const written = fc
  .array(fc.tuple(fc.constantFrom("apply", "update"), fc.constantFrom("p", "q", "r"), config), {
    minLength: 1,
    maxLength: 5,
  })
  .map((writes) => {
    let live: JsonObject | undefined;
    for (const [verb, manager, body] of writes)
      live = verb === "apply" ? applied(live, body, manager) : updated(live, body, manager);
    return live!;
  });

const untracked = (path: readonly string[]) =>
  path[0] === "f:apiVersion" || path[0] === "f:kind" || (path[0] === "f:metadata" && path[1] === "f:name");

describe("whatever was written before", () => {
  test("applying a config twice is once, times included", () =>
    fc.assert(
      fc.property(written, config, (live, body) => {
        const once = applied(live, body, "me");
        expect(applied(once, body, "me", "2027-01-01T00:00:00Z", false)).toEqual(once);
      }),
    ));

  test("after an apply its manager owns what the config says, and the object says it", () =>
    fc.assert(
      fc.property(written, config, (live, body) => {
        const after = applied(live, body, "me");
        const said = members(fieldSetOf(atom, body)).filter((path) => !untracked(path));
        expect(members(ownedBy(after, "me"))).toEqual(members(setOfPaths(said)));
        const { added, modified } = compare(atom, after, body);
        expect([...members(added), ...members(modified)]).toEqual([]);
      }),
    ));

  test("without force it either conflicts, or nobody else loses a field", () =>
    fc.assert(
      fc.property(written, config, (live, body) => {
        try {
          const after = applied(live, body, "me", undefined, false);
          const gone = compare(atom, live, after).removed;
          for (const { manager = "", fieldsV1 } of entriesOf(live)) {
            if (manager === "me") continue;
            const [before, now] = [fieldsV1 as unknown as FieldSet, ownedBy(after, manager)];
            if (Object.keys(gone).length === 0 && entriesOf(live).filter((e) => e.manager === manager).length === 1)
              expect(members(difference(before, now))).toEqual([]);
          }
        } catch (error) {
          expect(isConflict(error)).toBe(true);
          expect(() => applied(live, body, "me")).not.toThrow();
        }
      }),
    ));

  test("force takes every field that differs from all others", () =>
    fc.assert(
      fc.property(written, config, (live, body) => {
        const after = applied(live, body, "me");
        const { modified } = compare(atom, live, after);
        for (const entry of entriesOf(after))
          if (entry.manager !== "me")
            expect(members(intersection(entry.fieldsV1 as unknown as FieldSet, modified))).toEqual([]);
      }),
    ));

  test("what a config says no more goes, unless another owns it", () =>
    fc.assert(
      fc.property(written, config, config, (live, first, second) => {
        const before = applied(live, first, "me");
        const after = applied(before, second, "me");
        const present = fieldSetOf(atom, after);
        const others = entriesOf(after).reduce<FieldSet>((s, e) => union(s, e.fieldsV1 as unknown as FieldSet), {});
        for (const path of members(ownedBy(before, "me"))) {
          const said = has(fieldSetOf(atom, second), path);
          if (!said && !covers(others, path)) expect(has(present, path)).toBe(false);
        }
      }),
    ));

  test("an update owns all that it changed, and nobody else does", () =>
    fc.assert(
      fc.property(written, config, (live, body) => {
        fc.pre(entriesOf(live).length > 0);
        const after = updated(live, body, "me");
        const { added, modified } = compare(atom, live, withEntries(body, undefined));
        const changed = union(added, modified);
        expect(members(difference(changed, ownedBy(after, "me"))).filter((path) => !untracked(path))).toEqual([]);
        for (const { manager, fieldsV1 } of entriesOf(after))
          if (manager !== "me") expect(members(intersection(fieldsV1 as unknown as FieldSet, changed))).toEqual([]);
      }),
    ));
});

/** The path, or anything below it, is in the set: a list item or struct stays for what others have in it. */
function covers(set: FieldSet, path: readonly string[]): boolean {
  let node: FieldSet | undefined = set;
  for (const element of path) node = node?.[element];
  return node !== undefined;
}

describe("sets", () => {
  const fields = config.map((object) => fieldSetOf(atom, object));

  test("round trip through FieldsV1", () =>
    fc.assert(
      fc.property(fields, (set) => {
        expect(parseFieldsV1(JSON.parse(JSON.stringify(sorted(set))))).toEqual(set);
      }),
    ));
  test("behave as sets of paths", () =>
    fc.assert(
      fc.property(fields, fields, (a, b) => {
        const [inA, inB] = [new Set(texts(a)), new Set(texts(b))];
        expect(new Set(texts(union(a, b)))).toEqual(new Set([...inA, ...inB]));
        expect(texts(intersection(a, b))).toEqual([...inA].filter((path) => inB.has(path)));
        expect(texts(difference(a, b))).toEqual([...inA].filter((path) => !inB.has(path)));
        expect(setOfPaths(members(a))).toEqual(a);
      }),
    ));
  const texts = (set: FieldSet) => members(set).map((path) => path.join(" "));
});

test("merging a config into itself changes nothing, and no merge loses what the config says", () =>
  fc.assert(
    fc.property(config, config, (a, b) => {
      expect(merge(atom, a, a)).toEqual(a);
      const { modified, added } = compare(atom, merge(atom, a, b), b);
      expect([...members(modified), ...members(added)]).toEqual([]);
    }),
  ));
