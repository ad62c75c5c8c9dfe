import assert from "node:assert/strict";
import { test } from "vitest";
import { readTable, verdict } from "./check-layers.mjs";

const folders = readTable(`
| 0 | \`base/\` | clock | nothing |
| 0 | \`net/\` | wires | \`base\` |
| 1 | \`etcd-raft/\` | store | 0 |
| 3 | \`apiserver/\` | API | 0, \`etcd-raft/client\` |
| 4 | \`cli/\` | command | all |
`);

test.each([
  ["a folder may import itself", "base/a.ts", "base/b.ts", true],
  ["a folder named in the row", "net/a.ts", "base/b.ts", true],
  ["a layer named in the row", "etcd-raft/a.ts", "net/b.ts", true],
  ["only the named part of a folder", "apiserver/a.ts", "etcd-raft/client/client.ts", true],
  ["not another part of it", "apiserver/a.ts", "etcd-raft/mvcc/store.ts", false],
  ["nothing upwards", "base/a.ts", "net/b.ts", false],
  ["layer 4 may import all", "cli/a.ts", "apiserver/b.ts", true],
  ["an unlisted folder is refused", "apiserver/a.ts", "misc/b.ts", false],
])("%s", (_, from, to, allowed) => {
  assert.equal(verdict(folders, from, to) === undefined, allowed);
});
