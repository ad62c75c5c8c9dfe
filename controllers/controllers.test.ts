import { afterEach, describe, expect, test } from "vitest";
import type { Pod } from "../api/generated/core-v1.ts";
import {
  APIServices,
  CustomResourceDefinitions,
  Deployments,
  EndpointSlices,
  Endpoints,
  Namespaces,
  Nodes,
  Pods,
  ReplicaSets,
  Services,
} from "../api/generated/resources.ts";
import { formatTime } from "../apimachinery/time.ts";
import { parseCidr } from "../base/cidr.ts";
import { silentLogger } from "../base/logger.ts";
import { seededRand } from "../base/rand.ts";
import { MemoryApi } from "../client/testing/memory-api.ts";
import { VirtualClock } from "../client/testing/virtual-clock.ts";
import { ControllerContext } from "./context.ts";
import { startControllers } from "./controllers.ts";
import { deployment, node, service } from "./testing.ts";

/** All controllers together over the API in memory, on a virtual clock, with an agent that makes bound Pods ready. */
class Cluster {
  readonly clock = new VirtualClock();
  readonly api = new MemoryApi(this.clock);
  readonly #controller = new AbortController();
  nextIp = 1;

  async start(): Promise<void> {
    const context = new ControllerContext({
      client: this.api,
      clock: this.clock,
      rand: seededRand(1),
      log: silentLogger,
    });
    const options = {
      clusterCidr: parseCidr("10.244.0.0/16"),
      nodeCidrMaskSize: 24,
      reserved: [],
      nodeMonitorPeriodMs: 5000,
      nodeMonitorGracePeriodMs: 3_600_000,
      nodeStartupGracePeriodMs: 3_600_000,
      rootCa: "PEM",
    };
    const running = startControllers(context, options, this.#controller.signal);
    running.catch((error) => {
      throw error;
    });
    await this.clock.advance(10);
  }

  stop(): void {
    this.#controller.abort();
  }

  /** What scheduler and node agents would do, until nothing changes any more. */
  async settle(): Promise<void> {
    for (let round = 0, before = -1; before !== this.api.revision && round < 200; round++) {
      before = this.api.revision;
      for (const pod of await this.pods()) await this.#agent(pod);
      await this.clock.advance(20);
    }
  }

  async #agent(pod: Pod): Promise<void> {
    const { api } = this;
    if (pod.metadata.deletionTimestamp !== undefined) {
      await api.delete(Pods, pod.metadata, { gracePeriodSeconds: 0 });
    } else if (!pod.spec.nodeName) {
      await api.createSubresource(Pods, pod.metadata, "binding", { target: { name: "node-1" } });
    } else if (pod.status?.phase !== "Running") {
      const ready = { type: "Ready", status: "True" as const, lastTransitionTime: formatTime(this.clock.now()) };
      const status: Pod["status"] = { phase: "Running", podIP: `10.244.1.${this.nextIp++}`, conditions: [ready] };
      await api.update(Pods, { ...(await api.get(Pods, pod.metadata)), status }, { subresource: "status" });
    }
  }

  async pods(): Promise<Pod[]> {
    return (await this.api.list(Pods)).items;
  }
}

let cluster: Cluster;
afterEach(() => cluster.stop());

async function startCluster(): Promise<Cluster> {
  cluster = new Cluster();
  await cluster.api.create(Nodes, { ...node("node-1"), metadata: { name: "node-1" } });
  await cluster.start();
  return cluster;
}

const named = { namespace: "default", name: "web" };

async function startDeployment(): Promise<Cluster> {
  const cluster = await startCluster();
  const { metadata, ...rest } = deployment(3);
  await cluster.api.create(Deployments, { ...rest, metadata: named });
  await cluster.settle();
  return cluster;
}

