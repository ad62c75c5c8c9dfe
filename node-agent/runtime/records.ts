import type { ContainerConfig, PodSandboxConfig } from "../../proto/generated/runtime.v1.ts";

/**
 * What lies on disk under --root-dir, one directory per sandbox and per container. It is the only truth: a runtime that is
 * started again reads it and goes on. Written once and whole unless said otherwise; a process records itself.
 *
 *   runtime.json                  { podCidr }
 *   sandboxes/ID/sandbox.json     SandboxRecord, rewritten when stopped
 *               pause             /proc/PID/stat of the pause process
 *               netns             the network namespace, pinned by a bind mount
 *   containers/ID/container.json  ContainerRecord
 *                shim, init       /proc/PID/stat of the shim, and of the container's first process
 *                status           "ok" once the program was started, else why it was not
 *                io/std{out,err}  FIFOs, apart since each write to one is an event of its directory
 *                exit             exit code, by the shim
 *                result.json      ContainerResult, once logs are drained and everything is cleaned up
 */
export interface SandboxRecord {
  id: string;
  config: PodSandboxConfig;
  runtimeHandler: string;
  createdAtMs: number;
  /** Empty for a Pod on the node's network. */
  ip: string;
  hostNetwork: boolean;
  stopped: boolean;
}

export interface ContainerRecord {
  id: string;
  sandboxId: string;
  /** `envs` are in `env`: JSON has no bytes. */
  config: ContainerConfig;
  env: [string, string][];
  argv: string[];
  workingDir: string;
  image: { reference: string; id: string };
  /** Absolute; empty when nobody asked for a log. */
  logPath: string;
  createdAtMs: number;
}

export interface ContainerResult {
  exitCode: number;
  /** Completed, Error, OOMKilled, StartError or Unknown: containerd's words. */
  reason: string;
  message: string;
  startedAtMs: number;
  finishedAtMs: number;
}
