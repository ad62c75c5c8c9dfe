import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { Code, GrpcError } from "../../net/grpc-error.ts";
import { GrpcFront } from "../../net/grpc-front.ts";
import type { Send } from "../../net/grpc-server.ts";
import {
  type ContainerConfig,
  type ContainerEventResponse,
  ContainerState,
  ImageServiceService,
  type PodSandboxConfig,
  PodSandboxState,
  RuntimeServiceService,
} from "../../proto/generated/runtime.v1.ts";

/**
 * A container runtime without processes, served over CRI on a real socket: it keeps the rules of CRI (states, label
 * filters, events, stop with a timeout), and the test plays the processes: `exit`, `failStart`, images that exist.
 */
export class ScriptedRuntime {
  readonly directory = mkdtempSync(join(tmpdir(), "kubelab-cri-"));
  readonly endpoint = `unix://${this.directory}/cri.sock`;
  readonly sandboxes = new Map<string, ScriptedSandbox>();
  readonly containers = new Map<string, ScriptedContainer>();
  readonly images = new Set(["kubelab/echo:v1"]);
  /** Every call that changes something, for assertions. */
  readonly calls: string[] = [];
  podCidr = "";
  /** By container name: what StartContainer fails with. */
  readonly failStart = new Map<string, string>();
  failSandbox: string | undefined;
  /** Containers whose process does not end at SIGTERM, only at SIGKILL. */
  readonly stubborn = new Set<string>();
  sendsEvents = true;
  readonly #clock: Clock;
  readonly #subscribers = new Set<Send<Partial<ContainerEventResponse>>>();
  #server: GrpcFront | undefined;
  #sequence = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async start(): Promise<void> {
    this.#server = new GrpcFront();
    this.#server.addService(RuntimeServiceService, this.#runtimeHandlers() as never);
    this.#server.addService(ImageServiceService, this.#imageHandlers() as never);
    const listener = net.createServer();
    rmSync(`${this.directory}/cri.sock`, { force: true });
    await new Promise<void>((resolve) => listener.listen(`${this.directory}/cri.sock`, resolve));
    this.#server.serve(listener);
  }

  /** The runtime is gone; its containers and their state are not. */
  async stop(): Promise<void> {
    await this.#server?.close(0);
    this.#server = undefined;
  }

  async close(): Promise<void> {
    await this.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** The newest container of that name. */
  container(name: string): ScriptedContainer | undefined {
    return [...this.containers.values()].reverse().find(({ config }) => config.metadata!.name === name);
  }

  /** The container's process ends by itself. */
  exit(container: ScriptedContainer, code: number): void {
    container.state = ContainerState.CONTAINER_EXITED;
    container.exitCode = code;
    container.finishedAt = this.#now();
    for (const wake of container.waiters.splice(0)) wake();
    this.#emit(container);
  }

  /** A pause process that dies takes its containers along. */
  loseSandbox(id: string): void {
    this.sandboxes.get(id)!.ready = false;
    for (const container of this.containers.values())
      if (container.sandboxId === id && container.state === ContainerState.CONTAINER_RUNNING) this.exit(container, 137);
  }

  #now(): bigint {
    return BigInt(Math.round(this.#clock.now())) * 1_000_000n + BigInt(++this.#sequence % 1000);
  }

  #emit({ id, sandboxId }: ScriptedContainer): void {
    if (!this.sendsEvents) return;
    const { uid, name, namespace } = this.sandboxes.get(sandboxId)!.config.metadata!;
    const podSandboxStatus = { id: sandboxId, metadata: { uid, name, namespace, attempt: 0 } };
    for (const send of this.#subscribers)
      send({ containerId: id, podSandboxStatus } as Partial<ContainerEventResponse>);
  }

  #find(id: string): ScriptedContainer {
    const found = this.containers.get(id);
    if (found === undefined) throw new GrpcError(Code.NotFound, `container "${id}": not found`);
    return found;
  }

  #runtimeHandlers() {
    const selects = (labels: Record<string, string>, selector: Record<string, string> = {}) =>
      Object.entries(selector).every(([key, value]) => labels[key] === value);
    const summary = (c: ScriptedContainer) => ({
      id: c.id,
      podSandboxId: c.sandboxId,
      metadata: c.config.metadata,
      state: c.state,
      createdAt: c.createdAt,
      labels: c.config.labels,
    });
    return {
      Version: () => ({ runtimeName: "scripted", runtimeVersion: "1" }),
      Status: () => ({
        status: {
          conditions: [
            { type: "RuntimeReady", status: true },
            this.podCidr === ""
              ? { type: "NetworkReady", status: false, reason: "NetworkPluginNotReady", message: "no podCIDR yet" }
              : { type: "NetworkReady", status: true },
          ],
        },
      }),
      UpdateRuntimeConfig: (request: { runtimeConfig: { networkConfig: { podCidr: string } } }) => {
        this.podCidr = request.runtimeConfig.networkConfig.podCidr;
        return {};
      },
      RunPodSandbox: ({ config }: { config: PodSandboxConfig }) => {
        if (this.failSandbox !== undefined) throw new GrpcError(Code.Unknown, this.failSandbox);
        const id = `sandbox-${++this.#sequence}`;
        const ip = `10.244.1.${this.sandboxes.size + 2}`;
        this.sandboxes.set(id, { id, config, ip, ready: true, createdAt: this.#now() });
        this.calls.push(`run ${config.metadata!.name}`);
        return { podSandboxId: id };
      },
      StopPodSandbox: ({ podSandboxId }: { podSandboxId: string }) => {
        const sandbox = this.sandboxes.get(podSandboxId);
        if (sandbox) sandbox.ready = false;
        this.calls.push("stop sandbox");
        return {};
      },
      RemovePodSandbox: ({ podSandboxId }: { podSandboxId: string }) => {
        this.sandboxes.delete(podSandboxId);
        this.calls.push("remove sandbox");
        return {};
      },
      ListPodSandbox: ({ filter }: { filter?: { labelSelector: Record<string, string> } }) => ({
        items: [...this.sandboxes.values()]
          .filter(({ config }) => selects(config.labels, filter?.labelSelector))
          .map(({ id, config, ready, createdAt }) => ({
            id,
            metadata: config.metadata,
            labels: config.labels,
            state: ready ? PodSandboxState.SANDBOX_READY : PodSandboxState.SANDBOX_NOTREADY,
            createdAt,
          })),
      }),
      PodSandboxStatus: ({ podSandboxId }: { podSandboxId: string }) => {
        const sandbox = this.sandboxes.get(podSandboxId);
        if (!sandbox) throw new GrpcError(Code.NotFound, `sandbox "${podSandboxId}": not found`);
        const { id, config, ready, ip, createdAt } = sandbox;
        const state = ready ? PodSandboxState.SANDBOX_READY : PodSandboxState.SANDBOX_NOTREADY;
        return { status: { id, metadata: config.metadata, labels: config.labels, state, createdAt, network: { ip } } };
      },
      CreateContainer: (request: { podSandboxId: string; config: ContainerConfig }) => {
        const { config, podSandboxId } = request;
        const id = `${config.metadata!.name}-${++this.#sequence}`;
        const logPath = join(this.sandboxes.get(podSandboxId)!.config.logDirectory, config.logPath);
        mkdirSync(dirname(logPath), { recursive: true });
        writeFileSync(logPath, "");
        this.containers.set(id, {
          id,
          config,
          sandboxId: podSandboxId,
          state: ContainerState.CONTAINER_CREATED,
          createdAt: this.#now(),
          startedAt: 0n,
          finishedAt: 0n,
          exitCode: 0,
          logPath,
          waiters: [],
        });
        return { containerId: id };
      },
      StartContainer: ({ containerId }: { containerId: string }) => {
        const container = this.#find(containerId);
        const { name } = container.config.metadata!;
        const failure = this.failStart.get(name);
        if (failure !== undefined) throw new GrpcError(Code.Unknown, failure);
        container.state = ContainerState.CONTAINER_RUNNING;
        container.startedAt = this.#now();
        this.calls.push(`start ${name}`);
        this.#emit(container);
        return {};
      },
      StopContainer: async ({ containerId, timeout }: { containerId: string; timeout: number }) => {
        const container = this.#find(containerId);
        this.calls.push(`stop ${container.config.metadata!.name} within ${timeout}s`);
        if (container.state !== ContainerState.CONTAINER_RUNNING) return {};
        if (!this.stubborn.has(container.config.metadata!.name)) this.exit(container, 0);
        else {
          const cancel = this.#clock.after(timeout * 1000, () => this.exit(container, 137));
          await new Promise<void>((resolve) => container.waiters.push(resolve));
          cancel();
        }
        return {};
      },
      RemoveContainer: ({ containerId }: { containerId: string }) => {
        const container = this.#find(containerId);
        if (container.state === ContainerState.CONTAINER_RUNNING)
          throw new GrpcError(Code.FailedPrecondition, "container is running");
        this.containers.delete(containerId);
        return {};
      },
      ListContainers: ({ filter }: { filter?: { labelSelector: Record<string, string> } }) => ({
        containers: [...this.containers.values()]
          .filter(({ config }) => selects(config.labels, filter?.labelSelector))
          .map(summary),
      }),
      ContainerStatus: ({ containerId }: { containerId: string }) => {
        const c = this.#find(containerId);
        const { startedAt, finishedAt, exitCode, logPath, config } = c;
        const { annotations, image } = config;
        return {
          status: { ...summary(c), startedAt, finishedAt, exitCode, logPath, annotations, image, imageId: "image-1" },
        };
      },
      ReopenContainerLog: ({ containerId }: { containerId: string }) => {
        writeFileSync(this.#find(containerId).logPath, "");
        return {};
      },
      GetContainerEvents: async (
        _: unknown,
        { signal }: { signal: AbortSignal },
        send: Send<Partial<ContainerEventResponse>>,
      ) => {
        if (!this.sendsEvents) throw new GrpcError(Code.Unimplemented, "no events");
        this.#subscribers.add(send);
        await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
        this.#subscribers.delete(send);
      },
    };
  }

  #imageHandlers() {
    const found = (image: string) =>
      this.images.has(image) ? { id: image, size: 1000, uid: { value: 0 } } : undefined;
    return {
      ImageStatus: ({ image }: { image: { image: string } }) => ({ image: found(image.image) }),
      PullImage: ({ image }: { image: { image: string } }) => {
        this.calls.push(`pull ${image.image}`);
        if (!found(image.image)) throw new GrpcError(Code.NotFound, `no image "${image.image}": try kubelab/echo`);
        return { imageRef: image.image };
      },
    };
  }
}

export interface ScriptedSandbox {
  id: string;
  config: PodSandboxConfig;
  ip: string;
  ready: boolean;
  createdAt: bigint;
}

export interface ScriptedContainer {
  id: string;
  config: ContainerConfig;
  sandboxId: string;
  state: number;
  createdAt: bigint;
  startedAt: bigint;
  finishedAt: bigint;
  exitCode: number;
  logPath: string;
  /** Calls of StopContainer that wait for the end. */
  waiters: (() => void)[];
}
