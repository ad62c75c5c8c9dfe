import { existsSync, readdirSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Pod } from "../../api/generated/core-v1.ts";
import { Deployments, Nodes, Pods, Services } from "../../api/generated/resources.ts";
import type { createGrpcClient } from "../../client/grpc-client.ts";
import { cgroupName } from "../../node-agent/runtime/cgroup.ts";
import { eventually, TestLab, users } from "../testing/lab.ts";
import {
  answeringPod,
  containerPid,
  isReady,
  Load,
  nodePort,
  scaleWeb,
  untilAllAnswer,
  untilWebPods,
  web,
  webPods,
} from "../testing/workload.ts";

/** Cgroups of the lab's nodes, in whatever hierarchies this machine has. */
function cgroupsOf(dir: string): string[] {
  const names = ["node-1", "node-2"].map((node) => cgroupName(realpathSync(join(dir, "nodes", node, "runtime"))));
  const hierarchies = ["/sys/fs/cgroup", ...readdirSync("/sys/fs/cgroup").map((name) => join("/sys/fs/cgroup", name))];
  return hierarchies
    .flatMap((hierarchy) => names.map((name) => join(hierarchy, name)))
    .filter((path) => existsSync(path));
}

/** The whole house: three members, apiserver, controllers, scheduler and two nodes, with the demo on it. */
describe.each(users)("a cluster run by $name", (user) => {
  const lab = new TestLab("cluster", user);
  let client: ReturnType<typeof createGrpcClient>;
  let urls: string[];

  beforeAll(async () => {
    await lab.up("--demo");
    client = await lab.client();
    const { nodes } = await lab.status();
    const port = await nodePort(client);
    urls = nodes.map(({ address }) => `http://${address}:${port}`);
  });

  afterAll(async () => {
    client?.close();
    await lab.remove();
  });

  test("it lives in namespaces of its own, with all nodes Ready and one leader", async () => {
    const { mode, nodes, members } = await lab.status();
    expect(mode).toBe("netns");
    expect(nodes.map(({ name, ready }) => ({ name, ready }))).toEqual([
      { name: "node-1", ready: true },
      { name: "node-2", ready: true },
    ]);
    expect(members.filter(({ role }) => role === "leader")).toHaveLength(1);
  });

  test("the demo's NodePort answers from outside on every node, and every replica is reached", async () => {
    const pods = await untilWebPods(client, 3);
    for (const url of urls) await untilAllAnswer(url, pods);
  });

  test("the replicas are spread over the nodes", async () => {
    const pods = await untilWebPods(client, 3);
    expect(new Set(pods.map(({ spec }) => spec?.nodeName))).toEqual(new Set(["node-1", "node-2"]));
  });

  /** What a script says that runs in a Pod, once it has ended well. */
  async function output(name: string, nodeName: string, script: string): Promise<string> {
    await client.create(Pods, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { namespace: "default", name },
      spec: {
        nodeName,
        restartPolicy: "Never",
        containers: [{ name: "ask", image: "node", command: ["node", "--input-type=module", "-e", script] }],
      },
    } as Pod);
    const ended = await eventually(`${name} to end`, async () => {
      const pod = await client.get(Pods, { namespace: "default", name });
      return ["Succeeded", "Failed"].includes(pod.status?.phase ?? "") && pod;
    });
    const { code, body } = await lab.rest(`/api/v1/namespaces/default/pods/${name}/log`);
    expect({ code, body, phase: ended.status?.phase }).toEqual({ code: 200, body, phase: "Succeeded" });
    await client.delete(Pods, { namespace: "default", name });
    return body as string;
  }

  test("a Pod on each node reaches the Service by its ClusterIP", async () => {
    const { clusterIP } = (await client.get(Services, web)).spec!;
    for (const nodeName of ["node-1", "node-2"]) {
      const script = `const r = await fetch("http://${clusterIP}", { headers: { accept: "application/json" } });
        console.log("answer of", (await r.json()).pod);`;
      expect(await output(`ask-from-${nodeName}`, nodeName, script)).toMatch(/^answer of web-\S+\n$/);
    }
  });

  test("a Pod finds its account's token and the authority, and the apiserver knows it by them", async () => {
    const script = `import { readFileSync } from "node:fs";
      import https from "node:https";
      const file = (name) => readFileSync("/var/run/secrets/kubernetes.io/serviceaccount/" + name, "utf8");
      const url = "https://" + process.env.KUBERNETES_SERVICE_HOST + "/api/v1/namespaces/" + file("namespace") + "/secrets";
      const headers = { authorization: "Bearer " + file("token") };
      https.get(url, { ca: file("ca.crt"), headers }, (r) => r.setEncoding("utf8").on("data", (text) => console.log(JSON.parse(text).message)));`;
    const who =
      'User "system:serviceaccount:default:default" cannot list resource "secrets" in API group "" in the namespace "default"';
    expect(await output("ask-with-token", "node-1", script)).toBe(`secrets is forbidden: ${who}\n`);
  });

  test("it scales from 3 to 5 to 2", async () => {
    await scaleWeb(client, 5);
    await untilAllAnswer(urls[0]!, await untilWebPods(client, 5));
    await scaleWeb(client, 2);
    await untilAllAnswer(urls[1]!, await untilWebPods(client, 2));
    await scaleWeb(client, 3);
    await untilWebPods(client, 3);
  });

  test("a rolling update replaces every Pod and loses no request", async () => {
    const before = new Set((await untilWebPods(client, 3)).map(({ metadata }) => metadata.name));
    const loads = urls.map((url) => new Load(url));
    try {
      const template = { spec: { containers: [{ name: "echo", image: "kubelab/echo:v2" }] } };
      await client.patch(Deployments, web, { type: "strategic", body: { spec: { template } } });
      await eventually("three new Ready Pods alone", async () => {
        const pods = await webPods(client);
        return pods.length === 3 && pods.every((pod) => isReady(pod) && !before.has(pod.metadata.name));
      });
    } finally {
      await Promise.all(loads.map((load) => load.stop()));
    }
    expect(loads.flatMap(({ failures }) => failures)).toEqual([]);
    expect(loads.every(({ answers }) => answers > 0)).toBe(true);
  });

  test("a deleted Pod is replaced", async () => {
    const [victim] = await untilWebPods(client, 3);
    await client.delete(Pods, { namespace: "default", name: victim!.metadata.name });
    const after = await eventually("a replacement", async () => {
      const pods = await webPods(client);
      return (
        pods.length === 3 &&
        pods.every(isReady) &&
        pods.every((pod) => pod.metadata.uid !== victim!.metadata.uid) &&
        pods
      );
    });
    expect(after).toHaveLength(3);
  });

  test("kill -9 of a container restarts it, and the Pod keeps its IP", async () => {
    const [pod] = await untilWebPods(client, 3);
    process.kill(containerPid(pod!)!, "SIGKILL");
    const after = await eventually("the restarted container", async () => {
      const now = await client.get(Pods, { namespace: "default", name: pod!.metadata.name });
      return now.status?.containerStatuses?.[0]?.restartCount === 1 && isReady(now) && now;
    });
    expect(after.status?.podIP).toBe(pod!.status?.podIP);
    expect(after.status?.containerStatuses?.[0]?.lastState?.terminated?.exitCode).toBe(137);
  });

  test("kill -9 of agent and runtime kills no container, and the restarted ones adopt them", async () => {
    const pods = (await untilWebPods(client, 3)).filter(({ spec }) => spec?.nodeName === "node-1");
    const pids = pods.map(containerPid);
    expect(pids.every((pid) => pid !== undefined)).toBe(true);
    const ids = pods.map(({ status }) => status?.containerStatuses?.[0]?.containerID);
    const killed = await Promise.all(["node-1/agent", "node-1/runtime"].map((name) => lab.pidOf(name)));
    for (const pid of killed) process.kill(pid!, "SIGKILL");
    await eventually("new ones", async () => {
      const now = await Promise.all(["node-1/agent", "node-1/runtime"].map((name) => lab.pidOf(name)));
      return now.every((pid, i) => pid !== null && pid !== killed[i]);
    });
    // The new agent has taken over when it notices the death of a container that it did not start.
    process.kill(pids[0]!, "SIGKILL");
    await eventually("the restart of a container that was adopted", async () => {
      const now = await client.get(Pods, { namespace: "default", name: pods[0]!.metadata.name });
      const status = now.status?.containerStatuses?.[0];
      return status?.lastState?.terminated?.containerID === ids[0] && isReady(now);
    });
    expect(pods.slice(1).map(containerPid)).toEqual(pids.slice(1));
  });

  test("a member killed by hand is restarted; one killed by name stays down until start", async () => {
    const pid = await lab.pidOf("etcd-1");
    process.kill(pid!, "SIGKILL");
    await eventually("the restarted member", async () => ![null, pid].includes(await lab.pidOf("etcd-1")));
    await lab.must("kill", "etcd-1");
    expect((await lab.status()).members[0]).toMatchObject({ name: "etcd-1", pid: null, role: "down" });
    await lab.must("start", "etcd-1");
    await eventually("a follower or leader", async () => {
      const { role } = (await lab.status()).members[0]!;
      return role === "follower" || role === "leader";
    });
  });

  test("apiserver, controller-manager and scheduler killed at once come back, and work goes on", async () => {
    const names = ["apiserver-1", "controller-manager", "scheduler"];
    const killed = await Promise.all(names.map((name) => lab.pidOf(name)));
    for (const pid of killed) process.kill(pid!, "SIGKILL");
    expect(await answeringPod(urls[0]!)).toMatch(/^web-/); // what runs needs none of them
    await eventually("an answer of the apiserver", async () => {
      await scaleWeb(client, 4);
      return true;
    });
    await untilAllAnswer(urls[1]!, await untilWebPods(client, 4));
    await scaleWeb(client, 3);
    await untilWebPods(client, 3);
  });

  test("a killed node becomes NotReady, its Pods move, and the Service is reached elsewhere; it comes back", async () => {
    await untilWebPods(client, 3);
    await lab.must("kill", "node-2");
    await eventually("node-2 to be NotReady", async () => {
      const node = await client.get(Nodes, { name: "node-2" });
      return node.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "Unknown");
    });
    await eventually("three Ready Pods on node-1", async () => {
      const there = (await webPods(client)).filter((pod) => isReady(pod) && pod.spec?.nodeName === "node-1");
      return there.length === 3;
    });
    expect(await answeringPod(urls[0]!)).toMatch(/^web-/);
    await lab.must("start", "node-2");
    await eventually("node-2 to be Ready", async () => (await lab.status()).nodes[1]!.ready);
    await eventually("the evicted Pods to be gone", async () => (await webPods(client)).length === 3);
    await eventually("an answer through node-2", () => answeringPod(urls[1]!));
  });

  test("down leaves no process and no cgroup behind, and what was written is there after the next up", async () => {
    client.close();
    await lab.must("down");
    expect(lab.processes()).toEqual([]);
    expect(cgroupsOf(lab.dir)).toEqual([]);
    await lab.up();
    client = await lab.client();
    const pods = await untilWebPods(client, 3);
    await untilAllAnswer(urls[0]!, pods);
  });
});
