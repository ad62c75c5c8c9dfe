import { expect, test } from "vitest";
import { type Evidence, failoversOf } from "./failovers.ts";
import type { ObjectEvent, RunEvent, SeenObject } from "./run.ts";

const none: Evidence = {
  faults: [],
  acks: { store: [], api: [], http: [] },
  events: [],
  objects: [],
  answers: [],
  endMs: 10_000,
};
const raft = (atMs: number, details: Record<string, unknown>): RunEvent => ({
  ...{ atMs, machine: "m", bootId: "b", type: "Raft", subject: "etcd-2", message: "" },
  details,
});

test("a leader's death is cut into last ack, death noticed, election and first ack", () => {
  const evidence = {
    ...none,
    faults: [{ name: "kill etcd-1", targets: ["etcd-1"], atMs: 1000, untilMs: 3000 }],
    acks: { ...none.acks, store: [980, 995, 1002, 1700, 1710, 5000, 5005], api: [1300] },
    events: [
      raft(200, { kind: "LeaderLost" }),
      raft(1500, { kind: "LeaderLost" }),
      raft(1510, { kind: "RoleChanged", to: "candidate" }),
      raft(1520, { kind: "RoleChanged", to: "leader" }),
    ],
    endMs: 3000,
  };
  expect(failoversOf(evidence)).toEqual([
    {
      fault: "kill etcd-1",
      target: "etcd-1",
      atMs: 1000,
      gapMs: 698,
      steps: [
        { name: "last ack", atMs: 1002 },
        { name: "death noticed", atMs: 1500 },
        { name: "election", atMs: 1520 },
        { name: "first ack", atMs: 1700 },
      ],
    },
  ]);
});

test("who noticed while others still acknowledged is no step between the last ack and the first", () => {
  const faults = [{ name: "partition", targets: ["etcd-1"], atMs: 1000, untilMs: 3000 }];
  const events = [raft(1100, { kind: "LeaderLost" }), raft(1520, { kind: "RoleChanged", to: "leader" })];
  const evidence = { ...none, faults, acks: { ...none.acks, store: [990, 1300, 1700] }, events };
  const steps = failoversOf(evidence)[0]!.steps.map(({ name, atMs }) => [name, atMs]);
  expect(steps).toEqual([
    ["last ack", 1300],
    ["election", 1520],
    ["first ack", 1700],
  ]);
});

test("without an election the longest gap counts, also one that does not end", () => {
  const faults = [{ name: "kill etcd-1", targets: ["etcd-1"], atMs: 1000, untilMs: 3000 }];
  const acks = { ...none.acks, store: [980, 1700, 1710, 5000], api: [1300] };
  const events = [raft(200, { kind: "RoleChanged", to: "leader" })];
  expect(failoversOf({ ...none, faults, acks, events, endMs: 3000 })[0]).toMatchObject({
    gapMs: 1290,
    steps: [{ name: "last ack", atMs: 1710 }],
  });
});

test("a gap ends with the next fault, which has its own", () => {
  const faults = [1000, 4000].map((atMs) => ({ name: "kill", targets: ["etcd-1"], atMs, untilMs: atMs + 500 }));
  const found = failoversOf({
    ...none,
    faults,
    acks: { ...none.acks, store: [900, 1400, 3900, 3990, 4600] },
    endMs: 4700,
  });
  expect(found.map(({ gapMs }) => gapMs)).toEqual([2500, 610]);
});

test("a node's death is followed from NotReady to the first answer of a Pod in its place", () => {
  const seen = (atMs: number, object: SeenObject): ObjectEvent => ({
    ...{ atMs, watch: "w", type: "MODIFIED", resourceVersion: atMs },
    object,
  });
  const pod = (uid: string, more: Partial<SeenObject>): SeenObject => ({
    ...{ kind: "Pod", name: `default/${uid}`, uid, owner: "R" },
    ...more,
  });
  const node = (ready: boolean): SeenObject => ({ kind: "Node", name: "node-1", uid: "n", ready });
  const objects = [
    seen(100, pod("a", { node: "node-1", ready: true, phase: "Running" })),
    seen(110, pod("b", { node: "node-2", ready: true, phase: "Running" })),
    seen(5000, node(false)),
    seen(9000, pod("a", { node: "node-1", phase: "Running", terminating: true })),
    seen(9100, pod("c", {})),
    seen(9200, pod("c", { node: "node-2" })),
    seen(9500, pod("c", { node: "node-2", phase: "Running" })),
    seen(9900, pod("c", { node: "node-2", phase: "Running", ready: true })),
  ];
  const answers = [
    { atMs: 9950, by: "b" },
    { atMs: 9960, by: "c" },
  ];
  const faults = [{ name: "kill node-1", targets: ["node-1"], atMs: 1000, untilMs: 9999 }];
  expect(failoversOf({ ...none, faults, objects, answers })[0]!.steps).toEqual([
    { name: "node dead", atMs: 1000 },
    { name: "NotReady", atMs: 5000 },
    { name: "evicted", atMs: 9000 },
    { name: "bound", atMs: 9200 },
    { name: "Running", atMs: 9900 },
    { name: "first answer", atMs: 9960 },
  ]);
});
