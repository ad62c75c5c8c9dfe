import { describe, expect, test } from "vitest";
import type { Node, Pod, Taint } from "../api/generated/core-v1.ts";
import { seededRand } from "../base/rand.ts";
import { nodeInfo } from "./node-info.ts";
import { schedule } from "./schedule.ts";

interface PodOptions extends Partial<Omit<Pod["spec"], "containers">> {
  cpu?: string;
  memory?: string;
  on?: string;
  owner?: string;
  hostPort?: number;
  labels?: Record<string, string>;
}

let count = 0;

function pod({ cpu, memory, on, owner, hostPort, labels, ...spec }: PodOptions = {}): Pod {
  const requests = { ...(cpu && { cpu }), ...(memory && { memory }) };
  const name = `pod-${++count}`;
  return {
    metadata: {
      name,
      namespace: "default",
      uid: name,
      ...(labels && { labels }),
      ...(owner && {
        ownerReferences: [{ apiVersion: "apps/v1", kind: "ReplicaSet", name: owner, uid: owner, controller: true }],
      }),
    },
    spec: {
      ...spec,
      ...(on && { nodeName: on }),
      containers: [
        { name: "c", image: "i", resources: { requests }, ports: hostPort ? [{ containerPort: 80, hostPort }] : [] },
      ],
    },
  };
}

interface NodeOptions {
  cpu?: string;
  memory?: string;
  pods?: string;
  taints?: Taint[];
  labels?: Record<string, string>;
  unschedulable?: boolean;
}

function node(name: string, options: NodeOptions = {}): Node {
  const { cpu = "4", memory = "8Gi", pods = "110", taints, labels, unschedulable } = options;
  return {
    metadata: { name, labels: { "kubernetes.io/hostname": name, ...labels } },
    spec: { ...(taints && { taints }), ...(unschedulable && { unschedulable }) },
    status: { allocatable: { cpu, memory, pods } },
  };
}

function place(incoming: Pod, nodes: Node[], others: Pod[] = []): string {
  const infos = nodes.map((node) =>
    nodeInfo(
      node,
      others.filter(({ spec }) => spec.nodeName === node.metadata.name),
    ),
  );
  const decision = schedule(incoming, infos, seededRand(1));
  return "node" in decision ? decision.node : decision.unschedulable;
}

const noSchedule = (key: string): Taint => ({ key, effect: "NoSchedule" });
const unhelpful = "Preemption is not helpful for scheduling";
const noVictims = "No preemption victims found for incoming pod";

