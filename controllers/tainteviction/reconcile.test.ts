import { describe, expect, test } from "vitest";
import type { Taint, Toleration } from "../../api/generated/core-v1.ts";
import { pod } from "../testing.ts";
import { reconcile } from "./reconcile.ts";

const unreachable: Taint = { key: "node.kubernetes.io/unreachable", effect: "NoExecute" };
const other: Taint = { key: "other", value: "x", effect: "NoExecute" };
const tolerate = (tolerationSeconds?: number): Toleration => ({
  key: unreachable.key,
  operator: "Exists",
  effect: "NoExecute",
  ...(tolerationSeconds !== undefined && { tolerationSeconds }),
});

const table: { name: string; taints: Taint[]; tolerations: Toleration[]; taintedForMs?: number; expected: string[] }[] =
  [
    { name: "no taint: stays", taints: [], tolerations: [], expected: [] },
    { name: "not tolerated: goes at once", taints: [unreachable], tolerations: [], expected: ["Evict"] },
    { name: "tolerated for ever: stays", taints: [unreachable], tolerations: [tolerate()], expected: [] },
    {
      name: "tolerated for a time: waits for its end",
      taints: [unreachable],
      tolerations: [tolerate(5)],
      taintedForMs: 2000,
      expected: ["3000"],
    },
    {
      name: "tolerated for a time that is over: goes",
      taints: [unreachable],
      tolerations: [tolerate(5)],
      taintedForMs: 5000,
      expected: ["Evict"],
    },
    {
      name: "of two tolerations for one taint the shorter counts",
      taints: [unreachable],
      tolerations: [tolerate(9), tolerate(5), tolerate()],
      expected: ["5000"],
    },
    {
      name: "one of two taints not tolerated: goes at once",
      taints: [unreachable, other],
      tolerations: [tolerate(5)],
      expected: ["Evict"],
    },
    {
      name: "a toleration of another value does not apply",
      taints: [other],
      tolerations: [{ key: "other", operator: "Equal", value: "y" }],
      expected: ["Evict"],
    },
    {
      name: "Exists without a key tolerates all",
      taints: [unreachable, other],
      tolerations: [{ operator: "Exists" }],
      expected: [],
    },
    {
      name: "a toleration of another effect does not apply",
      taints: [other],
      tolerations: [{ key: "other", operator: "Exists", effect: "NoSchedule" }],
      expected: ["Evict"],
    },
  ];

describe("Taint eviction: reconcile", () => {
  test.each(table)("$name", ({ taints, tolerations, taintedForMs = 0, expected }) => {
    const actions = reconcile({ pod: pod("p", { tolerations }), taints, taintedForMs });
    expect(actions.map((action) => (action.type === "Evict" ? "Evict" : String(action.ms)))).toEqual(expected);
  });

  test("a Pod that terminates already, or is done, is left to that", () => {
    for (const options of [{ deleting: true }, { phase: "Succeeded" as const }])
      expect(reconcile({ pod: pod("p", options), taints: [unreachable], taintedForMs: 0 })).toEqual([]);
  });
});
