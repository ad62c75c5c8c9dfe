import assert from "node:assert/strict";
import { test } from "vitest";
import { mergeRows, replaceTable } from "./table.ts";

const cells = (...texts: string[]) => texts.map((text) => ({ good: true, text }));
const stores = ["x", "y"];
const head = "|  | x | y | made |\n| --- | --- | --- | --- |";

test("rows have a cell for each store, empty where one was not run", () => {
  const rows = new Map([
    ["tests: a", cells("1 passed", "1 FAILED")],
    ["b", cells("passed")],
  ]);
  const table = mergeRows("", stores, "today", rows);
  assert.equal(table, `${head}\n| tests: a | 1 passed | 1 FAILED | today |\n| b | passed |  | today |`);
});

test("a part that is run later replaces its own rows, keeps the others, and puts tests before experiments", () => {
  const first = new Map([
    ["b", cells("1", "2")],
    ["c", cells("3", "4")],
  ]);
  const page = replaceTable("# Swap\n", mergeRows("", stores, "monday", first));
  const second = new Map([
    ["tests: a", cells("5", "6")],
    ["c", cells("7 | 8", "9")],
  ]);
  assert.equal(
    mergeRows(page, stores, "tuesday", second),
    `${head}\n| tests: a | 5 | 6 | tuesday |\n| b | 1 | 2 | monday |\n| c | 7 \\| 8 | 9 | tuesday |`,
  );
});

test("the table of other stores is not gone on with", () => {
  const page = replaceTable("", mergeRows("", ["x", "z"], "monday", new Map([["b", cells("1", "2")]])));
  assert.equal(mergeRows(page, stores, "tuesday", new Map()), head);
});

test("only what is between the marks is replaced", () => {
  const page = replaceTable("# Swap\n", "one");
  const again = replaceTable(`${page}\nafter\n`, "two");
  assert.equal(again, `${page.replace("one", "two")}\nafter\n`);
  assert.ok(page.startsWith("# Swap\n"));
});
