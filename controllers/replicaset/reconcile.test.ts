import { describe, expect, test } from "vitest";
import type { ReplicaSet } from "../../api/generated/apps-v1.ts";
import type { Pod } from "../../api/generated/core-v1.ts";
import { nowMs, pod, replicaSet } from "../testing.ts";
import { reconcile, type State } from "./reconcile.ts";

const three = replicaSet("web", 3);
const settled = (replicas: number): ReplicaSet => ({
  ...replicaSet("web", 3),
  status: {
    replicas,
    fullyLabeledReplicas: replicas,
    readyReplicas: replicas,
    availableReplicas: replicas,
    observedGeneration: 1,
  },
});
const mine = (name: string, options = {}) => pod(name, { owner: three, ...options });
const pods = (count: number): Pod[] => Array.from({ length: count }, (_, i) => mine(`p${i}`));

function decide(replicaSet: ReplicaSet, pods: Pod[], more: Partial<State> = {}): string[] {
  const state: State = { replicaSet, pods, relatedPods: pods, failure: undefined, nowMs, ...more };
  return reconcile(state).map((action) => {
    switch (action.type) {
      case "CreatePods":
        return `create ${action.count}`;
      case "DeletePods":
        return `delete ${action.pods.map(({ metadata }) => metadata.name).join(" ")}`;
      case "AdoptPod":
      case "ReleasePod":
        return `${action.type} ${action.pod.metadata.name}`;
      case "UpdateStatus": {
        const { replicas, readyReplicas = 0, availableReplicas = 0, conditions = [] } = action.status;
        const failed = conditions.map(({ reason, message }) => ` ${reason}: ${message}`);
        return `status ${replicas}/${readyReplicas}/${availableReplicas}${failed}`;
      }
      case "RequeueAfter":
        return `look again in ${action.ms} ms`;
      default:
        return "";
    }
  });
}

const table: { name: string; replicaSet: ReplicaSet; pods: Pod[]; more?: Partial<State>; expected: string[] }[] = [
  { name: "as many as asked for: nothing to do", replicaSet: settled(3), pods: pods(3), expected: [] },
  { name: "missing Pods are created", replicaSet: settled(1), pods: pods(1), expected: ["create 2"] },
  {
    name: "a Pod that terminates no longer counts",
    replicaSet: settled(3),
    pods: [...pods(2), mine("x", { deleting: true })],
    expected: ["create 1", "status 2/2/2"],
  },
  {
    name: "a Pod that has failed no longer counts",
    replicaSet: settled(3),
    pods: [...pods(2), mine("x", { phase: "Failed" })],
    expected: ["create 1", "status 2/2/2"],
  },
  {
    name: "a Pod of the right labels without a controller is adopted instead of creating another",
    replicaSet: settled(3),
    pods: [...pods(2), pod("stray")],
    expected: ["AdoptPod stray"],
  },
  {
    name: "a Pod whose labels have changed is released, and replaced",
    replicaSet: settled(3),
    pods: [...pods(2), mine("x", { labels: { app: "debug" } })],
    expected: ["ReleasePod x", "create 1", "status 2/2/2"],
  },
  {
    name: "a Pod of another controller is none of our business",
    replicaSet: settled(3),
    pods: [...pods(3), pod("theirs", { owner: replicaSet("other", 1) })],
    expected: [],
  },
  {
    name: "one that is being deleted only tells how it stands",
    replicaSet: { ...settled(3), metadata: { ...three.metadata, deletionTimestamp: "2026-01-01T11:00:00Z" } },
    pods: [...pods(1), pod("stray")],
    expected: ["status 1/1/1"],
  },
  {
    name: "with minReadySeconds a Pod is available when it has been ready that long",
    replicaSet: { ...three, spec: { ...three.spec, minReadySeconds: 10 } },
    pods: [...pods(2), mine("fresh", { readySince: "2026-01-01T11:59:53Z" })],
    expected: ["status 3/3/2", "look again in 3000 ms"],
  },
  {
    name: "after a failure to create, the status says why before the next try",
    replicaSet: settled(1),
    pods: pods(1),
    more: { failure: { reason: "FailedCreate", message: "exceeded quota" } },
    expected: ["status 1/1/1 FailedCreate: exceeded quota", "create 2"],
  },
];

describe("ReplicaSet: reconcile", () => {
  test.each(table)("$name", ({ replicaSet, pods, more, expected }) => {
    expect(decide(replicaSet, pods, more)).toEqual(expected);
  });
});

/** In each row the Pod named `first` differs from `second` in one thing, and goes first. */
const deletions: { name: string; first: Pod; second: Pod; others?: Pod[] }[] = [
  { name: "not assigned before assigned", first: mine("z"), second: mine("a", { node: "n" }) },
  {
    name: "pending before running",
    first: mine("z", { node: "n", phase: "Pending" }),
    second: mine("a", { node: "n" }),
  },
  {
    name: "not ready before ready",
    first: mine("z", { node: "n", ready: false }),
    second: mine("a", { node: "n" }),
  },
  {
    name: "cheap before dear",
    first: mine("z", { node: "n", annotations: { "controller.kubernetes.io/pod-deletion-cost": "-1" } }),
    second: mine("a", { node: "n" }),
  },
  {
    name: "on the node with more of the workload before alone on one",
    first: mine("z", { node: "crowded" }),
    second: mine("a", { node: "n" }),
    others: [mine("o", { node: "crowded" })],
  },
  {
    name: "ready for a minute before ready for hours",
    first: mine("z", { node: "n", readySince: "2026-01-01T11:59:00Z" }),
    second: mine("a", { node: "n" }),
  },
  {
    name: "restarted often before never",
    first: mine("z", { node: "n", restarts: 5 }),
    second: mine("a", { node: "n" }),
  },
  {
    name: "created a minute ago before created hours ago",
    first: mine("z", { node: "n", createdAt: "2026-01-01T11:59:00Z" }),
    second: mine("a", { node: "n" }),
  },
  {
    name: "of the same order of age: by uid, as good as at random",
    first: mine("a", { node: "n", createdAt: "2026-01-01T10:00:01Z" }),
    second: mine("z", { node: "n", createdAt: "2026-01-01T10:00:05Z" }),
  },
];

describe("ReplicaSet: which Pod goes first", () => {
  test.each(deletions)("$name", ({ first, second, others = [] }) => {
    const pods = [second, first];
    const [action] = reconcile({
      replicaSet: replicaSet("web", 1),
      pods,
      relatedPods: [...pods, ...others],
      failure: undefined,
      nowMs,
    });
    expect(action).toMatchObject({ type: "DeletePods", pods: [{ metadata: { name: first.metadata.name } }] });
  });
});
