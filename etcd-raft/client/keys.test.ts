import assert from "node:assert/strict";
import { test } from "vitest";
import { keyAfter, prefixEnd } from "./keys.ts";

const rows: [string, Buffer, Buffer][] = [
  ["the last byte counts up", Buffer.from("ab"), Buffer.from("ac")],
  ["0xff bytes at the end fall away", Buffer.from([0x61, 0xff, 0xff]), Buffer.from("b")],
  ["a prefix of 0xff alone has no end", Buffer.from([0xff]), Buffer.from([0])],
  ["the empty prefix is everything", Buffer.from(""), Buffer.from([0])],
];
for (const [name, prefix, end] of rows)
  test(`prefixEnd: ${name}`, () => assert.deepEqual(Buffer.from(prefixEnd(prefix)), end));

test("keyAfter is the very next key", () => assert.deepEqual(Buffer.from(keyAfter("a")), Buffer.from("a\0")));
