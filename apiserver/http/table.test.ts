import assert from "node:assert/strict";
import { test } from "vitest";
import { row } from "../../api/testing.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { listTable } from "./table.ts";

const rowsOf = (kind: string, objects: object[]) => {
  const items = objects.map((object) => ({ parse: () => structuredClone(object) as KubernetesObject }));
  const list = { items, resourceVersion: "1" } as unknown as Parameters<typeof listTable>[1];
  return (
    JSON.parse(listTable(row(kind), list, "None", 0).toString()) as {
      rows: { cells: unknown[]; conditions?: object[] }[];
    }
  ).rows;
};

test("FlowSchemas stand in the order in which they are tried", () => {
  const schema = (name: string, matchingPrecedence: number) => ({ metadata: { name }, spec: { matchingPrecedence } });
  const rows = rowsOf("FlowSchema", [schema("b", 9000), schema("c", 1), schema("d", 100), schema("a", 9000)]);
  assert.deepEqual(
    rows.map(({ cells }) => [cells[0], cells[2]]),
    [
      ["c", 1],
      ["d", 100],
      ["a", 9000],
      ["b", 9000],
    ],
  );
});

test("rows of Pods say when they are done, and how", () => {
  const pod = (phase: string) => ({ metadata: { name: "p" }, spec: { containers: [] }, status: { phase } });
  const rows = rowsOf("Pod", ["Running", "Succeeded", "Failed"].map(pod));
  const done = (reason: string, message: string) => [{ type: "Completed", status: "True", reason, message }];
  assert.deepEqual(
    rows.map(({ conditions }) => conditions),
    [undefined, done("Succeeded", "The pod has completed successfully."), done("Failed", "The pod failed.")],
  );
});
