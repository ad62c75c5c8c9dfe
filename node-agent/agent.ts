import { mkdirSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import type { Node, Pod, Service } from "../api/generated/core-v1.ts";
import { Nodes, Pods, Services } from "../api/generated/resources.ts";
import { EventRecorder } from "../client/events.ts";
import { Informer } from "../client/informer.ts";
import type { Parts } from "../client/types.ts";
import { ContainerStarter } from "./container-start.ts";
import type { CriRuntime } from "./cri-runtime.ts";
import { imagePuller } from "./images.ts";
import { keepLease } from "./lease.ts";
import { rotateLog } from "./log-rotation.ts";
import { type Machine, type Resources, readResources } from "./machine.ts";
import { NodeRegistrar } from "./node-registrar.ts";
import { machineStatus } from "./node-status.ts";
import { PodVolumes } from "./pod-volumes.ts";
import { NodePods } from "./pods.ts";
import { type PodRoute, podRoutes } from "./routes.ts";

export interface AgentOptions extends Parts {
  runtime: CriRuntime;
  nodeName: string;
  nodeIP: string;
  mode: string;
  /** Of the agent's API, told in the Node's status. */
  port: number;
  rootDir: string;
  machine: Machine;
  leaseDurationMs: number;
  heartbeatMs: number;
  runtimeGraceMs: number;
  /** Absent where Pods need no routes. */
  applyRoutes?: (wanted: readonly PodRoute[]) => Promise<string[]>;
}

const logCheckMs = 10_000;

/** One node's agent: the Node object, its Lease, its routes and its Pods. */
export class Agent {
  readonly pods: NodePods;
  readonly #options: AgentOptions;
  readonly #registrar: NodeRegistrar;
  readonly #podInformer: Informer<Pod>;
  readonly #nodes: Informer<Node>;
  readonly #services: Informer<Service>;
  #routing: Promise<void> | undefined;
  #routes: PodRoute[] | undefined;

  constructor(options: AgentOptions) {
    const { client, runtime, clock, log, nodeName, nodeIP: hostIP, mode, port, machine, rootDir } = options;
    this.#options = options;
    mkdirSync(rootDir, { recursive: true });
    const facts = { name: nodeName, ip: hostIP, mode, port, machine };
    const allocatable = machineStatus({ ...facts, runtime: { name: "", version: "" } }).allocatable!;
    const { heartbeatMs, runtimeGraceMs } = options;
    const resources = (): Resources => readResources(rootDir);
    const times = { heartbeatMs, runtimeGraceMs };
    this.#registrar = new NodeRegistrar({ client, runtime, clock, log, facts, ...times, readResources: resources });
    this.#podInformer = new Informer(client, Pods, { fieldSelector: `spec.nodeName=${nodeName}`, clock, log });
    const nodeSelector = options.applyRoutes ? {} : { fieldSelector: `metadata.name=${nodeName}` };
    this.#nodes = new Informer(client, Nodes, { ...nodeSelector, clock, log });
    this.#services = new Informer(client, Services, { clock, log });
    const events = new EventRecorder({ client, component: "kubelet", host: nodeName, clock, log });
    const volumes = new PodVolumes({ client, clock, rootDir, hostIP, allocatable });
    const services = async () => {
      await this.#services.synced;
      return this.#services.store.list();
    };
    const common = { client, clock, runtime, volumes, rootDir, hostIP };
    const starter = new ContainerStarter({
      ...common,
      ensureImage: imagePuller(runtime, clock),
      allocatable,
      services,
    });
    this.pods = new NodePods({ ...common, starter, events, log, onRuntimeChange: () => this.#registrar.check() });
  }

  /** Undefined when the node is Ready. */
  notReady(): string | undefined {
    if (!this.#podInformer.hasSynced) return "the Pods of this node are not read yet";
    return this.#registrar.isReady ? undefined : "the node is not Ready";
  }

  /** Returns when `signal` aborts; containers live on. */
  async run(signal: AbortSignal): Promise<void> {
    const { client, clock, log, nodeName, leaseDurationMs: durationMs } = this.#options;
    const observe = (node: Node) => {
      if (node.metadata.name === nodeName) this.#registrar.observe(node);
    };
    this.#nodes.on({ onAdd: observe, onUpdate: (_, node) => observe(node) });
    this.#nodes.on(() => this.#updateRoutes());
    this.#podInformer.on({
      onAdd: (pod) => this.pods.set(pod),
      onUpdate: (_, pod) => this.pods.set(pod),
      onDelete: (pod) => this.pods.delete(pod),
    });
    void this.#nodes.synced.then(() => this.#updateRoutes());
    void this.#podInformer.synced.then(() => this.pods.apiSynced());
    const stopRotation = clock.every(logCheckMs, () => void this.#rotateLogs());
    const { registered } = this.#registrar;
    void keepLease({ client, clock, log, nodeName, registered, durationMs }, signal);
    log.info({ node: nodeName }, "Starting kubelet main sync loop");
    await Promise.all([
      this.#registrar.run(signal),
      this.#podInformer.run(signal),
      this.#nodes.run(signal),
      this.#services.run(signal),
      this.pods.run(signal),
    ]);
    stopRotation();
    await this.#routing;
  }

  #updateRoutes(): void {
    if (this.#options.applyRoutes === undefined || !this.#nodes.hasSynced || this.#routing !== undefined) return;
    this.#routing = this.#applyRoutes().finally(() => {
      this.#routing = undefined;
    });
  }

  /** Until the kernel has the routes that the newest nodes call for. */
  async #applyRoutes(): Promise<void> {
    const { applyRoutes, log, nodeName, clock } = this.#options;
    for (;;) {
      const wanted = podRoutes(this.#nodes.store.list(), nodeName);
      if (isDeepStrictEqual(wanted, this.#routes)) return;
      try {
        const commands = await applyRoutes!(wanted);
        if (commands.length > 0) log.info({ commands }, "Changed the routes to Pods");
        this.#routes = wanted;
      } catch (err) {
        log.error({ err }, "Cannot change the routes to Pods, trying again");
        clock.after(1000, () => this.#updateRoutes());
        return;
      }
    }
  }

  async #rotateLogs(): Promise<void> {
    const { runtime, clock, log } = this.#options;
    for (const { containers } of this.pods.workers)
      for (const container of containers)
        await rotateLog(container, { runtime, now: new Date(clock.now()), log }).catch((err) =>
          log.warn({ err, logPath: container.logPath }, "Cannot rotate the log"),
        );
  }
}
