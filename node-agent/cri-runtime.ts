import { ignoring } from "../apimachinery/status.ts";
import { GrpcClient } from "../net/grpc-client.ts";
import { Code, GrpcError } from "../net/grpc-error.ts";
import {
  type Container,
  type ContainerConfig,
  ContainerState,
  type ContainerStatus,
  type Image,
  ImageServiceService as Images,
  type PodSandbox,
  type PodSandboxConfig,
  PodSandboxState,
  RuntimeServiceService as Runtime,
  type RuntimeCondition,
} from "../proto/generated/runtime.v1.ts";
import type { Init } from "../proto/wire.ts";

/**
 * The container runtime behind its CRI socket (proto/cri): our own or containerd. Pods are found again by upstream's
 * labels and annotations on sandboxes and containers, so the agent keeps no state of its own and adopts everything
 * after a restart.
 */
export const label = {
  podName: "io.kubernetes.pod.name",
  podNamespace: "io.kubernetes.pod.namespace",
  podUid: "io.kubernetes.pod.uid",
  containerName: "io.kubernetes.container.name",
} as const;

export const annotation = {
  hash: "io.kubernetes.container.hash",
  restartCount: "io.kubernetes.container.restartCount",
  gracePeriod: "io.kubernetes.pod.terminationGracePeriod",
} as const;

export interface Sandbox {
  id: string;
  podName: string;
  podNamespace: string;
  attempt: number;
  ready: boolean;
  createdAtMs: number;
  /** Empty with the node's own network. */
  ips: string[];
}

export interface ContainerInfo {
  id: string;
  sandboxId: string;
  name: string;
  restartCount: number;
  state: "created" | "running" | "exited" | "unknown";
  createdAtMs: number;
  startedAtMs: number;
  finishedAtMs: number;
  exitCode: number;
  reason: string;
  message: string;
  image: string;
  imageId: string;
  /** Of the part of the container's spec that cannot change while it runs. */
  hash: string;
  gracePeriodSeconds: number | undefined;
  logPath: string;
}

/** Both newest first. */
export interface PodRuntime {
  /** What the runtime calls itself: the scheme of container ids in the API. */
  runtimeName: string;
  sandboxes: Sandbox[];
  containers: ContainerInfo[];
}

/** A stop may take the grace period and then some (upstream: two minutes). */
const spareMs = 120_000;

export class CriRuntime {
  readonly #grpc: GrpcClient;
  #name: string | undefined;

  /** `endpoint` as the flag has it: `unix:///run/x.sock`. */
  constructor(endpoint: string) {
    this.#grpc = new GrpcClient(endpoint.replace(/^unix:\/\//, "unix:"));
  }

  close(): void {
    this.#grpc.close();
  }

  async version(): Promise<{ name: string; version: string }> {
    const { runtimeName, runtimeVersion } = await this.#grpc.unary(Runtime.Version, {}, { timeoutMs: 5000 });
    return { name: runtimeName, version: runtimeVersion };
  }

