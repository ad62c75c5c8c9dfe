import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Container, Pod, Service } from "../api/generated/core-v1.ts";
import type { PodSandboxConfig } from "../proto/generated/runtime.v1.ts";
import type { Init } from "../proto/wire.ts";
import { containerConfig, podLogDirectory } from "./cri-config.ts";
import type { ContainerInfo, CriRuntime, Sandbox } from "./cri-runtime.ts";
import { ConfigError, environment, references } from "./env.ts";
import { runHook } from "./hooks.ts";
import { type imagePuller, StartError, type TellEvent } from "./images.ts";
import type { PodVolumes, VolumesOptions } from "./pod-volumes.ts";
import { fetchReferences } from "./references.ts";

export interface StarterOptions extends VolumesOptions {
  runtime: CriRuntime;
  ensureImage: ReturnType<typeof imagePuller>;
  volumes: PodVolumes;
  /** Resolves when the Services are known. */
  services(): Promise<readonly Service[]>;
}

/** Starts one container: image, configuration, create, start, postStart hook, each told as upstream's Event. */
export class ContainerStarter {
  readonly #options: StarterOptions;

  constructor(options: StarterOptions) {
    this.#options = options;
  }

  /** Throws StartError; its `retryAtMs` is 0 where the caller is to choose. */
  async start(
    pod: Pod,
    container: Container,
    at: { sandbox: Sandbox; sandboxConfig: Init<PodSandboxConfig>; restartCount: number },
    tell: TellEvent,
    signal: AbortSignal,
  ): Promise<void> {
    const { ensureImage, runtime, rootDir } = this.#options;
    const { sandbox, sandboxConfig, restartCount } = at;
    await ensureImage(pod.metadata.uid!, container, tell, signal);
    const config = await attempt("CreateContainerConfigError", tell, () =>
      this.#configure(pod, container, sandbox, restartCount),
    );
    const id = await attempt("CreateContainerError", tell, async () => {
      await mkdir(join(podLogDirectory(rootDir, pod), container.name), { recursive: true });
      return runtime.createContainer(sandbox.id, config, sandboxConfig);
    });
    tell("Normal", "Created", `Created container: ${container.name}`);
    await attempt("RunContainerError", tell, () => runtime.startContainer(id));
    tell("Normal", "Started", `Started container ${container.name}`);
    if (container.lifecycle?.postStart) await this.#postStart(pod, container, sandbox, id, tell);
  }

  /** Removes a dead container with its logs. */
  async remove(pod: Pod, { id, name, restartCount }: ContainerInfo): Promise<void> {
    await this.#options.runtime.removeContainer(id);
    const directory = join(podLogDirectory(this.#options.rootDir, pod), name);
    for (const file of await readdir(directory).catch(() => []))
      if (file === `${restartCount}.log` || file.startsWith(`${restartCount}.log.`)) await rm(join(directory, file));
  }

  async #configure(pod: Pod, container: Container, sandbox: Sandbox, restartCount: number) {
    const { client, hostIP, allocatable, volumes, services } = this.#options;
    await this.#verifyNonRoot(pod, container);
    const [known, objects] = await Promise.all([
      services(),
      fetchReferences(client, pod.metadata.namespace!, references(container)),
    ]);
    const podIPs = pod.spec!.hostNetwork ? [hostIP] : sandbox.ips;
    const env = environment({ pod, container, podIPs, hostIP, allocatable, services: known, ...objects });
    return containerConfig(pod, container, restartCount, env, await volumes.mounts(pod, container, env));
  }

  /** Throws ConfigError where `runAsNonRoot` is asked for and root is what it would be; texts are upstream's. */
  async #verifyNonRoot(pod: Pod, container: Container): Promise<void> {
    const { runAsNonRoot, runAsUser } = { ...pod.spec!.securityContext, ...container.securityContext };
    if (!runAsNonRoot) return;
    const { name, namespace, uid } = pod.metadata;
    const fail = (why: string) =>
      new ConfigError(`${why} (pod: "${name}_${namespace}(${uid})", container: ${container.name})`);
    if (runAsUser === 0) throw fail("container's runAsUser breaks non-root policy");
    if (runAsUser !== undefined) return;
    const image = await this.#options.runtime.imageStatus(container.image ?? "");
    if (image?.uid?.value === 0) throw fail("container has runAsNonRoot and image will run as root");
    if (image?.username && image.uid === undefined)
      throw fail(
        `container has runAsNonRoot and image has non-numeric user (${image.username}), cannot verify user is non-root`,
      );
  }

  /** A hook that fails ends the container, which then is restarted by its policy. */
  async #postStart(pod: Pod, container: Container, sandbox: Sandbox, containerId: string, tell: TellEvent) {
    const { runtime, clock, hostIP } = this.#options;
    const podIP = pod.spec!.hostNetwork ? hostIP : (sandbox.ips[0] ?? hostIP);
    const at = { runtime, containerId, podIP, clock, timeoutMs: hookTimeoutMs };
    const error = await runHook(container.lifecycle!.postStart!, container, at);
    if (error === undefined) return;
    tell("Warning", "FailedPostStartHook", `PostStartHook failed: ${error}`);
    tell("Normal", "Killing", "FailedPostStartHook");
    await runtime.stopContainer(containerId, pod.spec!.terminationGracePeriodSeconds ?? 30);
  }
}

/** Differs: upstream lets a postStart hook run for ever; a lab prefers to see that it hangs. */
const hookTimeoutMs = 120_000;

async function attempt<T>(reason: string, tell: TellEvent, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (cause) {
    const { message } = cause as Error;
    tell("Warning", "Failed", `Error: ${message}`);
    throw new StartError({ reason, message, retryAtMs: 0 }, { cause });
  }
}
