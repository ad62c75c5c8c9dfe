import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { resources } from "../../api/resources.ts";
import type { KubernetesObject, ObjectMeta } from "../../apimachinery/object.ts";
import { nextOfDelete } from "./delete.ts";
import { gone } from "./modify.ts";

const row = (name: string) => resources().find(({ resource }) => resource === name)!;
const now = Date.UTC(2026, 0, 1);
const bound = { nodeName: "n", terminationGracePeriodSeconds: 30 };
const pod = (metadata: Partial<ObjectMeta> = {}, spec: object = bound) =>
  ({
    kind: "Pod",
    apiVersion: "v1",
    metadata: { name: "p", uid: "u", generation: 1, ...metadata },
    spec,
    status: { phase: "Running" },
  }) as KubernetesObject;

/** `<grace> <deletionTimestamp> <finalizers>`, or `gone`. */
function outcome(object: KubernetesObject, options: object): string {
  const next = nextOfDelete(row(object.kind === "Pod" ? "pods" : "configmaps"), object, options, now);
  if (next === gone) return "gone";
  const { deletionGracePeriodSeconds, deletionTimestamp, finalizers = [] } = next.metadata;
  return `${deletionGracePeriodSeconds} ${deletionTimestamp?.slice(11, 19)} ${finalizers}`.trim();
}

describe("a delete", () => {
  const running = { deletionTimestamp: "2026-01-01T00:00:30Z", deletionGracePeriodSeconds: 30 };
  test.each<[string, KubernetesObject, object, string]>([
    ["of a running Pod gives it its own grace period", pod(), {}, "30 00:00:30"],
    ["takes the grace period that is asked for", pod(), { gracePeriodSeconds: 7 }, "7 00:00:07"],
    ["of a Pod that no node has is at once", pod({}, { terminationGracePeriodSeconds: 30 }), {}, "gone"],
    ["with grace 0 is at once", pod(), { gracePeriodSeconds: 0 }, "gone"],
    ["again changes nothing", pod(running), {}, "30 00:00:30"],
    ["again can shorten", pod(running), { gracePeriodSeconds: 5 }, "5 00:00:05"],
    ["again cannot lengthen", pod(running), { gracePeriodSeconds: 60 }, "30 00:00:30"],
    [
      "waits for finalizers even with grace 0",
      pod({ ...running, finalizers: ["f"] }),
      { gracePeriodSeconds: 0 },
      "0 00:00:00 f",
    ],
    [
      "in the foreground leaves a finalizer",
      pod(),
      { propagationPolicy: "Foreground", gracePeriodSeconds: 0 },
      "0 00:00:00 foregroundDeletion",
    ],
    [
      "in the background takes one back",
      pod({ finalizers: ["orphan"] }),
      { propagationPolicy: "Background", gracePeriodSeconds: 0 },
      "gone",
    ],
    ["that orphans leaves another", pod(), { orphanDependents: true, gracePeriodSeconds: 0 }, "0 00:00:00 orphan"],
    [
      "of what has no grace period is at once",
      { kind: "ConfigMap", metadata: { name: "c" } },
      { gracePeriodSeconds: 9 },
      "gone",
    ],
  ])("%s", (_name, object, options, expected) => {
    assert.equal(outcome(object, options), expected);
  });

  test("counts as a change of generation, once", () => {
    const first = nextOfDelete(row("pods"), pod(), {}, now) as KubernetesObject;
    assert.equal(first.metadata.generation, 2);
    const second = nextOfDelete(row("pods"), first, { gracePeriodSeconds: 1 }, now) as KubernetesObject;
    assert.equal(second.metadata.generation, 2);
  });

  test.each([{ uid: "other" }, { resourceVersion: "1" }])(
    "under a precondition that does not hold (%o) is a conflict",
    (preconditions) => {
      assert.throws(
        () => outcome(pod(), { preconditions }),
        (error: { code?: number }) => error.code === 409,
      );
    },
  );
});
