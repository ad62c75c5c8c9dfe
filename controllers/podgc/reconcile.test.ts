import { expect, test } from "vitest";
import type { Pod } from "../../api/generated/core-v1.ts";
import { pod } from "../testing.ts";
import { reconcile } from "./reconcile.ts";

const table: { name: string; pod: Pod; nodeGoneForMs?: number; expected: object[] }[] = [
  { name: "a Pod on a node is its agent's affair", pod: pod("p", { node: "n", deleting: true }), expected: [] },
  { name: "a Pod that waits for a node is left alone", pod: pod("p", { phase: "Pending" }), expected: [] },
  {
    name: "deleted before it had a node: nobody else would finish it",
    pod: pod("p", { phase: "Pending", deleting: true }),
    expected: [{ type: "ForceDelete", reason: "NeverScheduled" }],
  },
  {
    name: "its node has just gone: it may come back",
    pod: pod("p", { node: "n" }),
    nodeGoneForMs: 10_000,
    expected: [{ type: "RequeueAfter", ms: 30_000 }],
  },
  {
    name: "its node has been gone for long",
    pod: pod("p", { node: "n" }),
    nodeGoneForMs: 40_000,
    expected: [{ type: "ForceDelete", reason: "NodeGone" }],
  },
];

test.each(table)("$name", ({ pod, nodeGoneForMs, expected }) => {
  expect(reconcile({ pod, nodeGoneForMs })).toEqual(expected);
});
