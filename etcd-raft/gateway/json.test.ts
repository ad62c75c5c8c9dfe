import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { ObjectSplitter } from "./gateway.ts";
import { JsonError, messageFromJson, messageToJson } from "./json.ts";

describe("messages as JSON", () => {
  const rows: [string, string, Record<string, unknown>, unknown][] = [
    ["bytes are base64", "etcdserverpb.PutRequest", { key: Buffer.from("foo") }, { key: "Zm9v" }],
    ["64-bit integers are strings", "etcdserverpb.RangeResponse", { count: 2 ** 40 }, { count: "1099511627776" }],
    ["ids keep all 64 bits", "etcdserverpb.Member", { ID: 2n ** 64n - 1n }, { ID: "18446744073709551615" }],
    ["enums are names", "etcdserverpb.AlarmMember", { alarm: 1 }, { alarm: "NOSPACE" }],
    ["zeros are left out", "etcdserverpb.RangeResponse", { count: 0, more: false, kvs: [] }, {}],
    [
      "names are those of the .proto file",
      "etcdserverpb.ResponseHeader",
      { clusterId: 1n, raftTerm: 2 },
      { cluster_id: "1", raft_term: "2" },
    ],
  ];
  for (const [name, type, message, json] of rows) {
    test(name, () => {
      assert.deepEqual(messageToJson(type, message), json);
      if (Object.keys(json as object).length > 0) assert.deepEqual(messageFromJson(type, json), message);
    });
  }

  test("lowerCamelCase, numbers and unknown fields are read too", () => {
    const json = { key: "Zm9v", rangeEnd: "AA==", limit: 5, sort_order: 2, unknown: 1 };
    assert.deepEqual(messageFromJson("etcdserverpb.RangeRequest", json), {
      key: Buffer.from("foo"),
      rangeEnd: Buffer.from([0]),
      limit: 5,
      sortOrder: 2,
    });
  });

  test.each([
    ["a number for bytes", { key: 1 }],
    ["text that is not base64", { key: "*" }],
    ["a fraction for an integer", { limit: 1.5 }],
    ["an unknown enum name", { sort_order: "SIDEWAYS" }],
    ["a list for a message", []],
  ])("%s is refused", (_, json) => {
    assert.throws(() => messageFromJson("etcdserverpb.RangeRequest", json), JsonError);
  });
});

test("objects of a stream are cut apart however the pieces fall, braces in strings notwithstanding", () => {
  const text = '{"a":"}{\\"}"}\n{"b":{"c":1}} {"d":2}';
  for (let at = 0; at <= text.length; at++) {
    const objects: unknown[] = [];
    const splitter = new ObjectSplitter((object) => objects.push(JSON.parse(object)));
    splitter.push(text.slice(0, at));
    splitter.push(text.slice(at));
    splitter.end();
    assert.deepEqual(objects, [{ a: '}{"}' }, { b: { c: 1 } }, { d: 2 }]);
  }
});

test.each(["{", '{"a":1} rest', "no object"])(
  "a stream that ends within an object, or with something else: %s",
  (text) => {
    const splitter = new ObjectSplitter((object) => JSON.parse(object));
    splitter.push(text);
    assert.throws(() => splitter.end(), SyntaxError);
  },
);