  async conditions(): Promise<RuntimeCondition[]> {
    return (await this.#grpc.unary(Runtime.Status, {}, { timeoutMs: 5000 })).status?.conditions ?? [];
  }

  async setPodCidr(podCidr: string): Promise<void> {
    const request = { runtimeConfig: { networkConfig: { podCidr } } };
    await this.#grpc.unary(Runtime.UpdateRuntimeConfig, request, { timeoutMs: 5000 });
  }

  /** What there is of every Pod, as a text that changes whenever a sandbox or container of it changes state. */
  async fingerprints(): Promise<Map<string, string>> {
    const options = { timeoutMs: 10_000 };
    const [sandboxes, containers] = await Promise.all([
      this.#grpc.unary(Runtime.ListPodSandbox, {}, options),
      this.#grpc.unary(Runtime.ListContainers, {}, options),
    ]);
    const parts = new Map<string, string[]>();
    for (const { id, state, labels } of [...sandboxes.items, ...containers.containers]) {
      const uid = labels[label.podUid];
      if (uid === undefined) continue; // not made by an agent
      parts.set(uid, [...(parts.get(uid) ?? []), `${id}:${state}`]);
    }
    return new Map([...parts].map(([uid, list]) => [uid, list.sort().join(" ")]));
  }

  async pod(uid: string): Promise<PodRuntime> {
    const labelSelector = { [label.podUid]: uid };
    const options = { timeoutMs: 10_000 };
    const ours = ({ labels }: PodSandbox | Container) => labels[label.podUid] === uid;
    const [sandboxes, containers] = await Promise.all([
      this.#grpc.unary(Runtime.ListPodSandbox, { filter: { labelSelector } }, options),
      this.#grpc.unary(Runtime.ListContainers, { filter: { labelSelector } }, options),
    ]);
    const [sandboxInfos, containerInfos] = await Promise.all([
      Promise.all(sandboxes.items.filter(ours).map((sandbox) => this.#sandbox(sandbox))),
      Promise.all(containers.containers.filter(ours).map((container) => this.#container(container))),
    ]);
    this.#name ??= (await this.version()).name;
    return {
      runtimeName: this.#name,
      sandboxes: sandboxInfos
        .filter((one) => one !== undefined)
        .sort((a, b) => b.attempt - a.attempt || b.createdAtMs - a.createdAtMs),
      containers: containerInfos
        .filter((one) => one !== undefined)
        .sort((a, b) => b.createdAtMs - a.createdAtMs || b.restartCount - a.restartCount),
    };
  }

  async #sandbox({ id }: PodSandbox): Promise<Sandbox | undefined> {
    const status = (await orGone(this.#grpc.unary(Runtime.PodSandboxStatus, { podSandboxId: id })))?.status;
    if (status === undefined) return undefined;
    const { ip = "", additionalIps = [] } = status.network ?? {};
    return {
      id,
      podName: status.metadata?.name ?? "",
      podNamespace: status.metadata?.namespace ?? "",
      attempt: status.metadata?.attempt ?? 0,
      ready: status.state === PodSandboxState.SANDBOX_READY,
      createdAtMs: toMs(status.createdAt),
      ips: [ip, ...additionalIps.map((more) => more.ip)].filter(Boolean),
    };
  }

  async #container({ id, podSandboxId }: Container): Promise<ContainerInfo | undefined> {
    const status = (await orGone(this.#grpc.unary(Runtime.ContainerStatus, { containerId: id })))?.status;
    if (status === undefined) return undefined;
    const { annotations } = status;
    const gracePeriod = annotations[annotation.gracePeriod];
    return {
      id,
      sandboxId: podSandboxId,
      name: status.labels[label.containerName] ?? status.metadata?.name ?? "",
      restartCount: Number(annotations[annotation.restartCount] ?? status.metadata?.attempt ?? 0),
      state: stateOf(status),
      createdAtMs: toMs(status.createdAt),
      startedAtMs: toMs(status.startedAt),
      finishedAtMs: toMs(status.finishedAt),
      exitCode: status.exitCode,
      reason: status.reason,
      message: status.message,
      image: status.image?.userSpecifiedImage || status.image?.image || "",
      imageId: status.imageId || status.imageRef,
      hash: annotations[annotation.hash] ?? "",
      gracePeriodSeconds: gracePeriod === undefined ? undefined : Number(gracePeriod),
      logPath: status.logPath,
    };
  }

  async runSandbox(config: Init<PodSandboxConfig>): Promise<string> {
    return (await this.#grpc.unary(Runtime.RunPodSandbox, { config }, { timeoutMs: spareMs })).podSandboxId;
  }

  async stopSandbox(podSandboxId: string): Promise<void> {
    await orGone(this.#grpc.unary(Runtime.StopPodSandbox, { podSandboxId }, { timeoutMs: spareMs }));
  }

  async removeSandbox(podSandboxId: string): Promise<void> {
    await orGone(this.#grpc.unary(Runtime.RemovePodSandbox, { podSandboxId }, { timeoutMs: spareMs }));
  }

  async createContainer(
    podSandboxId: string,
    config: Init<ContainerConfig>,
    sandboxConfig: Init<PodSandboxConfig>,
  ): Promise<string> {
    const request = { podSandboxId, config, sandboxConfig };
    return (await this.#grpc.unary(Runtime.CreateContainer, request, { timeoutMs: spareMs })).containerId;
  }

  async startContainer(containerId: string): Promise<void> {
    await this.#grpc.unary(Runtime.StartContainer, { containerId }, { timeoutMs: spareMs });
  }

  /** SIGTERM, then SIGKILL after the timeout; resolves when the container has ended. */
  async stopContainer(containerId: string, timeoutSeconds: number): Promise<void> {
    const request = { containerId, timeout: timeoutSeconds };
    const timeoutMs = timeoutSeconds * 1000 + spareMs;
    await orGone(this.#grpc.unary(Runtime.StopContainer, request, { timeoutMs }));
  }

  async removeContainer(containerId: string): Promise<void> {
    await orGone(this.#grpc.unary(Runtime.RemoveContainer, { containerId }, { timeoutMs: spareMs }));
  }

  async execSync(containerId: string, cmd: string[], timeoutSeconds: number): Promise<{ code: number; out: string }> {
    const request = { containerId, cmd, timeout: timeoutSeconds };
    const options = { timeoutMs: timeoutSeconds * 1000 + 2000 };
    const { exitCode, stdout, stderr } = await this.#grpc.unary(Runtime.ExecSync, request, options);
    return { code: exitCode, out: Buffer.concat([stdout, stderr]).toString("utf8") };
  }

  async reopenLog(containerId: string): Promise<void> {
    await this.#grpc.unary(Runtime.ReopenContainerLog, { containerId }, { timeoutMs: 10_000 });
  }

  /** The uid of a Pod each time one of its containers changes; ends or throws with the connection. */
  async *events(signal: AbortSignal): AsyncGenerator<string> {
    for await (const event of this.#grpc.serverStream(Runtime.GetContainerEvents, {}, { signal })) {
      const { podSandboxStatus, containersStatuses } = event;
      const uid = podSandboxStatus?.metadata?.uid || containersStatuses[0]?.labels[label.podUid];
      if (uid !== undefined) yield uid;
    }
  }

  /** Undefined when it is not on the node. */
  async imageStatus(image: string): Promise<Image | undefined> {
    const request = { image: { image, userSpecifiedImage: image } };
    return (await this.#grpc.unary(Images.ImageStatus, request, { timeoutMs: 10_000 })).image;
  }

  /** Resolves with its size in bytes, 0 when unknown. */
  async pullImage(image: string, signal: AbortSignal): Promise<number> {
    await this.#grpc.unary(Images.PullImage, { image: { image, userSpecifiedImage: image } }, { signal });
    return (await this.imageStatus(image))?.size ?? 0;
  }
}

function stateOf({ state }: ContainerStatus): ContainerInfo["state"] {
  if (state === ContainerState.CONTAINER_CREATED) return "created";
  if (state === ContainerState.CONTAINER_RUNNING) return "running";
  return state === ContainerState.CONTAINER_EXITED ? "exited" : "unknown";
}

const toMs = (nanoseconds: bigint): number => Number(nanoseconds / 1_000_000n);

/** What is asked for may go away between a list and the next call. */
function orGone<T>(call: Promise<T>): Promise<T | undefined> {
  return call.catch(ignoring((error) => error instanceof GrpcError && error.code === Code.NotFound));
}
