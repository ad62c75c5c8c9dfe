import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "vitest";
import type { ContainerStatus, Event, Pod, PodSpec } from "../api/generated/core-v1.ts";
import { ConfigMaps, Events, Leases, Nodes, Pods, Services } from "../api/generated/resources.ts";
import { silentLogger } from "../base/logger.ts";
import { VirtualClock } from "../client/testing/virtual-clock.ts";
import { ContainerState } from "../proto/generated/runtime.v1.ts";
import { Agent } from "./agent.ts";
import { CriRuntime } from "./cri-runtime.ts";
import { readMachine } from "./machine.ts";
import { MemoryNodeApi } from "./testing/memory-node-api.ts";
import { ScriptedRuntime } from "./testing/scripted-runtime.ts";

/** The agent over a real CRI socket, with the API in memory and time in the test's hand. */
class Lab {
  readonly clock = new VirtualClock();
  readonly api = new MemoryNodeApi(this.clock);
  readonly runtime = new ScriptedRuntime(this.clock);
  readonly rootDir = mkdtempSync(join(tmpdir(), "kubelab-agent-"));
  readonly routes: unknown[] = [];
  #stop: (() => Promise<void>)[] = [];

  async start(): Promise<void> {
    await this.runtime.start();
    this.startAgent();
    await this.until("the node is registered", () => this.node());
    const body = { spec: { podCIDR: "10.244.1.0/24", podCIDRs: ["10.244.1.0/24"] } };
    await this.api.patch(Nodes, { name: "node-1" }, { type: "merge", body });
    await this.until("the node is Ready", async () => (await this.nodeReady())?.status === "True");
  }

  startAgent(): void {
    const cri = new CriRuntime(this.runtime.endpoint);
    const controller = new AbortController();
    const agent = new Agent({
      client: this.api,
      runtime: cri,
      clock: this.clock,
      log: silentLogger,
      nodeName: "node-1",
      nodeIP: "192.168.77.1",
      mode: "netns",
      port: 10250,
      rootDir: this.rootDir,
      machine: readMachine(this.rootDir),
      leaseDurationMs: 4000,
      heartbeatMs: 10_000,
      runtimeGraceMs: 3000,
      applyRoutes: async (wanted) => {
        this.routes.push(wanted);
        return [];
      },
    });
    const done = agent.run(controller.signal);
    this.#stop.push(async () => {
      controller.abort();
      await this.settle(done);
      cri.close();
    });
  }

  /** As after SIGKILL: nothing is said to anybody. */
  async stopAgent(): Promise<void> {
    for (const stop of this.#stop.splice(0)) await stop();
  }

  async close(): Promise<void> {
    await this.stopAgent();
    await this.runtime.close();
    rmSync(this.rootDir, { recursive: true, force: true });
  }

  /** Lets time pass until `look` gives something true: milliseconds at a time, with real I/O between. */
  async until<T>(what: string, look: () => Promise<T> | T): Promise<NonNullable<T>> {
    for (let i = 0; i < 3000; i++) {
      const found = await look();
      if (found) return found;
      await this.clock.advance(5);
      await new Promise((resolve) => setTimeout(resolve, 1)); // sockets move in real time
    }
    return assert.fail(`never seen: ${what}`);
  }

  async settle(promise: Promise<unknown>): Promise<void> {
    let done = false;
    void promise.then(() => {
      done = true;
    });
    await this.until("it has ended", () => done);
  }

  node() {
    return this.api.get(Nodes, { name: "node-1" }).catch(() => undefined);
  }

  async nodeReady() {
    return (await this.node())?.status?.conditions?.find(({ type }) => type === "Ready");
  }

  createPod(name: string, spec: Partial<PodSpec> = {}): Promise<Pod> {
    return this.api.create(Pods, {
      metadata: { name, namespace: "default" },
      spec: {
        nodeName: "node-1",
        restartPolicy: "Always",
        terminationGracePeriodSeconds: 30,
        containers: [{ name: "main", image: "kubelab/echo:v1", imagePullPolicy: "IfNotPresent" }],
        ...spec,
      },
    });
  }

  pod(name: string): Promise<Pod | undefined> {
    return this.api.get(Pods, { namespace: "default", name }).catch(() => undefined);
  }

  async containerStatus(pod: string, name = "main"): Promise<ContainerStatus | undefined> {
    const { status } = (await this.pod(pod)) ?? {};
    const all = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
    return all.find((each) => each.name === name);
  }

  running(pod: string): Promise<Pod> {
    return this.until(`${pod} is Running and Ready`, async () => {
      const found = await this.pod(pod);
      const ready = found?.status?.conditions?.find(({ type }) => type === "Ready");
      return found?.status?.phase === "Running" && ready?.status === "True" ? found : undefined;
    });
  }

  async events(reason: string): Promise<Event[]> {
    return (await this.api.list(Events)).items.filter((event) => event.reason === reason);
  }

  gone(pod: string): Promise<unknown> {
    return this.until(`${pod} is gone`, async () => (await this.pod(pod)) === undefined);
  }
}

