import { mkdirSync, readdirSync } from "node:fs";
import type { Clock } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import type { Rand } from "../../base/rand.ts";
import { Code, GrpcError } from "../../net/grpc-error.ts";
import { type ContainerEventResponse, ContainerEventType } from "../../proto/generated/runtime.v1.ts";
import type { Init } from "../../proto/wire.ts";
import type { Abilities } from "./abilities.ts";
import type { Cgroups } from "./cgroup.ts";
import { Container, type ContainerContext } from "./container.ts";
import { readJson, removeTree, writeJson } from "./fs.ts";
import type { ImageCatalog } from "./images.ts";
import { type PodCidr, parsePodCidr } from "./ipam.ts";
import type { ContainerRecord, SandboxRecord } from "./records.ts";
import { Sandbox } from "./sandbox.ts";
import { containerStatus, sandboxStatus } from "./status.ts";

export interface RuntimeOptions {
  rootDir: string;
  mode: "netns" | "host";
  nodeIp: string;
  clock: Clock;
  rand: Rand;
  log: Logger;
  abilities: Abilities;
  cgroups: Cgroups;
  images: ImageCatalog;
}

/**
 * All sandboxes and containers of the node: what the CRI services (`sandbox-service.ts`, `container-service.ts`) work on.
 * Made from the directories at start, and always told by them.
 */
export class Runtime {
  readonly options: RuntimeOptions;
  readonly sandboxes = new Map<string, Sandbox>();
  readonly containers = new Map<string, Container>();
  podCidr: PodCidr | undefined;
  readonly #subscribers = new Set<(event: Init<ContainerEventResponse>) => void>();
  readonly #locks = new Map<string, Promise<unknown>>();

  constructor(options: RuntimeOptions) {
    this.options = options;
    for (const folder of ["sandboxes", "containers", "root"])
      mkdirSync(`${options.rootDir}/${folder}`, { recursive: true, mode: 0o755 });
    const text = readJson<{ podCidr: string }>(this.#configFile)?.podCidr;
    this.podCidr = text === undefined ? undefined : parsePodCidr(text);
  }

  get hostMode(): boolean {
    return this.options.mode === "host";
  }

  /** Takes up what an earlier runtime left, and watches over it from then on. */
  adopt(): void {
    const { rootDir, clock, log } = this.options;
    for (const id of readdirSync(`${rootDir}/sandboxes`)) {
      const record = readJson<SandboxRecord>(`${this.sandboxDir(id)}/sandbox.json`);
      if (record === undefined)
        removeTree(this.sandboxDir(id)); // never got as far as having a process
      else this.addSandbox(record);
    }
    for (const id of readdirSync(`${rootDir}/containers`)) {
      const record = readJson<ContainerRecord>(`${this.containerDir(id)}/container.json`);
      if (record === undefined) removeTree(this.containerDir(id));
      else this.addContainer(record).adopt();
    }
    if (this.sandboxes.size + this.containers.size > 0)
      log.info({ sandboxes: this.sandboxes.size, containers: this.containers.size }, "Adopted");
    clock.every(adoptedPollMs, () => {
      for (const sandbox of this.sandboxes.values()) sandbox.check();
      for (const container of this.containers.values()) if (container.needsPolling) container.check();
    });
  }

  savePodCidr(cidr: PodCidr): void {
    this.podCidr = cidr;
    writeJson(this.#configFile, { podCidr: cidr.text });
  }

  addSandbox(record: SandboxRecord): Sandbox {
    const sandbox: Sandbox = new Sandbox(record, this.sandboxDir(record.id), {
      hostMode: this.hostMode,
      onLost: () => {
        this.options.log.warn({ podSandboxId: record.id }, "The pause process has ended");
        this.emit(sandbox.id, ContainerEventType.CONTAINER_STOPPED_EVENT, sandbox.id);
      },
    });
    this.sandboxes.set(record.id, sandbox);
    return sandbox;
  }

  addContainer(record: ContainerRecord): Container {
    const { clock, log, cgroups } = this.options;
    const context: ContainerContext = {
      clock,
      log,
      cgroups,
      hostMode: this.hostMode,
      onStopped: ({ id }) => this.emit(id, ContainerEventType.CONTAINER_STOPPED_EVENT, record.sandboxId),
    };
    const container = new Container(record, this.containerDir(record.id), context);
    this.containers.set(record.id, container);
    return container;
  }

  /** By id or by a beginning of it that is unique, as containerd does. */
  findSandbox(id: string): Sandbox | undefined {
    return find(this.sandboxes, id);
  }

  findContainer(id: string): Container | undefined {
    return find(this.containers, id);
  }

  mustFindContainer(id: string): Container {
    const container = this.findContainer(id);
    if (container !== undefined) return container;
    throw new GrpcError(Code.NotFound, `an error occurred when try to find container "${id}": not found`);
  }

  containersOf(sandboxId: string): Container[] {
    return [...this.containers.values()].filter(({ record }) => record.sandboxId === sandboxId);
  }

  sandboxDir(id: string): string {
    return `${this.options.rootDir}/sandboxes/${id}`;
  }

  containerDir(id: string): string {
    return `${this.options.rootDir}/containers/${id}`;
  }

  newId(): string {
    const words = Array.from({ length: 4 }, () => this.options.rand.uint64().toString(16).padStart(16, "0"));
    return words.join("");
  }

  /** One at a time per sandbox: no container starts in a sandbox that is being stopped. */
  async locked<T>(sandboxId: string, action: () => Promise<T>): Promise<T> {
    const before = this.#locks.get(sandboxId) ?? Promise.resolve();
    const mine = before.then(action, action);
    const settled = mine.catch(() => {});
    this.#locks.set(sandboxId, settled);
    try {
      return await mine;
    } finally {
      if (this.#locks.get(sandboxId) === settled) this.#locks.delete(sandboxId);
    }
  }

  subscribe(subscriber: (event: Init<ContainerEventResponse>) => void): () => void {
    this.#subscribers.add(subscriber);
    return () => this.#subscribers.delete(subscriber);
  }

  /** Tells GetContainerEvents' callers, with the Pod's state as of now. `id` of a container or of a sandbox. */
  emit(id: string, type: ContainerEventType, sandboxId: string): void {
    if (this.#subscribers.size === 0) return;
    const sandbox = this.sandboxes.get(sandboxId);
    const event: Init<ContainerEventResponse> = {
      containerId: id,
      containerEventType: type,
      createdAt: BigInt(Math.trunc(this.options.clock.now())) * 1_000_000n,
      podSandboxStatus: sandbox && sandboxStatus(sandbox),
      containersStatuses: this.containersOf(sandboxId).map((container) => containerStatus(container)),
    };
    for (const subscriber of this.#subscribers) subscriber(event);
  }

  get #configFile(): string {
    return `${this.options.rootDir}/runtime.json`;
  }
}

function find<T>(all: Map<string, T>, id: string): T | undefined {
  const exact = all.get(id);
  if (exact !== undefined || id === "") return exact;
  const [only, ...more] = [...all.keys()].filter((key) => key.startsWith(id));
  return only === undefined || more.length > 0 ? undefined : all.get(only);
}

/** Processes of an earlier runtime are not our children: nobody tells us when they end. */
const adoptedPollMs = 250;
