import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Pod } from "../api/generated/core-v1.ts";
import {
  ConfigMaps,
  Deployments,
  EndpointSlices,
  Endpoints,
  Events,
  Leases,
  Namespaces,
  Nodes,
  Pods,
  ReplicaSets,
  ServiceAccounts,
  Services,
} from "../api/generated/resources.ts";
import { isNotFound } from "../apimachinery/status.ts";
import { formatTime } from "../apimachinery/time.ts";
import { startTestApiserver, type TestApiserver } from "../apiserver/testing.ts";
import { parseCidr } from "../base/cidr.ts";
import { systemClock } from "../base/clock.ts";
import { silentLogger } from "../base/logger.ts";
import { systemRand } from "../base/rand.ts";
import { createGrpcClient } from "../client/grpc-client.ts";
import { Informer } from "../client/informer.ts";
import { Scheduler } from "../scheduler/scheduler.ts";
import { ControllerContext } from "./context.ts";
import { startControllers } from "./controllers.ts";

/** Controllers and scheduler over a real apiserver with a real store; the node agents are played by the test. */
let server: TestApiserver;
let client: ReturnType<typeof createGrpcClient>;
const stopping = new AbortController();
const open: { close(): void }[] = [];

/** Nodes whose agent gives no more signs of life. */
const silent = new Set<string>();

beforeAll(async () => {
  server = await startTestApiserver({ tolerationSeconds: 1 });
  const connect = (tls: TestApiserver["certs"]["admin"]) => {
    const made = createGrpcClient({ servers: [server.grpcAddress], tls });
    open.push(made);
    return made;
  };
  client = connect(server.certs.admin);
  const parts = { clock: systemClock, rand: systemRand, log: silentLogger };
  const context = new ControllerContext({ client: connect(server.certs.controllerManager), ...parts });
  const options = {
    clusterCidr: parseCidr("10.244.0.0/16"),
    nodeCidrMaskSize: 24,
    reserved: [parseCidr("10.244.0.0/24")],
    nodeMonitorPeriodMs: 1000,
    nodeMonitorGracePeriodMs: 5000,
    nodeStartupGracePeriodMs: 10_000,
    rootCa: "PEM",
  };
  void startControllers(context, options, stopping.signal);
  void new Scheduler({ client: connect(server.certs.scheduler), ...parts }).run(stopping.signal);
  for (const name of ["node-1", "node-2"]) await startAgent(name);
}, 60_000);

afterAll(async () => {
  stopping.abort();
  for (const { close } of open) close();
  await server?.close();
});

async function startAgent(name: string): Promise<void> {
  const capacity = { cpu: "4", memory: "8Gi", pods: "110" };
  const conditions = [{ type: "Ready", status: "True" as const, reason: "KubeletReady" }];
  await client.create(Nodes, { metadata: { name }, spec: {} });
  const status = { capacity, allocatable: capacity, conditions };
  await client.patch(Nodes, { name }, { type: "strategic", body: { status } }, { subresource: "status" });
  const namespace = "kube-node-lease";
  const renewTime = () => new Date().toISOString().replace("Z", "000Z");
  await client.create(Leases, {
    metadata: { namespace, name },
    spec: { holderIdentity: name, renewTime: renewTime() },
  });
  const stop = systemClock.every(300, () => {
    if (silent.has(name) || stopping.signal.aborted) return;
    const body = { spec: { renewTime: renewTime() } };
    client.patch(Leases, { namespace, name }, { type: "merge", body }).catch(() => {});
  });
  stopping.signal.addEventListener("abort", stop);
  const pods = new Informer(client, Pods, {
    fieldSelector: `spec.nodeName=${name}`,
    clock: systemClock,
    log: silentLogger,
  });
  let ip = 2;
  const act = (pod: Pod) => {
    if (silent.has(name)) return;
    const done = () => {};
    if (pod.metadata.deletionTimestamp !== undefined) {
      const preconditions = { uid: pod.metadata.uid! };
      client.delete(Pods, pod.metadata, { gracePeriodSeconds: 0, preconditions }).catch(done);
    } else if (pod.status?.phase !== "Running") {
      const ready = { type: "Ready", status: "True" as const, lastTransitionTime: formatTime(Date.now()) };
      const podIP = `10.244.${name.slice(-1)}.${ip++}`;
      const body = { status: { phase: "Running", podIP, podIPs: [{ ip: podIP }], conditions: [ready] } };
      client.patch(Pods, pod.metadata, { type: "strategic", body }, { subresource: "status" }).catch(done);
    }
  };
  pods.on({ onAdd: act, onUpdate: (_, pod) => act(pod) });
  void pods.run(stopping.signal);
}