describe("All controllers", () => {
  test("a Deployment becomes a ReplicaSet, its Pods, and a status that says so", async () => {
    const { api } = await startDeployment();
    const { items } = await api.list(ReplicaSets);
    expect(items.map(({ spec, status }) => [spec.replicas, status?.availableReplicas])).toEqual([[3, 3]]);
    expect((await cluster.pods()).length).toBe(3);
    const { status, metadata } = await api.get(Deployments, named);
    expect(status).toMatchObject({ replicas: 3, updatedReplicas: 3, availableReplicas: 3, observedGeneration: 1 });
    expect(status?.conditions?.map(({ type, status, reason }) => `${type}=${status} ${reason}`).sort()).toEqual([
      "Available=True MinimumReplicasAvailable",
      "Progressing=True NewReplicaSetAvailable",
    ]);
    expect(metadata.annotations).toEqual({ "deployment.kubernetes.io/revision": "1" });
  });

  test("exactly as many Pods are created as asked for, though the caches lag behind the writes", async () => {
    const { api } = await startDeployment();
    expect(api.writes.filter((write) => write === "create pods").length).toBe(3);
    expect(api.writes.filter((write) => write === "create replicasets").length).toBe(1);
  });

  test("a deleted Pod is replaced", async () => {
    const { api } = await startDeployment();
    const [first] = await cluster.pods();
    await api.delete(Pods, first!.metadata);
    await cluster.settle();
    const names = (await cluster.pods()).map(({ metadata }) => metadata.name);
    expect(names.length).toBe(3);
    expect(names).not.toContain(first!.metadata.name);
  });

  test("scaling down takes Pods away, scaling up brings new ones", async () => {
    const { api } = await startDeployment();
    for (const replicas of [5, 2, 0, 1]) {
      await api.patch(Deployments, named, { type: "merge", body: { spec: { replicas } } });
      await cluster.settle();
      expect((await cluster.pods()).length).toBe(replicas);
    }
  });

  test("a new template rolls out, and the old one can be had back", async () => {
    const { api } = await startDeployment();
    const template = (image: string) => ({
      metadata: { labels: { app: "web" } },
      spec: { containers: [{ name: "c", image }] },
    });
    await api.patch(Deployments, named, { type: "merge", body: { spec: { template: template("new") } } });
    await cluster.settle();
    expect((await cluster.pods()).map((pod) => pod.spec.containers[0]!.image)).toEqual(["new", "new", "new"]);
    await api.patch(Deployments, named, { type: "merge", body: { spec: { template: template("kubelab/echo") } } });
    await cluster.settle();
    expect((await cluster.pods()).map((pod) => pod.spec.containers[0]!.image)).toEqual(
      Array.from({ length: 3 }, () => "kubelab/echo"),
    );
    const annotations = (await api.list(ReplicaSets)).items.map(({ metadata }) => metadata.annotations);
    expect(annotations.map((a) => a?.["deployment.kubernetes.io/revision"]).sort()).toEqual(["2", "3"]);
    expect(annotations.map((a) => a?.["deployment.kubernetes.io/revision-history"])).toContain("1");
    expect((await api.get(Deployments, named)).metadata.annotations).toEqual({
      "deployment.kubernetes.io/revision": "3",
    });
  });

  test("a Service lists the ready Pods in a slice and in Endpoints", async () => {
    const { api } = await startDeployment();
    await api.create(Services, { ...service(), metadata: named });
    await cluster.settle();
    const [slice] = (await api.list(EndpointSlices)).items;
    expect(slice?.endpoints.map(({ conditions }) => conditions?.ready)).toEqual([true, true, true]);
    expect(slice?.ports).toEqual([{ name: "", port: 8080, protocol: "TCP" }]);
    expect((await api.get(Endpoints, named)).subsets?.[0]?.addresses?.length).toBe(3);
    await api.delete(Services, named);
    await cluster.settle();
    expect((await api.list(EndpointSlices)).items).toEqual([]);
    expect((await api.list(Endpoints)).items).toEqual([]);
  });

  test("deleting a Deployment deletes all that it owns", async () => {
    const { api } = await startDeployment();
    await api.delete(Deployments, named, { propagationPolicy: "Background" });
    await cluster.settle();
    expect([(await api.list(ReplicaSets)).items, await cluster.pods()]).toEqual([[], []]);
  });

  test("deleting a Deployment in the foreground deletes it last", async () => {
    const { api } = await startDeployment();
    await api.delete(Deployments, named, { propagationPolicy: "Foreground" });
    await cluster.settle();
    const all = [(await api.list(Deployments)).items, (await api.list(ReplicaSets)).items, await cluster.pods()];
    expect(all).toEqual([[], [], []]);
    const gone = api.deletions.filter((path) => /^(apps\/deployments|apps\/replicasets|\/pods)/.test(path));
    expect(gone.map((path) => path.split("/")[1])).toEqual(["pods", "pods", "pods", "replicasets", "deployments"]);
  });

  test("deleting a Deployment with orphans leaves its ReplicaSet alone, without an owner", async () => {
    const { api } = await startDeployment();
    await api.delete(Deployments, named, { propagationPolicy: "Orphan" });
    await cluster.settle();
    expect((await api.list(Deployments)).items).toEqual([]);
    const { items } = await api.list(ReplicaSets);
    expect(items.map(({ metadata }) => metadata.ownerReferences)).toEqual([undefined]);
    expect((await cluster.pods()).length).toBe(3);
  });

  test("a namespace is emptied, then goes", async () => {
    const { api } = await startDeployment();
    await api.create(Namespaces, { metadata: { name: "default" }, spec: { finalizers: ["kubernetes"] } });
    await cluster.settle();
    await api.delete(Namespaces, { name: "default" });
    await cluster.settle();
    expect((await api.list(Namespaces)).items).toEqual([]);
    expect(await cluster.pods()).toEqual([]);
  });

  test("what a custom resource owns goes with it", async () => {
    const { api } = await startCluster();
    const names = { plural: "foos", kind: "Foo" };
    await api.create(CustomResourceDefinitions, {
      metadata: { name: "foos.example.com" },
      spec: {
        group: "example.com",
        scope: "Namespaced",
        names,
        versions: [{ name: "v1", served: true, storage: true }],
      },
      status: { acceptedNames: names },
    });
    const foos = { group: "example.com", version: "v1", resource: "foos", kind: "Foo", namespaced: true };
    const owner = await api.create(foos, { metadata: { name: "foo", namespace: "default" } });
    const { uid } = owner.metadata as { uid?: string };
    const ownerReferences = [{ apiVersion: "example.com/v1", kind: "Foo", name: "foo", uid: uid! }];
    const spec = { replicas: 0, selector: { matchLabels: { a: "b" } }, template: { metadata: { labels: { a: "b" } } } };
    const owned = { metadata: { name: "owned", namespace: "default", ownerReferences }, spec };
    await api.create(ReplicaSets, owned as never);
    await cluster.settle();
    expect((await api.list(ReplicaSets)).items.length).toBe(1);
    await api.delete(foos, { namespace: "default", name: "foo" });
    await cluster.settle();
    expect((await api.list(ReplicaSets)).items).toEqual([]);
  });

  test("a namespace goes with the custom resources in it", async () => {
    const { api } = await startCluster();
    const names = { plural: "foos", kind: "Foo" };
    const versions = [{ name: "v2", served: true, storage: true }];
    await api.create(CustomResourceDefinitions, {
      metadata: { name: "foos.example.com" },
      spec: { group: "example.com", scope: "Namespaced", names, versions },
      status: { acceptedNames: names },
    });
    const foos = { group: "example.com", version: "v2", resource: "foos", kind: "Foo", namespaced: true };
    await api.create(Namespaces, { metadata: { name: "default" }, spec: { finalizers: ["kubernetes"] } });
    await api.create(foos, { metadata: { name: "foo", namespace: "default" } });
    await api.delete(Namespaces, { name: "default" });
    await cluster.settle();
    expect((await api.list(foos)).items).toEqual([]);
    expect((await api.list(Namespaces)).items).toEqual([]);
  });

  test("a namespace goes with what another server serves in it, and stays while that cannot be asked", async () => {
    const { api } = await startCluster();
    const flunders = {
      group: "wardle.example.com",
      version: "v1alpha1",
      resource: "flunders",
      kind: "Flunder",
      namespaced: true,
    };
    const service = { namespace: "wardle", name: "api" };
    await api.create(APIServices, {
      metadata: { name: "v1alpha1.wardle.example.com" },
      spec: { group: flunders.group, version: flunders.version, groupPriorityMinimum: 1, versionPriority: 1, service },
      status: {},
    });
    await api.create(Namespaces, { metadata: { name: "default" }, spec: { finalizers: ["kubernetes"] } });
    await api.create(flunders, { metadata: { name: "one", namespace: "default" } });
    api.lists.set("wardle.example.com/v1alpha1", undefined);
    await api.delete(Namespaces, { name: "default" });
    await cluster.settle();
    const { status } = await api.get(Namespaces, { name: "default" });
    const failure = status!.conditions!.find(({ type }) => type === "NamespaceDeletionDiscoveryFailure")!;
    expect([failure.status, failure.reason]).toEqual(["True", "DiscoveryFailed"]);
    expect(failure.message).toBe(
      "Discovery failed for some groups, 1 failing: unable to retrieve the complete list of server APIs: wardle.example.com/v1alpha1: stale GroupVersion discovery: wardle.example.com/v1alpha1",
    );
    api.lists.set("wardle.example.com/v1alpha1", [{ name: "flunders", namespaced: true }] as never); // it says nonsense
    await cluster.clock.advance(1000);
    await cluster.settle();
    const verbs = ["delete", "list"];
    api.lists.set("wardle.example.com/v1alpha1", [
      { name: "flunders", kind: "Flunder", namespaced: true, verbs },
      { name: "flunders/status", kind: "Flunder", namespaced: true, verbs: ["get"] },
    ]);
    await cluster.clock.advance(1000);
    await cluster.settle();
    expect((await api.list(flunders)).items).toEqual([]);
    expect((await api.list(Namespaces)).items).toEqual([]);
  });

  test("every node gets a Pod range of its own", async () => {
    const { api } = await startCluster();
    for (const name of ["node-2", "node-3"]) await api.create(Nodes, { ...node(name), metadata: { name } });
    await cluster.settle();
    const { items } = await api.list(Nodes);
    expect(items.map(({ spec }) => spec.podCIDR).sort()).toEqual(["10.244.0.0/24", "10.244.1.0/24", "10.244.2.0/24"]);
  });
});
