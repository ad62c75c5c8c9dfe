import { describe, expect, test } from "vitest";
import type { Node, NodeCondition, Taint } from "../../api/generated/core-v1.ts";
import { node, nowMs, pod } from "../testing.ts";
import { reconcile, type State } from "./reconcile.ts";

function decide(node: Node, more: Partial<State> = {}): string[] {
  const state = { node, pods: [], silentMs: 0, graceMs: 4000, noNodeIsReady: false, nowMs, ...more };
  return reconcile(state).map((action) => {
    switch (action.type) {
      case "UpdateConditions":
        return action.conditions.map(({ type, status, reason }) => `${type}=${status} ${reason}`).join(", ");
      case "SetTaints":
        return `taints: ${action.taints.map(({ key, effect }) => `${key.replace("node.kubernetes.io/", "")}:${effect}`).join(" ")}`;
      case "MarkPodNotReady":
        return `not ready: ${action.pod.metadata.name}`;
      default:
        return `look again in ${action.ms} ms`;
    }
  });
}

const taint = (key: string, effect: Taint["effect"] = "NoSchedule"): Taint => ({
  key: `node.kubernetes.io/${key}`,
  effect,
  timeAdded: "2026-01-01T11:00:00Z",
});
const unreachable = [taint("unreachable"), taint("unreachable", "NoExecute")];
const with_ = (conditions: NodeCondition[], base = node("n")): Node => ({ ...base, status: { conditions } });
const never = ["MemoryPressure", "DiskPressure", "PIDPressure"].map((type) => `${type}=Unknown NodeStatusNeverUpdated`);

const table: { name: string; node: Node; more?: Partial<State>; expected: string[] }[] = [
  {
    name: "a healthy node is looked at again when its grace ends",
    node: node("n"),
    more: { silentMs: 1000 },
    expected: ["look again in 3000 ms"],
  },
  {
    name: "silent for the grace period: Unknown, tainted, and its ready Pods are no longer",
    node: node("n"),
    more: { silentMs: 4000, pods: [pod("a"), pod("b", { ready: false })] },
    expected: [
      ["Ready=Unknown NodeStatusUnknown", ...never].join(", "),
      "taints: unreachable:NoSchedule unreachable:NoExecute",
      "not ready: a",
    ],
  },
  {
    name: "a node that never reported anything",
    node: with_([]),
    more: { silentMs: 4000 },
    expected: [
      ["Ready=Unknown NodeStatusNeverUpdated", ...never].join(", "),
      "taints: unreachable:NoSchedule unreachable:NoExecute",
    ],
  },
  {
    name: "not ready by its own word: other taints, and its Pods are its own affair",
    node: node("n", { ready: "False" }),
    more: { pods: [pod("a")] },
    expected: ["taints: not-ready:NoSchedule not-ready:NoExecute", "look again in 4000 ms"],
  },
  {
    name: "from unreachable to not ready the taints change over",
    node: node("n", { ready: "False", taints: unreachable }),
    expected: ["taints: not-ready:NoSchedule not-ready:NoExecute", "look again in 4000 ms"],
  },
  {
    name: "ready again: our taints go, those of others stay",
    node: node("n", { taints: [{ key: "dedicated", value: "db", effect: "NoExecute" }, ...unreachable] }),
    expected: ["taints: dedicated:NoExecute", "look again in 4000 ms"],
  },
  {
    name: "no node is ready at all: nobody is driven off, as there is nowhere to go and the fault may be ours",
    node: node("n", { ready: "False", taints: [taint("not-ready"), taint("not-ready", "NoExecute")] }),
    more: { noNodeIsReady: true },
    expected: ["taints: not-ready:NoSchedule", "look again in 4000 ms"],
  },
  {
    name: "short of memory and cordoned: new Pods stay away",
    node: {
      ...with_([
        { type: "Ready", status: "True" },
        { type: "MemoryPressure", status: "True" },
      ]),
      spec: { unschedulable: true },
    },
    expected: ["taints: memory-pressure:NoSchedule unschedulable:NoSchedule", "look again in 4000 ms"],
  },
  {
    name: "a node that is being deleted is left alone",
    node: { ...node("n"), metadata: { name: "n", deletionTimestamp: "2026-01-01T11:00:00Z" } },
    more: { silentMs: 9000 },
    expected: [],
  },
];

describe("Node lifecycle: reconcile", () => {
  test.each(table)("$name", ({ node, more, expected }) => {
    expect(decide(node, more)).toEqual(expected);
  });

  test("taints that are still right keep the time they were added", () => {
    const before = node("n", { ready: "Unknown", taints: [taint("unreachable")] });
    const [action] = reconcile({ node: before, pods: [], silentMs: 0, graceMs: 1, noNodeIsReady: false, nowMs });
    expect(action).toMatchObject({
      taints: [{ timeAdded: "2026-01-01T11:00:00Z" }, { effect: "NoExecute", timeAdded: "2026-01-01T12:00:00Z" }],
    });
  });
});
