import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { Code, GrpcError } from "../../net/grpc-error.ts";
import type { Handlers } from "../../net/grpc-server.ts";
import {
  type ContainerConfig,
  ContainerEventType,
  ContainerState,
  type ContainerStats,
  type PodSandboxConfig,
  type RuntimeServiceService,
} from "../../proto/generated/runtime.v1.ts";
import type { Init } from "../../proto/wire.ts";
import { mergeEnv, resolveCommand } from "./command.ts";
import { type Container, hostMarker } from "./container.ts";
import { removeTree, writeJson } from "./fs.ts";
import { imageEnv } from "./images.ts";
import { prepareContainer, stopSignal } from "./prepare.ts";
import type { ContainerRecord } from "./records.ts";
import { run } from "./run.ts";
import type { Runtime } from "./runtime.ts";
import type { Sandbox } from "./sandbox.ts";
import { containerStatus, listedContainer, matchesLabels, nanoseconds } from "./status.ts";

/** CRI's rpcs about containers; codes and texts are containerd's. */
export function containerHandlers(runtime: Runtime): Handlers<typeof RuntimeServiceService> {
  const { clock } = runtime.options;
  const emit = ({ id, record }: Container, type: ContainerEventType) => runtime.emit(id, type, record.sandboxId);
  return {
    async CreateContainer({ podSandboxId, config, sandboxConfig }) {
      const sandbox = runtime.findSandbox(podSandboxId);
      if (sandbox === undefined)
        throw new GrpcError(Code.NotFound, `failed to find sandbox id "${podSandboxId}": not found`);
      const record = makeRecord(runtime, sandbox, config, sandboxConfig);
      const container = runtime.addContainer(record);
      try {
        mkdirSync(`${container.dir}/io`, { recursive: true, mode: 0o700 });
        const fifos = ["stdout", "stderr"].map((stream) => `${container.dir}/io/${stream}`);
        const { ok, problem } = await run("mkfifo", ["-m", "0666", ...fifos]);
        if (!ok) throw new GrpcError(Code.Unknown, `failed to create container "${record.id}": ${problem}`);
        writeJson(`${container.dir}/container.json`, record); // now it exists
      } catch (error) {
        runtime.containers.delete(record.id);
        removeTree(container.dir);
        throw error;
      }
      emit(container, ContainerEventType.CONTAINER_CREATED_EVENT);
      return { containerId: record.id };
    },

    async StartContainer({ containerId }) {
      const container = runtime.mustFindContainer(containerId);
      await runtime.locked(container.record.sandboxId, () => startContainer(runtime, container));
      emit(container, ContainerEventType.CONTAINER_STARTED_EVENT);
      return {};
    },

    async StopContainer({ containerId, timeout }) {
      const container = runtime.findContainer(containerId);
      if (container !== undefined) await stopContainer(runtime, container, timeout * 1000);
      return {};
    },

    async RemoveContainer({ containerId }) {
      const container = runtime.findContainer(containerId);
      if (container === undefined) return {};
      await runtime.locked(container.record.sandboxId, async () => {
        await stopContainer(runtime, container, 0);
        await container.remove();
      });
      emit(container, ContainerEventType.CONTAINER_DELETED_EVENT);
      runtime.containers.delete(container.id);
      return {};
    },

    ListContainers({ filter }) {
      const containers = [...runtime.containers.values()]
        .filter((container) => !filter?.id || container === runtime.findContainer(filter.id))
        .filter(({ record }) => !filter?.podSandboxId || record.sandboxId.startsWith(filter.podSandboxId))
        .filter(({ record }) => matchesLabels(record.config.labels, filter?.labelSelector))
        .map(listedContainer)
        .filter((item) => filter?.state === undefined || item.state === filter.state.state);
      return { containers };
    },

    ContainerStatus({ containerId, verbose }) {
      const container = runtime.mustFindContainer(containerId);
      const { sandboxId } = container.record;
      const info = JSON.stringify({ sandboxID: sandboxId, pid: container.result ? 0 : (container.init?.pid ?? 0) });
      return { status: containerStatus(container), info: verbose ? { info } : {} };
    },

    ReopenContainerLog({ containerId }) {
      const container = runtime.mustFindContainer(containerId);
      if (container.state !== ContainerState.CONTAINER_RUNNING)
        throw new GrpcError(Code.Unknown, "container is not running");
      container.reopenLog();
      return {};
    },

    ContainerStats({ containerId }) {
      return { stats: stats(runtime.mustFindContainer(containerId)) };
    },

    ListContainerStats({ filter }) {
      const chosen = [...runtime.containers.values()].filter(
        ({ id, state, record }) =>
          state === ContainerState.CONTAINER_RUNNING &&
          id.startsWith(filter?.id ?? "") &&
          record.sandboxId.startsWith(filter?.podSandboxId ?? "") &&
          matchesLabels(record.config.labels, filter?.labelSelector),
      );
      return { stats: chosen.map(stats) };
    },
  } as Handlers<typeof RuntimeServiceService>;

  function stats({ id, record }: Container): Init<ContainerStats> {
    const timestamp = nanoseconds(clock.now());
    const { cpuNanoseconds, memoryBytes, workingSetBytes } = runtime.options.cgroups.stats(id);
    const value = (number: number | undefined) => (number === undefined ? undefined : { value: number });
    const { metadata, labels, annotations } = record.config;
    return {
      attributes: { id, metadata, labels, annotations },
      ...(cpuNanoseconds === undefined ? {} : { cpu: { timestamp, usageCoreNanoSeconds: value(cpuNanoseconds) } }),
      ...(memoryBytes === undefined
        ? {}
        : { memory: { timestamp, usageBytes: value(memoryBytes), workingSetBytes: value(workingSetBytes) } }),
    };
  }
}

