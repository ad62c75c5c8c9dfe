import type { Container, Pod, PodSpec, PodStatus } from "../../api/generated/core-v1.ts";
import type { ContainerInfo, Sandbox } from "../cri-runtime.ts";
import { hashOf } from "../pod-actions.ts";

/** Short ways to write Pods, sandboxes and containers in tables of tests. */
export const t0 = Date.parse("2026-01-01T00:00:00Z");

export function podOf(spec: Partial<PodSpec> = {}, status: PodStatus = {}): Pod {
  return {
    metadata: { name: "web", namespace: "default", uid: "u1" },
    spec: { restartPolicy: "Always", containers: [container("main")], ...spec },
    status,
  };
}

export function container(name: string, more: Partial<Container> = {}): Container {
  return { name, image: "kubelab/echo:v1", ...more };
}

export function sandbox(attempt = 0, ready = true): Sandbox {
  return {
    id: `s${attempt}`,
    podName: "web",
    podNamespace: "default",
    attempt,
    ready,
    createdAtMs: t0 + attempt,
    ips: ["10.244.1.2"],
  };
}

/** `info("main")` runs in sandbox s0; `info("main", { exit: 1, endedAgoMs: 500 })` has ended. */
export function info(
  name: string,
  options: { exit?: number; endedMs?: number; count?: number; in?: string; state?: ContainerInfo["state"] } = {},
): ContainerInfo {
  const { exit, endedMs = 0, count = 0, in: sandboxId = "s0" } = options;
  return {
    id: `${name}-${count}`,
    sandboxId,
    name,
    restartCount: count,
    state: options.state ?? (exit === undefined ? "running" : "exited"),
    createdAtMs: t0,
    startedAtMs: t0,
    finishedAtMs: exit === undefined ? 0 : t0 + endedMs,
    exitCode: exit ?? 0,
    reason: "",
    message: "",
    image: "kubelab/echo:v1",
    imageId: "image-1",
    hash: hashOf(container(name)),
    gracePeriodSeconds: 30,
    logPath: `/logs/${name}/${count}.log`,
  };
}
