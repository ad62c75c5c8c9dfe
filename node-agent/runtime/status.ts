import {
  type ContainerStatus,
  type Container as CriContainer,
  NamespaceMode,
  type PodSandbox,
  PodSandboxState,
  type PodSandboxStatus,
} from "../../proto/generated/runtime.v1.ts";
import type { Init } from "../../proto/wire.ts";
import type { Container } from "./container.ts";
import type { Sandbox } from "./sandbox.ts";

/** Sandboxes and containers in CRI's words. Times there are nanoseconds. */
export function sandboxStatus(sandbox: Sandbox): Init<PodSandboxStatus> {
  const { record } = sandbox;
  const options = record.config.linux?.securityContext?.namespaceOptions;
  return {
    ...listedSandbox(sandbox),
    // Empty for a Pod on the node's network: the agent knows that address.
    network: { ip: record.stopped ? "" : record.ip, additionalIps: [] },
    linux: { namespaces: { options: options ?? { network: NamespaceMode.POD, pid: NamespaceMode.CONTAINER } } },
  };
}

export function listedSandbox({ record, ready }: Sandbox): Init<PodSandbox> {
  const { metadata, labels, annotations } = record.config;
  return {
    id: record.id,
    metadata,
    state: ready ? PodSandboxState.SANDBOX_READY : PodSandboxState.SANDBOX_NOTREADY,
    createdAt: nanoseconds(record.createdAtMs),
    labels,
    annotations,
    runtimeHandler: record.runtimeHandler,
  };
}

export function containerStatus(container: Container): Init<ContainerStatus> {
  const { record, result } = container;
  const { mounts, linux, stopSignal } = record.config;
  return {
    ...listedContainer(container),
    startedAt: nanoseconds(container.startedAtMs),
    finishedAt: nanoseconds(result?.finishedAtMs ?? 0),
    exitCode: result?.exitCode ?? 0,
    reason: result?.reason ?? "",
    message: result?.message ?? "",
    mounts,
    logPath: record.logPath,
    resources: { linux: linux?.resources },
    stopSignal,
  };
}

export function listedContainer(container: Container): Init<CriContainer> {
  const { record, state } = container;
  const { metadata, labels, annotations } = record.config;
  return {
    id: record.id,
    podSandboxId: record.sandboxId,
    metadata,
    image: { image: record.image.reference },
    imageRef: record.image.id,
    imageId: record.image.id,
    state,
    createdAt: nanoseconds(record.createdAtMs),
    labels,
    annotations,
  };
}

export function matchesLabels(labels: Record<string, string>, selector: Record<string, string> | undefined): boolean {
  return Object.entries(selector ?? {}).every(([key, value]) => labels[key] === value);
}

export const nanoseconds = (ms: number): bigint => BigInt(Math.trunc(ms * 1000)) * 1000n;