async function startContainer(runtime: Runtime, container: Container): Promise<void> {
  const { id, record, state } = container;
  if (state !== ContainerState.CONTAINER_CREATED) {
    const name = Object.entries(ContainerState).find(([, value]) => value === state)![0];
    throw new GrpcError(
      Code.Unknown,
      `failed to set starting state for container "${id}": container is in ${name} state`,
    );
  }
  const sandbox = runtime.sandboxes.get(record.sandboxId);
  if (sandbox === undefined || !sandbox.ready)
    throw new GrpcError(Code.Unknown, `sandbox container "${record.sandboxId}" is not running`);
  const fail = (why: string, cause?: unknown) => {
    const words = `failed to create containerd task: failed to create shim task: OCI runtime create failed: ${why}`;
    return new GrpcError(Code.Unknown, words, { cause });
  };
  let problem: string | undefined;
  try {
    prepareContainer(runtime, container, sandbox, runtime.options.images.pull(record.image.id));
    problem = await container.start();
  } catch (error) {
    container.fail((error as Error).message);
    throw fail((error as Error).message, error);
  }
  if (problem !== undefined) throw fail(`unable to start container process: ${problem}: unknown`);
}

/** The stop signal, then SIGKILL when it has not ended after `graceMs`. Returns when it has ended. */
export async function stopContainer(runtime: Runtime, container: Container, graceMs: number): Promise<void> {
  if (container.state !== ContainerState.CONTAINER_RUNNING) return;
  if (graceMs > 0) {
    container.signal(stopSignal(container.record.config.stopSignal));
    let cancel = () => {};
    const grace = new Promise<void>((resolve) => {
      cancel = runtime.options.clock.after(graceMs, resolve);
    });
    await Promise.race([container.stopped, grace]);
    cancel();
  }
  if (container.result === undefined) container.kill();
  await container.stopped;
}

function makeRecord(
  runtime: Runtime,
  sandbox: Sandbox,
  config: ContainerConfig | undefined,
  sandboxConfig: PodSandboxConfig | undefined,
): ContainerRecord {
  const { metadata, image: spec } = config ?? {};
  if (config === undefined || metadata === undefined)
    throw new GrpcError(Code.InvalidArgument, "container config must include metadata");
  if (!sandbox.ready) throw new GrpcError(Code.Unknown, `sandbox container "${sandbox.id}" is not running`);
  if (config.tty) throw new GrpcError(Code.Unimplemented, "tty is not supported");
  const same = runtime
    .containersOf(sandbox.id)
    .find(
      ({ record }) =>
        record.config.metadata?.name === metadata.name && record.config.metadata?.attempt === metadata.attempt,
    );
  if (same !== undefined)
    throw new GrpcError(
      Code.Unknown,
      `failed to reserve container name "${metadata.name}": name "${metadata.name}" is reserved for "${same.id}"`,
    );
  const image = runtime.options.images.find(spec?.image ?? "");
  if (image === undefined)
    throw new GrpcError(Code.NotFound, `failed to get image from containerd "${spec?.image}": not found`);
  const argv = resolveCommand(image, config.command, config.args);
  if (argv.length === 0) throw new GrpcError(Code.Unknown, "no command specified");
  const { hostMode } = runtime;
  const { hostname } = sandbox.record.config;
  const { ip } = sandbox.record;
  const id = runtime.newId();
  const asRoot = (config.linux?.securityContext?.runAsUser?.value ?? 0) === 0;
  const home = hostMode ? `${runtime.containerDir(id)}/work` : asRoot ? "/root" : "/";
  const env = mergeEnv(
    imageEnv(image),
    [["HOME", home], ...(hostname ? [["HOSTNAME", hostname] as [string, string]] : [])],
    // Nobody can own a port on all addresses where Pods share the machine's: programs are told theirs.
    hostMode
      ? [
          ["POD_IP", ip],
          ["HOST", ip],
        ]
      : [],
    config.envs.map(({ key, value }) => [key, Buffer.from(value).toString()]),
    hostMode ? [hostMarker(id)] : [],
  );
  const logDirectory = sandboxConfig?.logDirectory || sandbox.record.config.logDirectory;
  return {
    id,
    sandboxId: sandbox.id,
    config: { ...config, envs: [] },
    env,
    argv,
    workingDir: config.workingDir || image.workingDir,
    image: { reference: image.reference, id: image.id },
    logPath: logDirectory && config.logPath ? join(logDirectory, config.logPath) : "",
    createdAtMs: runtime.options.clock.now(),
  };
}
