import assert from "node:assert/strict";
import { test } from "vitest";
import { inTable, replaceTable } from "./table.ts";

test("rows have a cell for each store, empty where one was not run", () => {
  const rows = new Map([
    [
      "a",
      [
        { good: true, text: "1 passed" },
        { good: false, text: "1 FAILED" },
      ],
    ],
    ["b", [{ good: true, text: "passed" }]],
  ]);
  assert.equal(
    inTable(["x", "y"], rows),
    "|  | x | y |\n| --- | --- | --- |\n| a | 1 passed | 1 FAILED |\n| b | passed |  |",
  );
});

test("only what is between the marks is replaced", () => {
  const page = replaceTable("# Swap\n", "one");
  const again = replaceTable(`${page}\nafter\n`, "two");
  assert.equal(again, `${page.replace("one", "two")}\nafter\n`);
  assert.ok(page.startsWith("# Swap\n"));
});
