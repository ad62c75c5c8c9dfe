import { describe, expect, test } from "vitest";
import type { Call, ObjectEvent, SeenObject } from "../experiments/run.ts";
import { checkKubernetes } from "./kubernetes.ts";

/** A Deployment of two that is rolled over with a surge of one, rightly; then what is planted into that. */
const deployment = { kind: "Deployment", name: "d/web", uid: "D", replicas: 2, surge: 1, unavailable: 0 };
const old = { kind: "ReplicaSet", name: "d/web-1", uid: "R1", owner: "D" };
const next = { kind: "ReplicaSet", name: "d/web-2", uid: "R2", owner: "D" };
const pod = (uid: string, owner: string, more: Partial<SeenObject> = {}): SeenObject => ({
  kind: "Pod",
  name: `d/${uid}`,
  uid,
  owner,
  ...more,
});
const on1 = { node: "node-1", ready: true };

type Told = [type: ObjectEvent["type"], object?: SeenObject];
const rollout: Told[] = [
  ["listed", deployment],
  ["listed", old],
  ["listed", pod("a", "R1", on1)],
  ["listed", pod("b", "R1", on1)],
  ["open"],
  ["ADDED", next],
  ["ADDED", pod("c", "R2")],
  ["MODIFIED", pod("c", "R2", { node: "node-1" })],
  ["MODIFIED", pod("c", "R2", on1)],
  ["MODIFIED", pod("a", "R1", { ...on1, terminating: true })],
  ["ADDED", pod("d", "R2")],
  ["DELETED", pod("a", "R1", { ...on1, terminating: true })],
  ["MODIFIED", pod("d", "R2", on1)],
  ["MODIFIED", pod("b", "R1", { ...on1, terminating: true })],
  ["DELETED", pod("b", "R1", { ...on1, terminating: true })],
];
const history = (told: Told[]): ObjectEvent[] =>
  told.map(([type, object], i) => ({
    atMs: i * 3000,
    watch: "all",
    type,
    resourceVersion: 10 + i,
    ...(object && { object }),
  }));
const call = (kind: string, outcome: Call["outcome"], more: Partial<Call> = {}): Call => ({
  ...{ kind, client: "c", intended: 0, called: 0, returned: 1, outcome, object: "d/x", uid: "u", resourceVersion: 5 },
  ...more,
});

test("a rollout that keeps all promises is not condemned", () => {
  expect(checkKubernetes({ objects: history(rollout), calls: [] })).toEqual([]);
});

describe("what is planted is named", () => {
  const edits: [name: string, edit: (told: Told[]) => void, expected: RegExp][] = [
    [
      "a Pod too many",
      (told) => told.splice(7, 0, ["ADDED", pod("e", "R2")]),
      /^surge: d\/web has 4 Pods, 3 are allowed/,
    ],
    [
      "a ready Pod too many",
      (told) => told.splice(5, 0, ["MODIFIED", pod("e", "R1", on1)], ["MODIFIED", pod("f", "R1", on1)]),
      /^surge: d\/web has 4 Pods ready, 3 are allowed/,
    ],
    [
      "a ready Pod taken before another is ready",
      (told) => told.splice(8, 1),
      /^availability: d\/web has 1 Pods available, 2 must be/,
    ],
    [
      "a Pod that is bound again",
      (told) => told.splice(9, 0, ["MODIFIED", pod("c", "R2", { ...on1, node: "node-2" })]),
      /^two nodes: Pod d\/c was bound to node-1 and is on node-2/,
    ],
    [
      "a name that two Pods have",
      (told) => told.splice(9, 0, ["ADDED", { ...pod("x", "R9"), name: "d/a" }]),
      /^two Pods: d\/a is a while x is not gone/,
    ],
  ];
  for (const [name, edit, expected] of edits)
    test(name, () => {
      const told = [...rollout];
      edit(told);
      const violations = checkKubernetes({ objects: history(told), calls: [] });
      expect(violations.join("\n")).toMatch(expected);
    });

  test("a Pod that died by itself makes nobody guilty, for a while", () => {
    const told = [...rollout];
    told.splice(9, 0, ["MODIFIED", pod("b", "R1", { node: "node-1", ready: false })]);
    const objects = history(told).map((event) => ({ ...event, atMs: event.atMs / 10 }));
    expect(checkKubernetes({ objects, calls: [] })).toEqual([]);
  });

  test("a watch that goes back", () => {
    const objects = history(rollout);
    objects[7]!.resourceVersion = objects[6]!.resourceVersion;
    expect(checkKubernetes({ objects, calls: [] })).toEqual(["watch order: all tells MODIFIED d/c at 16 after 16"]);
  });

  const finals: [
    name: string,
    calls: Call[],
    there: { uid: string; resourceVersion: number } | undefined,
    expected: string[],
  ][] = [
    [
      "an object that is there as acknowledged",
      [call("create configmaps", "ok")],
      { uid: "u", resourceVersion: 5 },
      [],
    ],
    [
      "an object that may have been deleted",
      [call("create configmaps", "ok"), call("delete configmaps", "unknown")],
      undefined,
      [],
    ],
    [
      "an object whose creation is unknown",
      [call("create configmaps", "unknown")],
      { uid: "u", resourceVersion: 5 },
      [],
    ],
    [
      "an acknowledged object that is gone",
      [call("create configmaps", "ok")],
      undefined,
      ["lost object: d/x was acknowledged at 5 and is not there"],
    ],
    [
      "an acknowledged update that is gone",
      [call("create configmaps", "ok"), call("update configmaps", "ok", { resourceVersion: 8 })],
      { uid: "u", resourceVersion: 5 },
      ["lost object: d/x was acknowledged at 8 and is at 5"],
    ],
    [
      "another object of the name",
      [call("create configmaps", "ok")],
      { uid: "v", resourceVersion: 9 },
      ["lost object: d/x was acknowledged as u and is v"],
    ],
    [
      "a deletion that did not happen",
      [call("create configmaps", "ok"), call("delete configmaps", "ok")],
      { uid: "u", resourceVersion: 5 },
      ["undead object: the deletion of d/x was acknowledged, and it is there"],
    ],
    [
      "a creation that was refused",
      [call("create configmaps", "failed")],
      { uid: "u", resourceVersion: 5 },
      ["phantom object: the creation of d/x was refused, and it is there"],
    ],
  ];
  for (const [name, calls, there, expected] of finals)
    test(name, () => {
      const final = new Map(there ? [["d/x", there]] : []);
      expect(checkKubernetes({ objects: [], calls, final })).toEqual(expected);
    });
});
