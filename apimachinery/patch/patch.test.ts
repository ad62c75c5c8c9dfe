import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { schema } from "../../api/schema.ts";
import { isObject, type JsonObject, set } from "../schema/normalize.ts";
import { StatusError } from "../status.ts";
import { jsonPatch } from "./json.ts";
import { mergePatch } from "./merge.ts";
import { strategicMergePatch } from "./strategic.ts";

const json = fc.letrec<{ value: unknown; object: JsonObject }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.string(),
    fc.integer(),
    fc.boolean(),
    fc.array(tie("value"), { maxLength: 3 }),
    tie("object"),
  ),
  object: fc.dictionary(fc.oneof(fc.constantFrom("a", "b", "__proto__"), fc.string()), tie("value"), { maxKeys: 4 }),
}));

describe("merge patch", () => {
  test("patch(diff(a, b)) of a is b", () => {
    fc.assert(
      fc.property(json.object, json.object, (a, b) => {
        expect(mergePatch(a, mergeDiff(a, b))).toEqual(b);
      }),
    );
  });
  test("null deletes, objects merge, the rest replaces; the target stays as it was", () => {
    const target = { a: { b: 1, c: 2 }, l: [1, 2] };
    expect(mergePatch(target, { a: { b: null, d: 3 }, l: [3] })).toEqual({ a: { c: 2, d: 3 }, l: [3] });
    expect(target).toEqual({ a: { b: 1, c: 2 }, l: [1, 2] });
  });
  test("a key called __proto__ is a key", () => {
    const result = mergePatch({}, JSON.parse('{"__proto__":{"x":1}}')) as object;
    expect(Object.keys(result)).toEqual(["__proto__"]);
    expect(({} as JsonObject)["x"]).toBeUndefined();
  });
});

describe("JSON patch", () => {
  test.each([
    [
      "add and append",
      [
        { op: "add", path: "/a/-", value: 3 },
        { op: "add", path: "/b", value: 1 },
      ],
      { a: [1, 2, 3], b: 1 },
    ],
    ["move", [{ op: "move", from: "/a/0", path: "/c" }], { a: [2], c: 1 }],
    [
      "a test that holds",
      [
        { op: "test", path: "/a", value: [1, 2] },
        { op: "remove", path: "/a" },
      ],
      {},
    ],
    ["the whole document", [{ op: "replace", path: "", value: { x: 1 } }], { x: 1 }],
  ])("%s", (_, patch, result) => expect(jsonPatch({ a: [1, 2] }, patch)).toEqual(result));

  test.each([
    ["a path that is not there", [{ op: "remove", path: "/x" }], 422],
    ["a test that fails", [{ op: "test", path: "/a", value: 1 }], 422],
    ["an index past the end", [{ op: "add", path: "/a/9", value: 1 }], 422],
    ["an operation that is none", [{ op: "jump", path: "/a" }], 422],
    ["a way into a prototype", [{ op: "add", path: "/__proto__/x", value: 1 }], 422],
    ["removing the document", [{ op: "remove", path: "" }], 422],
    ["no list", { op: "add" }, 400],
    ["too many operations", Array(10_001).fill({ op: "test", path: "/a", value: [1, 2] }), 413],
  ])("%s is refused", (_, patch, code) => {
    expect(codeOf(() => jsonPatch({ a: [1, 2] }, patch))).toBe(code);
  });

  test("copies cannot grow without bound", () => {
    const doubling = Array(40).fill({ op: "copy", from: "/a", path: "/a/-" });
    expect(codeOf(() => jsonPatch({ a: ["y".repeat(100)] }, doubling))).toBe(422);
  });
});

const podSpec = schema.message("core/v1.PodSpec");
const container = (name: string, more: JsonObject = {}) => ({ name, image: "i", ...more });
const apply = (object: JsonObject, patch: unknown) => strategicMergePatch(schema, podSpec, object, patch);

