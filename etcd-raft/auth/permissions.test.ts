import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { Access, isValidRange, Permissions } from "./permissions.ts";

const permission = (permType: number, key: string, rangeEnd = "") => ({
  permType,
  key: Buffer.from(key),
  rangeEnd: Buffer.from(rangeEnd),
});
const read = (key: string, rangeEnd = "") => permission(Access.read, key, rangeEnd);

describe("what is permitted", () => {
  const rows: [string, Permissions, "read" | "write", string, string | null | undefined, boolean][] = [
    ["a key itself", new Permissions([read("a")]), "read", "a", undefined, true],
    ["not its neighbour", new Permissions([read("a")]), "read", "a\0", undefined, false],
    ["not writing with read", new Permissions([read("a")]), "write", "a", undefined, false],
    ["both with readwrite", new Permissions([permission(Access.readWrite, "a")]), "write", "a", undefined, true],
    ["a range within", new Permissions([read("a", "d")]), "read", "b", "c", true],
    ["not beyond the end", new Permissions([read("a", "d")]), "read", "b", "e", false],
    ["the end itself is outside", new Permissions([read("a", "d")]), "read", "d", undefined, false],
    ["two ranges that touch are one", new Permissions([read("c", "e"), read("a", "c")]), "read", "a", "e", true],
    ["two with a gap are not", new Permissions([read("a", "c"), read("c\0", "e")]), "read", "b", "d", false],
    ["a key fills a gap", new Permissions([read("a", "c"), read("c"), read("c\0", "e")]), "read", "b", "d", true],
    ["an open end is without end", new Permissions([read("b", "\0")]), "read", "z", null, true],
    ["but has a beginning", new Permissions([read("b", "\0")]), "read", "a", null, false],
    ["everything from a key on needs an open end", new Permissions([read("a", "z")]), "read", "b", null, false],
    ["nothing without permissions", new Permissions([]), "read", "a", undefined, false],
  ];
  test.each(rows)("%s", (_, permissions, access, key, end, expected) => {
    assert.equal(permissions.allow(Access[access], { key, end }), expected);
  });
});

test("a permission needs a key, and an end after it", () => {
  assert.equal(isValidRange(read("")), false);
  assert.equal(isValidRange(read("b", "a")), false);
  assert.equal(isValidRange(read("a", "a")), false);
  for (const valid of [read("a"), read("a", "b"), read("a", "\0"), read("\0", "\0")]) assert.ok(isValidRange(valid));
});
