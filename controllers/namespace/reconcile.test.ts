import { describe, expect, test } from "vitest";
import type { Namespace } from "../../api/generated/core-v1.ts";
import { nowMs } from "../testing.ts";
import { type Remaining, reconcile, type State } from "./reconcile.ts";

const going: Namespace = {
  metadata: { name: "team", deletionTimestamp: "2026-01-01T11:59:00Z" },
  spec: { finalizers: ["kubernetes", "example.com/mine"] },
};
const left = (pods: number, finalizers: [string, number][] = []): Remaining => ({
  resources: new Map(pods > 0 ? [["pods.", pods]] : []),
  finalizers: new Map(finalizers),
  errors: [],
  undiscovered: [],
});

function decide(namespace: Namespace, more: Partial<State> = {}) {
  return reconcile({ namespace, remaining: undefined, isFresh: false, nowMs, ...more });
}

describe("Namespace: reconcile", () => {
  test("one that stays is left alone", () => {
    expect(decide({ metadata: { name: "team" }, spec: { finalizers: ["kubernetes"] } })).toEqual([]);
  });

  test("first its contents go", () => {
    expect(decide(going)).toEqual([{ type: "DeleteContents" }]);
  });

  test("when nothing remains our finalizer goes, others stay", () => {
    expect(decide(going, { remaining: left(0), isFresh: true })).toEqual([
      { type: "Finalize", finalizers: ["example.com/mine"] },
    ]);
  });

  test("what remains is told, and waited for", () => {
    const actions = decide(going, { remaining: left(2, [["example.com/hold", 1]]), isFresh: true });
    expect(actions).toMatchObject([{ type: "UpdateConditions" }, { type: "RequeueAfter", ms: 1000 }]);
    const [update] = actions;
    const conditions = update?.type === "UpdateConditions" ? update.conditions : [];
    expect(
      conditions.filter(({ status }) => status === "True").map(({ reason, message }) => `${reason}: ${message}`),
    ).toEqual([
      "SomeResourcesRemain: Some resources are remaining: pods. has 2 resource instances",
      "SomeFinalizersRemain: Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances",
    ]);
  });

  test("after an event it is tried again at once", () => {
    const actions = decide(going, { remaining: left(1) });
    expect(actions.map(({ type }) => type)).toEqual(["UpdateConditions", "DeleteContents"]);
  });
});
