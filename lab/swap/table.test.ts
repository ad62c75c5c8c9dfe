import assert from "node:assert/strict";
import { test } from "vitest";
import { cellOf, mergeRows, replaceTable } from "./table.ts";

const cells = (...texts: string[]) => texts.map((text) => ({ good: true, text }));
const stores = ["x", "y"];
const head = "|  | x | y | made |\n| --- | --- | --- | --- |";

test("tests that a hook was needed for are refused, and a file that fails before its tests is no success", () => {
  const one = (fullName: string, status: string, ...failureMessages: string[]) => ({
    fullName,
    status,
    failureMessages,
  });
  const file = (status: string, ...assertionResults: ReturnType<typeof one>[]) => {
    return { status, message: "", assertionResults };
  };
  const refused = one("b", "failed", "Error: etcd-1 is another program (etcd): it has no hooks for this");
  const cell = (numPassedTests: number, ...testResults: ReturnType<typeof file>[]) =>
    cellOf({ numPassedTests, testResults }).cell;
  assert.deepEqual(cell(1, file("failed", one("a", "passed"), refused)), { good: true, text: "1 passed, 1 refused" });
  const broken = file("failed", one("c", "skipped"));
  assert.deepEqual(cell(1, file("passed", one("a", "passed")), broken), {
    good: false,
    text: "1 passed, 1 FAILED, 1 skipped",
  });
  assert.deepEqual(cell(0, file("failed", one("a", "failed", "Error: x"))), {
    good: false,
    text: "0 passed, 1 FAILED",
  });
});

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