let lab: Lab;
beforeEach(async () => {
  lab = new Lab();
  await lab.start();
});
afterEach(() => lab.close());

describe("the node", () => {
  test("registers, is not Ready before its network is, and says why; then keeps its Lease", async () => {
    const node = (await lab.node())!;
    assert.equal(node.metadata.labels?.["kubernetes.io/hostname"], "node-1");
    assert.equal(node.metadata.annotations?.["kubelab.dev/mode"], "netns");
    assert.equal(node.status?.addresses?.[0]?.address, "192.168.77.1");
    assert.equal(node.status?.daemonEndpoints?.kubeletEndpoint?.Port, 10250);
    assert.equal(node.status?.nodeInfo?.containerRuntimeVersion, "scripted://1");
    assert.equal(lab.runtime.podCidr, "10.244.1.0/24");
    const types = node.status?.conditions?.map(({ type, status }) => `${type}=${status}`);
    assert.ok(types?.includes("Ready=True"));
    const lease = await lab.until("a lease", () =>
      lab.api.get(Leases, { namespace: "kube-node-lease", name: "node-1" }).catch(() => undefined),
    );
    assert.equal(lease.spec?.leaseDurationSeconds, 4);
    await lab.until("it is renewed", async () => {
      const now = await lab.api.get(Leases, { namespace: "kube-node-lease", name: "node-1" });
      return now.spec?.renewTime !== lease.spec?.renewTime;
    });
  });

  test("is not Ready while the runtime is down, and is again when it is back", async () => {
    await lab.runtime.stop();
    await lab.clock.advance(2000);
    assert.equal((await lab.nodeReady())?.status, "True"); // a restart takes a moment
    await lab.until("not Ready", async () => (await lab.nodeReady())?.status === "False");
    assert.equal((await lab.nodeReady())?.message, "container runtime is down");
    await lab.runtime.start();
    await lab.until("Ready", async () => (await lab.nodeReady())?.status === "True");
  });

  test("routes to the ranges of the other nodes", async () => {
    await lab.api.create(Nodes, {
      metadata: { name: "node-2" },
      spec: { podCIDR: "10.244.2.0/24", podCIDRs: ["10.244.2.0/24"] },
      status: { addresses: [{ type: "InternalIP", address: "192.168.77.2" }] },
    });
    const wanted = [{ range: "10.244.1.0/24" }, { range: "10.244.2.0/24", via: "192.168.77.2" }];
    await lab.until("the routes", () => JSON.stringify(lab.routes.at(-1)) === JSON.stringify(wanted));
  });
});

