import { mkdirSync } from "node:fs";
import { Code, GrpcError } from "../../net/grpc-error.ts";
import type { Handlers } from "../../net/grpc-server.ts";
import {
  ContainerEventType,
  NamespaceMode,
  type PodSandboxConfig,
  type RuntimeServiceService,
} from "../../proto/generated/runtime.v1.ts";
import { allocate } from "./ipam.ts";
import type { SandboxRecord } from "./records.ts";
import type { Runtime } from "./runtime.ts";
import type { Sandbox } from "./sandbox.ts";
import { containerStatus, listedSandbox, matchesLabels, nanoseconds, sandboxStatus } from "./status.ts";

/** CRI's rpcs about Pod sandboxes; codes and texts are containerd's. */
export function sandboxHandlers(runtime: Runtime): Handlers<typeof RuntimeServiceService> {
  const { log, clock } = runtime.options;
  const emit = (sandbox: Sandbox, type: ContainerEventType) => runtime.emit(sandbox.id, type, sandbox.id);
  return {
    async RunPodSandbox({ config, runtimeHandler }) {
      const sandbox = reserve(runtime, config, runtimeHandler);
      return runtime.locked(sandbox.id, async () => {
        try {
          await sandbox.start(runtime.options.nodeIp);
        } catch (error) {
          await sandbox.stop();
          sandbox.remove();
          runtime.sandboxes.delete(sandbox.id);
          throw new GrpcError(Code.Unknown, (error as Error).message, { cause: error });
        }
        const { metadata } = sandbox.record.config;
        log.info({ podSandboxId: sandbox.id, pod: metadata?.name, ip: sandbox.record.ip }, "Sandbox is ready");
        emit(sandbox, ContainerEventType.CONTAINER_CREATED_EVENT);
        emit(sandbox, ContainerEventType.CONTAINER_STARTED_EVENT);
        return { podSandboxId: sandbox.id };
      });
    },

    async StopPodSandbox({ podSandboxId }) {
      const sandbox = runtime.findSandbox(podSandboxId);
      if (sandbox !== undefined) await runtime.locked(sandbox.id, () => stopSandbox(runtime, sandbox));
      return {};
    },

    async RemovePodSandbox({ podSandboxId }) {
      const sandbox = runtime.findSandbox(podSandboxId);
      if (sandbox === undefined) return {};
      await runtime.locked(sandbox.id, async () => {
        await stopSandbox(runtime, sandbox);
        for (const container of runtime.containersOf(sandbox.id)) {
          await container.remove();
          runtime.containers.delete(container.id);
        }
        sandbox.remove();
        emit(sandbox, ContainerEventType.CONTAINER_DELETED_EVENT);
        runtime.sandboxes.delete(sandbox.id);
      });
      return {};
    },

    PodSandboxStatus({ podSandboxId, verbose }) {
      const sandbox = runtime.findSandbox(podSandboxId);
      if (sandbox === undefined)
        throw new GrpcError(Code.NotFound, "an error occurred when try to find sandbox: not found");
      const info = JSON.stringify({
        pid: sandbox.pause?.pid ?? 0,
        processStatus: sandbox.ready ? "running" : "stopped",
      });
      return {
        status: sandboxStatus(sandbox),
        info: verbose ? { info } : {},
        containersStatuses: runtime.containersOf(sandbox.id).map((container) => containerStatus(container)),
        timestamp: nanoseconds(clock.now()),
      };
    },

    ListPodSandbox({ filter }) {
      const items = [...runtime.sandboxes.values()]
        .filter((sandbox) => !filter?.id || sandbox === runtime.findSandbox(filter.id))
        .filter((sandbox) => matchesLabels(sandbox.record.config.labels, filter?.labelSelector))
        .map(listedSandbox)
        .filter((item) => filter?.state === undefined || item.state === filter.state.state);
      return { items };
    },
  } as Handlers<typeof RuntimeServiceService>;
}

/** Kills the containers, ends the pause process, gives the network back. Idempotent. */
export async function stopSandbox(runtime: Runtime, sandbox: Sandbox): Promise<void> {
  const wasReady = sandbox.ready;
  await Promise.all(
    runtime.containersOf(sandbox.id).map(async (container) => {
      if (container.shim === undefined) return;
      container.kill();
      await container.stopped;
    }),
  );
  await sandbox.stop();
  if (wasReady) runtime.emit(sandbox.id, ContainerEventType.CONTAINER_STOPPED_EVENT, sandbox.id);
}

/** Takes name and address, and writes them down: from here on the sandbox exists. */
function reserve(runtime: Runtime, config: PodSandboxConfig | undefined, runtimeHandler: string): Sandbox {
  const metadata = config?.metadata;
  if (config === undefined || metadata === undefined)
    throw new GrpcError(Code.InvalidArgument, "sandbox config must include metadata");
  if (runtimeHandler !== "")
    throw new GrpcError(
      Code.Unknown,
      `failed to get sandbox runtime: no runtime for "${runtimeHandler}" is configured`,
    );
  const options = config.linux?.securityContext?.namespaceOptions;
  // Differs: every container has a PID namespace of its own, also when the Pod asks to share one.
  if (options?.pid === NamespaceMode.NODE || options?.ipc === NamespaceMode.NODE)
    throw new GrpcError(Code.Unimplemented, "hostPID and hostIPC are not supported");
  const name = sandboxName(config);
  for (const { record } of runtime.sandboxes.values()) {
    if (sandboxName(record.config) === name)
      throw new GrpcError(
        Code.Unknown,
        `failed to reserve sandbox name "${name}": name "${name}" is reserved for "${record.id}"`,
      );
  }
  const hostNetwork = options?.network === NamespaceMode.NODE;
  const id = runtime.newId();
  const record: SandboxRecord = {
    id,
    config,
    runtimeHandler,
    createdAtMs: runtime.options.clock.now(),
    ip: hostNetwork ? "" : takeAddress(runtime, id),
    hostNetwork,
    stopped: false,
  };
  mkdirSync(runtime.sandboxDir(id), { mode: 0o700 });
  const sandbox = runtime.addSandbox(record);
  sandbox.save();
  return sandbox;
}

function takeAddress(runtime: Runtime, id: string): string {
  if (runtime.podCidr === undefined)
    throw new GrpcError(Code.Unknown, `failed to setup network for sandbox "${id}": no podCIDR yet`);
  const all = [...runtime.sandboxes.values()];
  const latest = all.reduce<Sandbox | undefined>(
    (best, each) => (each.record.ip !== "" && each.record.createdAtMs >= (best?.record.createdAtMs ?? 0) ? each : best),
    undefined,
  );
  const used = new Set(all.filter((each) => each.holdsAddress).map((each) => each.record.ip));
  const ip = allocate(runtime.podCidr, used, latest?.record.ip);
  if (ip === undefined)
    throw new GrpcError(
      Code.Unknown,
      `failed to setup network for sandbox "${id}": no IP addresses available in range set: ${runtime.podCidr.text}`,
    );
  return ip;
}

function sandboxName({ metadata }: PodSandboxConfig): string {
  return [metadata?.name, metadata?.namespace, metadata?.uid, metadata?.attempt].join("_");
}