/** Looks again until it holds; the deadline is the test's. */
async function until<T>(look: () => Promise<T>, holds: (value: T) => boolean): Promise<T> {
  for (;;) {
    const value = await look();
    if (holds(value)) return value;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const template = (app: string, image = "kubelab/echo") => ({
  metadata: { labels: { app } },
  spec: { containers: [{ name: "c", image, ports: [{ name: "http", containerPort: 8080 }] }] },
});

function deploy(namespace: string, name: string, replicas: number) {
  return client.create(Deployments, {
    metadata: { namespace, name },
    spec: { replicas, selector: { matchLabels: { app: name } }, template: template(name) },
  });
}

const available = (namespace: string, name: string, replicas: number) =>
  until(
    () => client.get(Deployments, { namespace, name }),
    ({ status, metadata }) =>
      status?.observedGeneration === metadata.generation &&
      (status?.availableReplicas ?? 0) === replicas &&
      (status?.updatedReplicas ?? 0) === replicas &&
      (status?.replicas ?? 0) === replicas,
  );

const podsOf = async (namespace: string, app: string) =>
  (await client.list(Pods, { namespace, labelSelector: `app=${app}` })).items;

describe("Controllers and scheduler over a real apiserver", () => {
  test("nodes get ranges of their own, none of the reserved", async () => {
    const nodes = await until(
      async () => (await client.list(Nodes)).items,
      (nodes) => nodes.length === 2 && nodes.every(({ spec }) => spec?.podCIDR),
    );
    expect(nodes.map(({ spec }) => spec?.podCIDR).sort()).toEqual(["10.244.1.0/24", "10.244.2.0/24"]);
  });

  test("a Deployment comes up on both nodes", async () => {
    await deploy("default", "web", 4);
    await available("default", "web", 4);
    const nodes = (await podsOf("default", "web")).map(({ spec }) => spec.nodeName);
    expect(nodes.sort()).toEqual(["node-1", "node-1", "node-2", "node-2"]);
  });

  test("its Service has endpoints by the name of the port", async () => {
    await client.create(Services, {
      metadata: { namespace: "default", name: "web" },
      spec: { selector: { app: "web" }, ports: [{ port: 80, targetPort: "http" }] },
    });
    const slices = await until(
      async () =>
        (await client.list(EndpointSlices, { namespace: "default", labelSelector: "kubernetes.io/service-name=web" }))
          .items,
      ([slice]) => slice?.endpoints.length === 4,
    );
    expect(slices[0]!.ports).toMatchObject([{ port: 8080, protocol: "TCP" }]);
    const { subsets } = await until(
      () => client.get(Endpoints, { namespace: "default", name: "web" }),
      ({ subsets }) => subsets !== undefined,
    );
    expect(subsets![0]!.addresses!.length).toBe(4);
  });

  test("a new template rolls out, keeping three of four available all the time", async () => {
    let least = 4;
    const stop = new AbortController();
    const watch = new Informer(client, ReplicaSets, { namespace: "default", clock: systemClock, log: silentLogger });
    const sum = () => {
      const counts = watch.store.list().map(({ status }) => status?.availableReplicas ?? 0);
      least = Math.min(
        least,
        counts.reduce((a, b) => a + b, 0),
      );
    };
    void watch.run(stop.signal);
    await watch.synced;
    watch.on({ onUpdate: sum });
    const body = { spec: { template: template("web", "kubelab/other") } };
    await client.patch(Deployments, { namespace: "default", name: "web" }, { type: "merge", body });
    await available("default", "web", 4);
    stop.abort();
    const images = (await podsOf("default", "web")).map(({ spec }) => spec.containers[0]!.image);
    expect(images).toEqual(Array.from({ length: 4 }, () => "kubelab/other"));
    expect(least).toBeGreaterThanOrEqual(3);
  });

  test("the Pods of a node that falls silent move to the other one, and come back into no Service", async () => {
    silent.add("node-2");
    const moved = await until(
      () => podsOf("default", "web"),
      (pods) =>
        pods.filter(({ spec, metadata }) => spec.nodeName === "node-1" && !metadata.deletionTimestamp).length === 4,
    );
    const lost = moved.filter(({ spec }) => spec.nodeName === "node-2");
    expect(lost.every(({ metadata }) => metadata.deletionTimestamp !== undefined)).toBe(true);
    const { spec, status } = await client.get(Nodes, { name: "node-2" });
    expect(status?.conditions?.find(({ type }) => type === "Ready")).toMatchObject({
      status: "Unknown",
      reason: "NodeStatusUnknown",
      message: "Kubelet stopped posting node status.",
    });
    expect(spec?.taints?.map(({ key, effect }) => `${key}:${effect}`).sort()).toEqual([
      "node.kubernetes.io/unreachable:NoExecute",
      "node.kubernetes.io/unreachable:NoSchedule",
    ]);
    await until(
      () => client.get(Endpoints, { namespace: "default", name: "web" }),
      ({ subsets }) => subsets?.[0]?.addresses?.every(({ nodeName }) => nodeName === "node-1") ?? false,
    );
  });

  test("when it speaks again, its taints go and its old Pods too", async () => {
    silent.delete("node-2");
    const conditions = [{ type: "Ready", status: "True", reason: "KubeletReady" }];
    const patch = { type: "strategic" as const, body: { status: { conditions } } };
    await client.patch(Nodes, { name: "node-2" }, patch, { subresource: "status" });
    await until(
      () => client.get(Nodes, { name: "node-2" }),
      ({ spec }) => (spec?.taints ?? []).length === 0,
    );
    for (const { metadata, spec } of await podsOf("default", "web"))
      if (spec.nodeName === "node-2" && metadata.deletionTimestamp)
        await client.delete(Pods, metadata, { gracePeriodSeconds: 0 });
    await available("default", "web", 4);
  });

  test("an unschedulable Pod tells why in upstream's words", async () => {
    await client.create(Pods, {
      metadata: { namespace: "default", name: "huge" },
      spec: { containers: [{ name: "c", image: "i", resources: { requests: { cpu: "100" } } }] },
    });
    const { status } = await until(
      () => client.get(Pods, { namespace: "default", name: "huge" }),
      ({ status }) => status?.conditions?.some(({ reason }) => reason === "Unschedulable") ?? false,
    );
    expect(status!.conditions!.find(({ type }) => type === "PodScheduled")?.message).toBe(
      "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.",
    );
    await until(
      async () => (await client.list(Events, { namespace: "default" })).items,
      (events) =>
        events.some(({ reason, involvedObject }) => reason === "FailedScheduling" && involvedObject.name === "huge"),
    );
  });

  test("a namespace has its account and the authority, and goes with all that is in it", async () => {
    await client.create(Namespaces, { metadata: { name: "team" }, spec: {} });
    await until(
      async () =>
        (await client.list(ServiceAccounts, { namespace: "team" })).items.map(({ metadata }) => metadata.name),
      (names) => names.includes("default"),
    );
    await until(
      async () => (await client.list(ConfigMaps, { namespace: "team" })).items.map(({ metadata }) => metadata.name),
      (names) => names.includes("kube-root-ca.crt"),
    );
    await deploy("team", "web", 2);
    await available("team", "web", 2);
    await client.delete(Namespaces, { name: "team" });
    await until(
      () => client.get(Namespaces, { name: "team" }).then(() => false, isNotFound),
      (gone) => gone,
    );
    expect(await podsOf("team", "web")).toEqual([]);
    expect((await client.list(ReplicaSets, { namespace: "team" })).items).toEqual([]);
  });

  test.each(["Foreground", "Background"] as const)("a Deployment deleted in the %s leaves nothing", async (policy) => {
    await deploy("default", "short", 2);
    await available("default", "short", 2);
    await client.delete(Deployments, { namespace: "default", name: "short" }, { propagationPolicy: policy });
    await until(
      () => podsOf("default", "short"),
      (pods) => pods.length === 0,
    );
    await until(
      async () => (await client.list(ReplicaSets, { namespace: "default", labelSelector: "app=short" })).items,
      (replicaSets) => replicaSets.length === 0,
    );
    await until(
      () => client.get(Deployments, { namespace: "default", name: "short" }).then(() => false, isNotFound),
      (gone) => gone,
    );
  });
});