describe("a Pod", () => {
  test("runs: sandbox, container, status and events", async () => {
    await lab.createPod("web");
    const { status } = await lab.running("web");
    assert.equal(status?.podIP, "10.244.1.2");
    assert.equal(status?.hostIP, "192.168.77.1");
    assert.equal(status?.qosClass, "BestEffort");
    const container = await lab.containerStatus("web");
    assert.equal(container?.ready, true);
    assert.match(container?.containerID ?? "", /^scripted:\/\/main-/);
    for (const [reason, message] of [
      ["Pulled", 'Container image "kubelab/echo:v1" already present on machine'],
      ["Created", "Created container: main"],
      ["Started", "Started container main"],
    ])
      await lab.until(reason!, async () => (await lab.events(reason!)).some((event) => event.message === message));
  });

  test("sees its names, its Services and its configuration in the environment", async () => {
    await lab.api.create(Services, {
      metadata: { name: "db-main", namespace: "default" },
      spec: { clusterIP: "10.96.0.7", ports: [{ name: "sql", port: 5432, protocol: "TCP" }] },
    });
    await lab.api.create(ConfigMaps, { metadata: { name: "settings", namespace: "default" }, data: { COLOR: "blue" } });
    await lab.until("a moment for the watch", () => true);
    await lab.createPod("web", {
      containers: [
        {
          name: "main",
          image: "kubelab/echo:v1",
          envFrom: [{ configMapRef: { name: "settings" } }],
          env: [
            { name: "POD_IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
            { name: "GREETING", value: "$(COLOR) from $(POD_IP)" },
          ],
          args: ["--say=$(GREETING)", "$$(GREETING)", "$(UNKNOWN)"],
        },
      ],
    });
    await lab.running("web");
    const { config } = lab.runtime.container("main")!;
    const env = Object.fromEntries(config.envs.map(({ key, value }) => [key, Buffer.from(value).toString()]));
    assert.equal(env["DB_MAIN_SERVICE_HOST"], "10.96.0.7");
    assert.equal(env["GREETING"], "blue from 10.244.1.2");
    assert.deepEqual(config.args, ["--say=blue from 10.244.1.2", "$(GREETING)", "$(UNKNOWN)"]);
  });

  test("waits with CreateContainerConfigError for a ConfigMap, and starts once it is there", async () => {
    const env = [{ name: "A", valueFrom: { configMapKeyRef: { name: "settings", key: "a" } } }];
    await lab.createPod("web", { containers: [{ name: "main", image: "kubelab/echo:v1", env }] });
    const waiting = await lab.until(
      "it waits",
      async () => (await lab.containerStatus("web"))?.state?.waiting?.message,
    );
    assert.equal(waiting, 'configmap "settings" not found');
    assert.equal((await lab.containerStatus("web"))?.state?.waiting?.reason, "CreateContainerConfigError");
    await lab.api.create(ConfigMaps, { metadata: { name: "settings", namespace: "default" }, data: { a: "1" } });
    await lab.running("web");
  });

  test("that must not run as root does not, with upstream's words", async () => {
    const securityContext = { runAsNonRoot: true };
    const main = { name: "main", image: "kubelab/echo:v1" };
    const pod = await lab.createPod("web", { securityContext, containers: [main] });
    const told = async () => (await lab.containerStatus("web"))?.state?.waiting;
    const waiting = await lab.until("it waits", async () => ((await told())?.message ? told() : undefined));
    const of = `(pod: "web_default(${pod.metadata.uid})", container: main)`;
    const message = `container has runAsNonRoot and image will run as root ${of}`;
    assert.deepEqual(waiting, { reason: "CreateContainerConfigError", message });
    await lab.createPod("zero", { securityContext, containers: [{ ...main, securityContext: { runAsUser: 0 } }] });
    await lab.until("the other waits", async () => {
      const { message = "" } = (await lab.containerStatus("zero"))?.state?.waiting ?? {};
      return message.startsWith("container's runAsUser breaks non-root policy");
    });
    await lab.createPod("user", { securityContext: { ...securityContext, runAsUser: 1000 }, containers: [main] });
    await lab.running("user");
  });

  test("with a missing volume waits as ContainerCreating and tells FailedMount; its files then are mounted", async () => {
    const container = { name: "main", image: "kubelab/echo:v1", volumeMounts: [{ name: "v", mountPath: "/etc/v" }] };
    await lab.createPod("web", {
      containers: [container],
      volumes: [{ name: "v", configMap: { name: "settings" } }],
    });
    const text = 'MountVolume.SetUp failed for volume "v" : configmap "settings" not found';
    await lab.until("FailedMount", async () => (await lab.events("FailedMount")).some((e) => e.message === text));
    assert.equal((await lab.containerStatus("web"))?.state?.waiting?.reason, "ContainerCreating");
    await lab.api.create(ConfigMaps, { metadata: { name: "settings", namespace: "default" }, data: { a: "1" } });
    await lab.running("web");
    const [mount] = lab.runtime.container("main")!.config.mounts;
    assert.equal(mount?.containerPath, "/etc/v");
    assert.equal(mount?.readonly, true); // its files are the agent's
    const file = join(mount!.hostPath, "a");
    assert.equal(readFileSync(file, "utf8"), "1");
    await lab.api.patch(
      ConfigMaps,
      { namespace: "default", name: "settings" },
      { type: "merge", body: { data: { a: "2" } } },
    );
    await lab.clock.advance(60_000);
    await lab.until("the file follows the ConfigMap", () => readFileSync(file, "utf8") === "2");
  });

  test("whose container ends is restarted at once, then after 10 s, told as CrashLoopBackOff; the address stays", async () => {
    const pod = await lab.createPod("web");
    await lab.running("web");
    lab.runtime.exit(lab.runtime.container("main")!, 3);
    await lab.until("restarted", async () => (await lab.containerStatus("web"))?.restartCount === 1);
    const second = await lab.until("running", async () => {
      const status = await lab.containerStatus("web");
      return status?.state?.running && status;
    });
    assert.equal(second.lastState?.terminated?.exitCode, 3);
    assert.equal(second.lastState?.terminated?.reason, "Error");
    lab.runtime.exit(lab.runtime.container("main")!, 3);
    const waiting = await lab.until("it backs off", async () => (await lab.containerStatus("web"))?.state?.waiting);
    assert.deepEqual(waiting, {
      reason: "CrashLoopBackOff",
      message: `back-off 10s restarting failed container=main pod=web_default(${pod.metadata.uid})`,
    });
    await lab.until("the event", async () => (await lab.events("BackOff")).length > 0);
    const starts = () => lab.runtime.calls.filter((call) => call === "start main").length;
    assert.equal(starts(), 2);
    await lab.clock.advance(10_000);
    await lab.until("started again", () => starts() === 3);
    await lab.running("web");
    assert.equal((await lab.pod("web"))?.status?.podIP, "10.244.1.2");
    assert.equal(lab.runtime.calls.filter((call) => call === "run web").length, 1);
  });

  test("whose image does not exist goes from ErrImagePull to ImagePullBackOff", async () => {
    await lab.createPod("web", { containers: [{ name: "main", image: "nosuch:v1" }] });
    const reason = async () => (await lab.containerStatus("web"))?.state?.waiting?.reason;
    await lab.until("ErrImagePull", async () => (await reason()) === "ErrImagePull");
    await lab.until("ImagePullBackOff", async () => (await reason()) === "ImagePullBackOff");
    const message = (await lab.containerStatus("web"))?.state?.waiting?.message;
    assert.equal(message, 'Back-off pulling image "nosuch:v1": ErrImagePull: no image "nosuch:v1": try kubelab/echo');
    assert.equal(lab.runtime.calls.filter((call) => call === "pull nosuch:v1").length, 1);
    lab.runtime.images.add("nosuch:v1");
    await lab.clock.advance(10_000);
    await lab.running("web");
  });

  test("runs its init containers one after the other before the rest", async () => {
    const init = (name: string) => ({ name, image: "kubelab/echo:v1" });
    await lab.createPod("web", { initContainers: [init("one"), init("two")] });
    await lab.until("one runs", async () => (await lab.containerStatus("web", "one"))?.state?.running);
    assert.equal((await lab.containerStatus("web"))?.state?.waiting?.reason, "PodInitializing");
    assert.equal(lab.runtime.container("two"), undefined);
    lab.runtime.exit(lab.runtime.container("one")!, 0);
    await lab.until("two runs", async () => (await lab.containerStatus("web", "two"))?.state?.running);
    assert.equal((await lab.pod("web"))?.status?.phase, "Pending");
    lab.runtime.exit(lab.runtime.container("two")!, 0);
    await lab.running("web");
  });

  test("that may end is Succeeded when all containers ended with 0, and its sandbox is stopped", async () => {
    await lab.createPod("job", { restartPolicy: "OnFailure" });
    await lab.running("job");
    lab.runtime.exit(lab.runtime.container("main")!, 1);
    await lab.until("restarted", async () => (await lab.containerStatus("job"))?.restartCount === 1);
    await lab.running("job");
    lab.runtime.exit(lab.runtime.container("main")!, 0);
    await lab.until("Succeeded", async () => (await lab.pod("job"))?.status?.phase === "Succeeded");
    await lab.until("sandbox stopped", () => lab.runtime.calls.includes("stop sandbox"));
  });

  test("that is deleted gets its grace period, then the object goes, and nothing is left", async () => {
    await lab.createPod("web");
    const { metadata } = await lab.running("web");
    await lab.api.delete(Pods, { namespace: "default", name: "web" });
    await lab.gone("web");
    assert.ok(lab.runtime.calls.includes("stop main within 30s"));
    await lab.until("all removed", () => lab.runtime.sandboxes.size === 0 && lab.runtime.containers.size === 0);
    await lab.until("no directory", () => !existsSync(join(lab.rootDir, "pods-logs", `default_web_${metadata.uid}`)));
  });

  test("that is deleted and does not listen is killed when a shorter grace period is over", async () => {
    lab.runtime.stubborn.add("main");
    await lab.createPod("web", { terminationGracePeriodSeconds: 600 });
    await lab.running("web");
    const key = { namespace: "default", name: "web" };
    await lab.api.delete(Pods, key, { gracePeriodSeconds: 600 });
    await lab.until("it is asked to stop", () => lab.runtime.calls.includes("stop main within 600s"));
    const body = { metadata: { deletionGracePeriodSeconds: 3 } };
    await lab.api.patch(Pods, key, { type: "merge", body });
    await lab.until("it is given less time", () => lab.runtime.calls.includes("stop main within 3s"));
    await lab.clock.advance(3000);
    await lab.gone("web");
  });

  test("that vanishes from the API is ended all the same", async () => {
    await lab.createPod("web");
    await lab.running("web");
    await lab.api.delete(Pods, { namespace: "default", name: "web" }, { gracePeriodSeconds: 0 });
    await lab.until("all removed", () => lab.runtime.sandboxes.size === 0);
  });

  test("whose sandbox is lost gets a new one, and its containers start again", async () => {
    await lab.createPod("web");
    await lab.running("web");
    lab.runtime.loseSandbox([...lab.runtime.sandboxes.keys()][0]!);
    await lab.until("a new sandbox", () => lab.runtime.calls.filter((call) => call === "run web").length === 2);
    await lab.until("the new address", async () => (await lab.running("web")).status?.podIP === "10.244.1.3");
    assert.deepEqual((await lab.pod("web"))?.status?.podIPs, [{ ip: "10.244.1.3" }]);
  });

  test("is not ready before its readiness probe succeeds", async () => {
    const probe = { tcpSocket: { port: 1, host: "127.0.0.1" }, periodSeconds: 1, failureThreshold: 1 };
    await lab.createPod("web", { containers: [{ name: "main", image: "kubelab/echo:v1", readinessProbe: probe }] });
    await lab.until("it runs", async () => (await lab.pod("web"))?.status?.phase === "Running");
    const event = await lab.until("the probe fails", async () => (await lab.events("Unhealthy"))[0]);
    assert.equal(event.message, "Readiness probe failed: dial tcp 127.0.0.1:1: connect: connection refused");
    const ready = (await lab.pod("web"))?.status?.conditions?.find(({ type }) => type === "Ready");
    assert.equal(ready?.message, "containers with unready status: [main]");
  });

  test("whose liveness probe fails is killed and restarted", async () => {
    const probe = { tcpSocket: { port: 1, host: "127.0.0.1" }, periodSeconds: 1, failureThreshold: 2 };
    await lab.createPod("web", { containers: [{ name: "main", image: "kubelab/echo:v1", livenessProbe: probe }] });
    await lab.until("restarted", async () => (await lab.containerStatus("web"))?.restartCount === 1);
    const messages = (await lab.events("Killing")).map(({ message }) => message);
    assert.deepEqual(messages, ["Container main failed liveness probe, will be restarted"]);
  });

  test("keeps conditions that others wrote", async () => {
    await lab.createPod("web");
    await lab.running("web");
    const condition = { type: "DisruptionTarget", status: "True" as const, reason: "Test" };
    const patch = { type: "strategic" as const, body: { status: { conditions: [condition] } } };
    await lab.api.patch(Pods, { namespace: "default", name: "web" }, patch, { subresource: "status" });
    lab.runtime.exit(lab.runtime.container("main")!, 1);
    await lab.until("restarted", async () => (await lab.containerStatus("web"))?.restartCount === 1);
    assert.ok((await lab.pod("web"))?.status?.conditions?.some(({ type }) => type === "DisruptionTarget"));
  });

  test("marked not ready by the node controller is set right again", async () => {
    await lab.createPod("web");
    await lab.running("web");
    const conditions = [{ type: "Ready", status: "False" as const }];
    const patch = { type: "strategic" as const, body: { status: { conditions } } };
    await lab.api.patch(Pods, { namespace: "default", name: "web" }, patch, { subresource: "status" });
    await lab.running("web");
  });
});

describe("an agent that was killed", () => {
  test("adopts what runs: no container is started again, and the status stays", async () => {
    await lab.createPod("web");
    const before = await lab.running("web");
    await lab.stopAgent();
    lab.startAgent();
    const starts = () => lab.runtime.calls.filter((call) => call.startsWith("start")).length;
    lab.runtime.exit(lab.runtime.container("main")!, 5); // it knows the container, or it would not see this
    await lab.until("restarted", () => starts() === 2);
    const status = await lab.until("told", async () => {
      const now = await lab.containerStatus("web");
      return now?.restartCount === 1 && now.state?.running ? now : undefined;
    });
    assert.equal(status.lastState?.terminated?.exitCode, 5);
    assert.equal((await lab.pod("web"))?.status?.startTime, before.status?.startTime);
  });

  test("ends the Pods that were deleted meanwhile", async () => {
    await lab.createPod("web");
    await lab.createPod("stays");
    await lab.running("web");
    await lab.running("stays");
    await lab.stopAgent();
    await lab.api.delete(Pods, { namespace: "default", name: "web" }, { gracePeriodSeconds: 0 });
    lab.startAgent();
    await lab.until("only one is left", () => lab.runtime.sandboxes.size === 1);
    const [left] = [...lab.runtime.containers.values()];
    assert.equal(left?.state, ContainerState.CONTAINER_RUNNING);
    assert.equal(left?.config.labels["io.kubernetes.pod.name"], "stays");
  });

  test("finishes a deletion that had begun", async () => {
    lab.runtime.stubborn.add("main");
    await lab.createPod("web");
    await lab.running("web");
    await lab.api.delete(Pods, { namespace: "default", name: "web" });
    await lab.until("it is asked to stop", () => lab.runtime.calls.some((call) => call.startsWith("stop main")));
    const stopped = lab.stopAgent();
    lab.runtime.stubborn.clear();
    lab.runtime.exit(lab.runtime.container("main")!, 0);
    await stopped;
    lab.startAgent();
    await lab.gone("web");
  });
});

describe("without container events", () => {
  test("the end of a container is seen by the next relist", async () => {
    await lab.close();
    lab = new Lab();
    lab.runtime.sendsEvents = false;
    await lab.start();
    await lab.createPod("web");
    await lab.running("web");
    lab.runtime.exit(lab.runtime.container("main")!, 1);
    await lab.until("restarted", async () => (await lab.containerStatus("web"))?.restartCount === 1);
  });
});