describe("strategic merge patch", () => {
  test.each<[string, JsonObject, JsonObject, JsonObject]>([
    [
      "lists with a merge key merge by it",
      { containers: [container("a"), container("b")] },
      { containers: [{ name: "b", image: "new" }] },
      { containers: [container("a"), { name: "b", image: "new" }] },
    ],
    [
      "new items come where the patch has them",
      { containers: [container("a")] },
      { containers: [{ name: "c", image: "c" }] },
      { containers: [{ name: "c", image: "c" }, container("a")] },
    ],
    [
      "atomic lists are replaced",
      { tolerations: [{ key: "a" }] },
      { tolerations: [{ key: "b" }] },
      { tolerations: [{ key: "b" }] },
    ],
    ["null deletes a key", { nodeName: "n", hostname: "h" }, { hostname: null }, { nodeName: "n" }],
    [
      "$patch: delete removes the item with that key",
      { containers: [container("a"), container("b")] },
      { containers: [{ name: "a", $patch: "delete" }] },
      { containers: [container("b")] },
    ],
    [
      "$patch: replace as an item replaces the list",
      { containers: [container("a"), container("b")] },
      { containers: [{ $patch: "replace" }, container("c")] },
      { containers: [container("c")] },
    ],
    [
      "$patch: replace in a map replaces the map",
      { securityContext: { runAsUser: 1, fsGroup: 2 } },
      { securityContext: { $patch: "replace", runAsUser: 5 } },
      { securityContext: { runAsUser: 5 } },
    ],
    [
      "$patch: delete in a map empties it",
      { nodeSelector: { a: "b" } },
      { nodeSelector: { $patch: "delete" } },
      { nodeSelector: {} },
    ],
    [
      "$setElementOrder orders the merged list",
      { containers: [container("a"), container("b"), container("c")] },
      { "$setElementOrder/containers": [{ name: "c" }, { name: "a" }], containers: [{ name: "a", image: "x" }] },
      { containers: [container("b"), container("c"), { name: "a", image: "x" }] },
    ],
    [
      "$setElementOrder alone only orders",
      { containers: [container("a"), container("b")] },
      { "$setElementOrder/containers": [{ name: "b" }, { name: "a" }] },
      { containers: [container("b"), container("a")] },
    ],
    [
      "$retainKeys drops the other keys",
      { volumes: [{ name: "v", emptyDir: {} }] },
      { volumes: [{ name: "v", $retainKeys: ["name", "hostPath"], hostPath: { path: "/x" } }] },
      { volumes: [{ name: "v", hostPath: { path: "/x" } }] },
    ],
    [
      "directives in what is new vanish",
      {},
      { securityContext: { $retainKeys: ["runAsUser"], runAsUser: 1, fsGroup: null } },
      { securityContext: { runAsUser: 1 } },
    ],
    [
      "env merges by name, inside of its container",
      {
        containers: [
          container("a", {
            env: [
              { name: "X", value: "1" },
              { name: "Y", value: "2" },
            ],
          }),
        ],
      },
      { containers: [{ name: "a", env: [{ name: "Y", value: "3" }] }] },
      {
        containers: [
          container("a", {
            env: [
              { name: "X", value: "1" },
              { name: "Y", value: "3" },
            ],
          }),
        ],
      },
    ],
    [
      "inlined fields are found: a volume's source merges",
      { volumes: [{ name: "v", secret: { secretName: "s", defaultMode: 420 } }] },
      { volumes: [{ name: "v", secret: { secretName: "t" } }] },
      { volumes: [{ name: "v", secret: { secretName: "t", defaultMode: 420 } }] },
    ],
  ])("%s", (_, object, patch, result) => expect(apply(object, patch)).toEqual(result));

  test("$deleteFromPrimitiveList takes values out of a merged list of primitives", () => {
    const meta = schema.message("meta/v1.ObjectMeta");
    const patched = strategicMergePatch(
      schema,
      meta,
      { finalizers: ["a/1", "b/2"] },
      {
        "$deleteFromPrimitiveList/finalizers": ["a/1"],
        "$setElementOrder/finalizers": ["b/2", "c/3"],
        finalizers: ["c/3"],
      },
    );
    expect(patched).toEqual({ finalizers: ["b/2", "c/3"] });
  });

  test.each<[string, JsonObject, string, number]>([
    [
      "an item without its merge key",
      { containers: [{ image: "x" }] },
      "the server rejected our request due to an error in our request",
      422,
    ],
    ["an unknown directive", { $patch: "jump" }, "unknown patch type: jump in map: map[$patch:jump]", 400],
    ["$retainKeys that is no list", { $retainKeys: 1 }, "invalid patch format of retainKeys", 400],
    ["a key that is not retained", { $retainKeys: [], nodeName: "x" }, "invalid patch format of retainKeys", 400],
    [
      "an order that the patch does not keep",
      { "$setElementOrder/containers": [{ name: "a" }], containers: [container("b")] },
      "The order in patch list:\n[map[image:i name:b]]\n doesn't match $setElementOrder list:\n[map[name:a]]\n",
      400,
    ],
  ])("%s is refused", (_, patch, message, code) => {
    const run = () => apply({ containers: [container("a")] }, patch);
    expect(run).toThrow(message);
    expect(codeOf(run)).toBe(code);
  });

  const spec = fc.record(
    {
      nodeName: fc.constantFrom("x", "y"),
      nodeSelector: fc.dictionary(fc.constantFrom("a", "b"), fc.constantFrom("1", "2")),
      containers: fc
        .uniqueArray(fc.constantFrom("a", "b", "c"), { minLength: 1 })
        .map((names) => names.map((name) => container(name, { env: [{ name: "E", value: name }] }))),
      tolerations: fc.array(fc.record({ key: fc.constantFrom("k", "l") }), { maxLength: 2 }),
    },
    { requiredKeys: [] },
  );
  test("patching twice is patching once", () => {
    fc.assert(
      fc.property(spec, spec, (object, patch) => {
        const once = apply(object as JsonObject, patch);
        expect(apply(once, patch)).toEqual(once);
      }),
    );
  });
  test("an object patched with itself stays itself", () => {
    fc.assert(
      fc.property(spec, (object) => {
        expect(apply(object as JsonObject, object)).toEqual(object);
      }),
    );
  });
});

function codeOf(run: () => unknown): number | undefined {
  try {
    run();
  } catch (error) {
    if (error instanceof StatusError) return error.code;
    throw error;
  }
  return undefined;
}

/** The patch that makes `to` of `from`; for objects without nulls. */
function mergeDiff(from: JsonObject, to: JsonObject): JsonObject {
  const patch: JsonObject = {};
  for (const key of Object.keys(from)) if (!Object.hasOwn(to, key)) set(patch, key, null);
  for (const key of Object.keys(to)) {
    const [before, after] = [Object.hasOwn(from, key) ? from[key] : undefined, to[key]];
    if (isObject(before) && isObject(after)) {
      const inner = mergeDiff(before, after);
      if (Object.keys(inner).length) set(patch, key, inner);
    } else if (JSON.stringify(before) !== JSON.stringify(after)) set(patch, key, after);
  }
  return patch;
}
