import assert from "node:assert/strict";
import { expect, test } from "vitest";
import { EtcdClient } from "../etcd-raft/client/client.ts";
import { startTestMember } from "../etcd-raft/server/testing.ts";
import { fieldChanges, type Kept, keptOf, pathOf, told } from "./history.ts";

const pod = (revision: number, version: number, spec: object, metadata: object = {}) => ({
  revision,
  version,
  value: Buffer.from(JSON.stringify({ kind: "Pod", apiVersion: "v1", metadata: { name: "web", ...metadata }, spec })),
});
const kept: Kept = {
  oldest: 8,
  newest: 30,
  changes: [
    pod(5, 1, { nodeName: "a" }),
    pod(12, 2, { nodeName: "b" }, { managedFields: [{ manager: "x" }] }),
    { revision: 20 },
    pod(25, 1, { nodeName: "c" }),
    { revision: 28, version: 2, value: Buffer.from("k8s:enc:aescbc:v1:k1:...") },
  ],
};

test.each<[string, Parameters<typeof told>[2], string]>([
  [
    "list",
    { action: "list" },
    'revisions 8 to 30 are kept\n5  created\n12  ~ spec.nodeName: "a" -> "b"\n20  deleted\n25  created\n28  written',
  ],
  [
    "get between two changes",
    { action: "get", revision: 11 },
    'kind: Pod\napiVersion: v1\nmetadata:\n  resourceVersion: "5"\n  name: web\nspec:\n  nodeName: a',
  ],
  ["what a revision changed", { action: "diff", revision: 12 }, '~ spec.nodeName: "a" -> "b"'],
  ["what is different at another revision", { action: "diff", revision: 8, to: 26 }, '~ spec.nodeName: "a" -> "c"'],
  ["no difference", { action: "diff", revision: 8, to: 9 }, "nothing changed"],
])("%s", (_, request, text) => expect(told("pods/default/web", kept, request)).toBe(text));

test.each<[string, number, string]>([
  ["a compacted revision", 7, "revision 7 is compacted: the oldest there is is 8"],
  ["a revision to come", 31, "revision 31 is not there yet: the store is at 30"],
  ["a deleted object", 20, "pods/default/web is not there at revision 20: deleted at 20"],
  ["an encrypted one", 29, "pods/default/web is encrypted at rest: only an apiserver that has the key can read it"],
])("%s is refused in one line", (_, revision, message) => {
  expect(() => told("pods/default/web", kept, { action: "get", revision })).toThrow(message);
});

test("what is not in the store is not there", () => {
  const nothing = { oldest: 1, newest: 9, changes: [] };
  expect(told("pods/default/x", nothing, { action: "list" })).toBe(
    "revisions 1 to 9 are kept\nnothing of pods/default/x",
  );
  expect(() => told("pods/default/x", nothing, { action: "get" })).toThrow("pods/default/x is not there at revision 9");
});

test("fields are told by their paths, items of lists by their names", () => {
  const before = { a: { "x.y/z": 1 }, list: [{ name: "one", image: "i" }, { name: "two" }], plain: [1] };
  const after = {
    a: { "x.y/z": 2 },
    list: [{ name: "two" }, { name: "one", image: "j" }, { name: "three" }],
    plain: [1, 2],
    b: null,
  };
  expect(fieldChanges(before, after)).toEqual([
    "~ a[x.y/z]: 1 -> 2",
    '~ list[one].image: "i" -> "j"',
    '+ list[three]: {"name":"three"}',
    "~ plain: [1] -> [1,2]",
    "+ b: null",
  ]);
});

test.each([
  ["deploy", "deployments/default/x"],
  ["Pod", "pods/default/x"],
  ["nodes", "minions/x"],
  ["ingresses.networking.k8s.io", "ingress/default/x"],
  ["widgets.example.com", "example.com/widgets/x"],
])("%s is found at %s", (kind, path) => expect(pathOf(kind, undefined, "x")).toBe(path));

test("what a store keeps of a key is all from the compaction on", async () => {
  const member = await startTestMember();
  const etcd = new EtcdClient({ endpoints: [member.endpoint] });
  try {
    const put = async (value: string) => (await etcd.put({ key: "k", value })).header!.revision;
    const [first, second] = [await put("1"), await put("2")];
    const gone = (await etcd.deleteRange({ key: "k" })).header!.revision;
    const again = await put("3");
    const told = ({ oldest, newest, changes }: Kept) => [
      oldest,
      newest,
      ...changes.map(({ revision, value }) => [revision, value && Buffer.from(value).toString()]),
    ];
    assert.deepEqual(told(await keptOf(etcd, "k")), [
      1,
      again,
      [first, "1"],
      [second, "2"],
      [gone, undefined],
      [again, "3"],
    ]);
    const other = (await etcd.put({ key: "other", value: "" })).header!.revision;
    await etcd.compact({ revision: gone - 1 });
    assert.deepEqual(told(await keptOf(etcd, "k")), [second, other, [second, "2"], [gone, undefined], [again, "3"]]);
    await etcd.compact({ revision: other });
    assert.deepEqual(told(await keptOf(etcd, "k")), [other, other, [again, "3"]]);
  } finally {
    etcd.close();
    await member.close();
  }
});
