import { join } from "node:path";
import type { Container, Pod } from "../api/generated/core-v1.ts";
import { quantityToMilli, quantityToNumber } from "../apimachinery/quantity.ts";
import {
  type ContainerConfig,
  type LinuxContainerConfig,
  type Mount,
  NamespaceMode,
  type PodSandboxConfig,
  Protocol,
} from "../proto/generated/runtime.v1.ts";
import type { Init } from "../proto/wire.ts";
import { annotation, label } from "./cri-runtime.ts";
import { expand } from "./env.ts";
import { hashOf } from "./pod-actions.ts";

/** Where a Pod's logs are: `ROOT/pods-logs/NAMESPACE_NAME_UID/CONTAINER/N.log`, upstream's layout of /var/log/pods. */
export function podLogDirectory(rootDir: string, { metadata }: Pick<Pod, "metadata">): string {
  return join(rootDir, "pods-logs", `${metadata.namespace}_${metadata.name}_${metadata.uid}`);
}

export const podDirectory = (rootDir: string, uid: string): string => join(rootDir, "pods", uid);

/** What the runtime is told of a Pod. Pure. */
export function sandboxConfig(pod: Pod, attempt: number, rootDir: string): Init<PodSandboxConfig> {
  const { metadata } = pod;
  const spec = pod.spec!;
  const { dnsConfig } = spec;
  return {
    metadata: { name: metadata.name, namespace: metadata.namespace!, uid: metadata.uid!, attempt },
    hostname: spec.hostNetwork ? "" : (spec.hostname ?? metadata.name).slice(0, 63).replace(/[-.]+$/, ""),
    logDirectory: podLogDirectory(rootDir, pod),
    ...(dnsConfig && {
      dnsConfig: {
        servers: dnsConfig.nameservers ?? [],
        searches: dnsConfig.searches ?? [],
        options: (dnsConfig.options ?? []).map(({ name = "", value }) => (value ? `${name}:${value}` : name)),
      },
    }),
    portMappings: spec.containers.flatMap(({ ports = [] }) =>
      ports.map(({ protocol = "TCP", containerPort, hostPort = 0, hostIP = "" }) => ({
        protocol: Protocol[protocol],
        containerPort,
        hostPort,
        hostIp: hostIP,
      })),
    ),
    labels: { ...metadata.labels, ...podLabels(pod) },
    annotations: { ...metadata.annotations },
    linux: { securityContext: { namespaceOptions: namespaceOptions(pod), ...identity(pod) } },
  };
}

export function containerConfig(
  pod: Pod,
  container: Container,
  restartCount: number,
  env: ReadonlyMap<string, string>,
  mounts: Init<Mount>[],
): Init<ContainerConfig> {
  const lookup = (name: string) => env.get(name);
  const image = container.image ?? "";
  const security = container.securityContext ?? {};
  const linux: Init<LinuxContainerConfig> = {
    resources: resourcesOf(container),
    securityContext: {
      namespaceOptions: namespaceOptions(pod),
      ...identity(pod, container),
      privileged: security.privileged ?? false,
      readonlyRootfs: security.readOnlyRootFilesystem ?? false,
      noNewPrivs: security.allowPrivilegeEscalation === false,
      ...(security.capabilities && {
        capabilities: {
          addCapabilities: security.capabilities.add ?? [],
          dropCapabilities: security.capabilities.drop ?? [],
        },
      }),
    },
  };
  return {
    metadata: { name: container.name, attempt: restartCount },
    image: { image, userSpecifiedImage: image },
    command: (container.command ?? []).map((text) => expand(text, lookup)),
    args: (container.args ?? []).map((text) => expand(text, lookup)),
    workingDir: container.workingDir ?? "",
    envs: [...env].map(([key, value]) => ({ key, value: Buffer.from(value) })),
    mounts,
    labels: { ...podLabels(pod), [label.containerName]: container.name },
    annotations: {
      [annotation.hash]: hashOf(container),
      [annotation.restartCount]: String(restartCount),
      [annotation.gracePeriod]: String(pod.spec!.terminationGracePeriodSeconds ?? 30),
    },
    logPath: join(container.name, `${restartCount}.log`),
    stdin: container.stdin ?? false,
    stdinOnce: container.stdinOnce ?? false,
    tty: container.tty ?? false,
    linux,
  };
}

function podLabels({ metadata }: Pod): Record<string, string> {
  return {
    [label.podName]: metadata.name,
    [label.podNamespace]: metadata.namespace!,
    [label.podUid]: metadata.uid!,
  };
}

function namespaceOptions({ spec }: Pod): { network: number; pid: number; ipc: number } {
  return {
    network: spec!.hostNetwork ? NamespaceMode.NODE : NamespaceMode.POD,
    pid: spec!.hostPID ? NamespaceMode.NODE : spec!.shareProcessNamespace ? NamespaceMode.POD : NamespaceMode.CONTAINER,
    ipc: spec!.hostIPC ? NamespaceMode.NODE : NamespaceMode.POD,
  };
}

/** The container's own user and groups win over the Pod's. */
function identity({ spec }: Pod, container?: Container) {
  const ofPod = spec!.securityContext ?? {};
  const runAsUser = container?.securityContext?.runAsUser ?? ofPod.runAsUser;
  const runAsGroup = container?.securityContext?.runAsGroup ?? ofPod.runAsGroup;
  const groups = [...(ofPod.supplementalGroups ?? []), ...(ofPod.fsGroup === undefined ? [] : [ofPod.fsGroup])];
  return {
    ...(runAsUser !== undefined && { runAsUser: { value: runAsUser } }),
    ...(runAsGroup !== undefined && { runAsGroup: { value: runAsGroup } }),
    supplementalGroups: groups,
  };
}

const cpuPeriodUs = 100_000;
const minShares = 2;
const minQuotaUs = 1000;

/** Requests become shares, limits a quota and a memory limit, by upstream's arithmetic (1 CPU = 1024 shares). */
function resourcesOf({ resources = {} }: Container) {
  const milli = (text: string | undefined) => (text === undefined ? 0 : quantityToMilli(text));
  const limit = milli(resources.limits?.["cpu"]);
  const request = milli(resources.requests?.["cpu"]) || limit;
  return {
    cpuPeriod: limit > 0 ? cpuPeriodUs : 0,
    cpuQuota: limit > 0 ? Math.max(minQuotaUs, (limit * cpuPeriodUs) / 1000) : 0,
    cpuShares: Math.max(minShares, Math.floor((request * 1024) / 1000)),
    memoryLimitInBytes: resources.limits?.["memory"] === undefined ? 0 : quantityToNumber(resources.limits["memory"]),
  };
}
