import { expect, test } from "vitest";
import { isOutside } from "./addresses.ts";
import { certsSpec } from "./certs.ts";
import type { LabFile } from "./lab-file.ts";
import { labPaths } from "./paths.ts";
import { processesOf } from "./processes.ts";

const lab: LabFile = { formatVersion: 1, name: "a", mode: "netns", slot: 7, members: 3, nodes: 2, preset: "lan" };
const programs = { dist: "/dist", imagesFile: "/images.yaml" };
const specs = (change: Partial<LabFile> = {}) => processesOf({ ...lab, ...change }, labPaths("/lab"), programs);
const argsOf = (name: string, change: Partial<LabFile> = {}) => specs(change).find((spec) => spec.name === name)!.args;

test("a lab has members, one apiserver, controller-manager, scheduler, and three processes a node", () => {
  expect(specs().map(({ name, place }) => `${name} in ${place}`)).toEqual([
    "etcd-1 in etcd-1",
    "etcd-2 in etcd-2",
    "etcd-3 in etcd-3",
    "apiserver-1 in apiserver-1",
    "controller-manager in controller-manager",
    "scheduler in scheduler",
    "node-1/runtime in node-1",
    "node-1/agent in node-1",
    "node-1/proxy in node-1",
    "node-2/runtime in node-2",
    "node-2/agent in node-2",
    "node-2/proxy in node-2",
  ]);
});

test("several apiservers: each has its place and advertises its address, a balancer leads to all, components know all", () => {
  const three = { apiservers: 3 };
  const places = specs(three).filter(({ name }) => /^(apiserver|balancer)/.test(name));
  expect(places.map(({ name, place }) => [name, place])).toEqual(
    ["apiserver-1", "apiserver-2", "apiserver-3", "balancer"].map((name) => [name, name]),
  );
  expect(argsOf("apiserver-2", three)).toContain("--advertise-address=192.168.77.222");
  const all = "192.168.77.221:6443|192.168.77.222:6443|192.168.77.223:6443";
  expect(argsOf("balancer", three)).toContain(`--route=127.107.0.230:6443=${all}`);
  const apis = (...order: number[]) => `--apiserver=${order.map((i) => `192.168.77.22${i}:6444`).join(",")}`;
  expect(argsOf("scheduler", three)).toContain(apis(1, 2, 3));
  expect(argsOf("node-2/agent", three)).toContain(apis(2, 3, 1));
  expect(certsSpec({ ...lab, ...three }).apiserver.ipAddresses).toEqual(
    expect.arrayContaining(["192.168.77.223", "127.107.0.223", "127.107.0.230"]),
  );
  const elsewhere = specs({ apiservers: 2, members: 0, store: { endpoints: ["10.0.0.1:2379"] } });
  expect(
    elsewhere.filter(({ program }) => program === "relay").map(({ name, place }) => `${name} in ${place}`),
  ).toEqual([
    "apiserver-1/store-relay in apiserver-1",
    "apiserver-2/store-relay in apiserver-2",
    "balancer in balancer",
  ]);
});

test("in mode host one proxy serves all nodes, at every node's address", () => {
  expect(specs({ mode: "host" }).filter(({ program }) => program === "proxy")).toHaveLength(1);
  expect(argsOf("proxy", { mode: "host" })).toContain("--nodeport-addresses=127.107.0.1,127.107.0.2");
});

test.each([
  [
    "members talk inside and are reached outside",
    "etcd-2",
    {},
    [
      "--listen-client-urls=https://192.168.77.202:2379",
      "--advertise-client-urls=https://127.107.0.202:2379",
      "--listen-outside=127.107.0.202:2379",
      "--initial-cluster=etcd-1=https://192.168.77.201:2380,etcd-2=https://192.168.77.202:2380,etcd-3=https://192.168.77.203:2380",
    ],
  ],
  ["preset lan is fast", "etcd-1", {}, ["--heartbeat-interval=50", "--election-timeout=500"]],
  [
    "preset etcd-defaults is etcd's",
    "etcd-1",
    { preset: "etcd-defaults" },
    ["--heartbeat-interval=100", "--election-timeout=1000"],
  ],
  [
    "snapshots as often as asked for, with a log behind each that is short, too",
    "etcd-1",
    { snapshotCount: 100 },
    ["--snapshot-count=100", "--snapshot-catchup-entries=20"],
  ],
  ["preset wan is patient with nodes", "controller-manager", { preset: "wan" }, ["--node-monitor-grace-period=40s"]],
  [
    "in mode host nothing is handed in from outside",
    "apiserver-1",
    { mode: "host" },
    ["--bind-address=127.107.0.221", "--allow-loopback-endpoints=true"],
  ],
  [
    "in mode host Pods live beside the node addresses",
    "controller-manager",
    { mode: "host" },
    ["--cluster-cidr=127.107.0.0/16", "--reserved-cidrs=127.107.0.0/24"],
  ],
] as [string, string, Partial<LabFile>, string[]][])("%s", (_, name, change, flags) => {
  expect(argsOf(name, change)).toEqual(expect.arrayContaining(flags));
});

test("a process gets listeners on its own lab's addresses only", () => {
  expect(isOutside(7, "127.107.0.201")).toBe(true);
  expect(["127.106.0.1", "127.107.1.1", "0.0.0.0", "127.0.0.1", "::1"].filter((host) => isOutside(7, host))).toEqual(
    [],
  );
});

test("a certificate names every address that its server is reached by", () => {
  const spec = certsSpec(lab);
  expect(spec.apiserver.ipAddresses).toEqual(["10.96.0.1", "192.168.77.221", "127.107.0.221"]);
  expect(spec.members[2]).toEqual({ name: "etcd-3", ipAddresses: ["127.0.0.1", "192.168.77.203", "127.107.0.203"] });
  expect(spec.nodes[1]).toEqual({ name: "node-2", ipAddresses: ["192.168.77.2", "127.107.0.2"] });
});
