import { expect, test } from "vitest";
import { Pods, Services } from "../../api/generated/resources.ts";
import type { KubernetesObject, ResourceType } from "../../apimachinery/object.ts";
import { nowMs, pod, service } from "../testing.ts";
import { reconcile } from "./reconcile.ts";

const ended = pod("ended", { phase: "Succeeded" });
const going = pod("going", { deleting: true }); // its time to end was two hours ago
const of = (kind: ResourceType<KubernetesObject>, ...objects: KubernetesObject[]) =>
  objects.map((object) => ({ kind, object }));

const table: {
  name: string;
  hard: Record<string, string>;
  objects: ReturnType<typeof of>;
  scopes?: string[];
  used: object;
}[] = [
  {
    name: "nothing is there",
    hard: { pods: "1", "requests.cpu": "1" },
    objects: [],
    used: { pods: "0", "requests.cpu": "0" },
  },
  {
    name: "ended Pods take nothing, nor do those past their time",
    hard: { pods: "5" },
    objects: of(Pods, pod("a"), pod("b"), ended, going),
    used: { pods: "2" },
  },
  {
    name: "each kind counts for its names",
    hard: { "count/services": "5", pods: "5" },
    objects: [...of(Services, service()), ...of(Pods, pod("a"))],
    used: { "count/services": "1", pods: "1" },
  },
  {
    name: "scopes choose",
    hard: { pods: "5" },
    scopes: ["NotBestEffort"],
    objects: of(Pods, pod("a")),
    used: { pods: "0" },
  },
];

test.each(table)("$name", ({ hard, objects, scopes, used }) => {
  const quota = { metadata: { name: "q", namespace: "default" }, spec: { hard, ...(scopes && { scopes }) } };
  expect(reconcile({ quota, objects, nowMs })[0]).toEqual({ type: "UpdateStatus", status: { hard, used } });
});

test("what is right already is not written again", () => {
  const status = { hard: { pods: "1" }, used: { pods: "0" } };
  const quota = { metadata: { name: "q", namespace: "default" }, spec: { hard: { pods: "1" } }, status };
  expect(reconcile({ quota, objects: [], nowMs })).toEqual([{ type: "RequeueAfter", ms: 300_000 }]);
});