const table: { name: string; pod: Pod; nodes: Node[]; others?: Pod[]; expected: string }[] = [
  {
    name: "without nodes there is nothing to say about them",
    pod: pod(),
    nodes: [],
    expected: "no nodes available to schedule pods",
  },
  {
    name: "a Pod goes where its requests fit",
    pod: pod({ cpu: "3" }),
    nodes: [node("a"), node("b")],
    others: [pod({ cpu: "2", on: "a" })],
    expected: "b",
  },
  {
    name: "requests that fit nowhere are named, node by node",
    pod: pod({ cpu: "3" }),
    nodes: [node("a"), node("b")],
    others: [pod({ cpu: "2", on: "a" }), pod({ cpu: "1001m", on: "b" })],
    expected: `0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 ${noVictims}.`,
  },
  {
    name: "a request greater than any node has is beyond help",
    pod: pod({ cpu: "5", memory: "16Gi" }),
    nodes: [node("a")],
    expected: `0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory. preemption: 0/1 nodes are available: 1 ${unhelpful}.`,
  },
  {
    name: "where less important Pods are in the way, nothing is said of victims",
    pod: pod({ cpu: "3", priority: 10 }),
    nodes: [node("a")],
    others: [pod({ cpu: "2", on: "a" })],
    expected: "0/1 nodes are available: 1 Insufficient cpu.",
  },
  {
    name: "a node takes no more Pods than it says",
    pod: pod(),
    nodes: [node("a", { pods: "1" })],
    others: [pod({ on: "a" })],
    expected: `0/1 nodes are available: 1 Too many pods. preemption: 0/1 nodes are available: 1 ${noVictims}.`,
  },
  {
    name: "nodes that are not ready carry taints that keep Pods away",
    pod: pod(),
    nodes: [node("a", { taints: [noSchedule("node.kubernetes.io/unreachable")] }), node("b")],
    expected: "b",
  },
  {
    name: "a tolerated taint keeps nobody away",
    pod: pod({ tolerations: [{ key: "dedicated", operator: "Equal", value: "db", effect: "NoSchedule" }] }),
    nodes: [node("a", { taints: [{ key: "dedicated", value: "db", effect: "NoSchedule" }] })],
    expected: "a",
  },
  {
    name: "each node counts with the first thing that speaks against it",
    pod: pod({ nodeSelector: { disk: "ssd" } }),
    nodes: [
      node("a", { unschedulable: true, taints: [noSchedule("x")] }),
      node("b", { taints: [{ key: "k", value: "v", effect: "NoExecute" }] }),
      node("c"),
    ],
    expected: `0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) had untolerated taint {k: v}, 1 node(s) were unschedulable. preemption: 0/3 nodes are available: 3 ${unhelpful}.`,
  },
  {
    name: "nodeSelector picks by label",
    pod: pod({ nodeSelector: { disk: "ssd" } }),
    nodes: [node("a"), node("b", { labels: { disk: "ssd" } })],
    expected: "b",
  },
  {
    name: "required node affinity picks by expression; one term suffices",
    pod: pod({
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [
              { matchExpressions: [{ key: "disk", operator: "In", values: ["tape"] }] },
              { matchFields: [{ key: "metadata.name", operator: "In", values: ["b"] }] },
            ],
          },
        },
      },
    }),
    nodes: [node("a"), node("b")],
    expected: "b",
  },
  {
    name: "preferred node affinity outweighs a fuller node",
    pod: pod({
      affinity: {
        nodeAffinity: {
          preferredDuringSchedulingIgnoredDuringExecution: [
            { weight: 1, preference: { matchExpressions: [{ key: "disk", operator: "Exists" }] } },
          ],
        },
      },
    }),
    nodes: [node("a"), node("b", { labels: { disk: "ssd" } })],
    others: [pod({ cpu: "1", on: "b" })],
    expected: "b",
  },
  {
    name: "a host port is given once a node",
    pod: pod({ hostPort: 80 }),
    nodes: [node("a"), node("b")],
    others: [pod({ hostPort: 80, on: "a" })],
    expected: "b",
  },
  {
    name: "replicas of one ReplicaSet go to different nodes, even to a fuller one",
    pod: pod({ owner: "web" }),
    nodes: [node("a"), node("b")],
    others: [pod({ owner: "web", on: "a" }), pod({ cpu: "2", on: "b" })],
    expected: "b",
  },
  {
    name: "Pods that ask for nothing still spread",
    pod: pod(),
    nodes: [node("a"), node("b")],
    others: [pod({ on: "a" })],
    expected: "b",
  },
  {
    name: "a node with PreferNoSchedule is the last resort, but one",
    pod: pod(),
    nodes: [node("a", { taints: [{ key: "k", effect: "PreferNoSchedule" }] }), node("b")],
    others: [pod({ cpu: "3", on: "b" })],
    expected: "b",
  },
];

describe("schedule", () => {
  test.each(table)("$name", ({ pod, nodes, others = [], expected }) => {
    expect(place(pod, nodes, others)).toBe(expected);
  });

  test("an init container counts where it needs more than the containers together", () => {
    const needy = pod({ cpu: "1", initContainers: [{ name: "i", image: "i", resources: { requests: { cpu: "5" } } }] });
    expect(place(needy, [node("a")])).toContain("1 Insufficient cpu");
  });
});
