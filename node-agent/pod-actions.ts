import { createHash } from "node:crypto";
import { isPodTerminal, isSidecar } from "../api/core/pod-status.ts";
import type { Container, ContainerStatus, Pod } from "../api/generated/core-v1.ts";
import type { ContainerInfo, PodRuntime, Sandbox } from "./cri-runtime.ts";
import { durationText, type RestartBackoff, restartAtMs } from "./restart-backoff.ts";

/**
 * What a Pod that should run needs next, decided from its spec and what the runtime has. Pure. The worker carries the
 * actions out in order, looks again, and asks again, until there is nothing left to do.
 */
export interface PodView {
  pod: Pod;
  runtime: PodRuntime;
  nowMs: number;
  /** Running containers that a liveness or startup probe gave up on, by id, with the message of the event. */
  unhealthy: ReadonlyMap<string, string>;
  /** Ids of running containers whose startup probe has passed, or that have none. */
  started: ReadonlySet<string>;
  /** Containers whose last start failed, and when to try again. `sandbox` is the name for the Pod itself. */
  startFailures: ReadonlyMap<string, StartFailure>;
  backoff: ReadonlyMap<string, RestartBackoff>;
}

export interface StartFailure {
  /** Empty: the container is only being created, like upstream while volumes or network are not there. */
  reason: string;
  message: string;
  retryAtMs: number;
}

export const sandboxKey = "";

export type Action =
  | { type: "CreateSandbox"; attempt: number }
  | { type: "StartContainer"; container: Container; sandbox: Sandbox; restartCount: number; last?: ContainerInfo }
  | { type: "KillContainer"; container: ContainerInfo; message: string }
  | { type: "StopSandbox"; sandbox: Sandbox }
  | { type: "RemoveContainer"; container: ContainerInfo }
  | { type: "RemoveSandbox"; sandbox: Sandbox };

export interface Decision {
  actions: Action[];
  /** Why a container that should run does not, by name: its `state.waiting`. */
  waiting: Map<string, { reason: string; message: string }>;
  /** When to look again though nothing changes. */
  wakeAtMs: number | undefined;
  /** The Pod failed as a whole. */
  failed?: { reason: string; message: string };
}

/** Dead containers kept of each name: the last run, and the one before for `kubectl logs --previous`. */
const deadKept = 2;

export function podActions(view: PodView): Decision {
  const decider = new Decider(view);
  decider.decide();
  return decider.decision;
}

class Decider {
  readonly decision: Decision = { actions: [], waiting: new Map(), wakeAtMs: undefined };
  readonly #view: PodView;
  readonly #latest: Map<string, ContainerInfo>;

  constructor(view: PodView) {
    this.#view = view;
    this.#latest = latestByName(view.runtime.containers);
  }

  decide(): void {
    const { pod, runtime } = this.#view;
    const sandbox = runtime.sandboxes[0];
    const failed = pastDeadline(this.#view, (atMs) => this.#wakeAt(atMs));
    if (failed !== undefined) this.decision.failed = failed;
    if (failed !== undefined || isPodTerminal(pod) || this.#isOver(sandbox)) return this.#stopAll("");
    this.#collectGarbage();
    if (sandbox === undefined || !sandbox.ready) this.#needSandbox(sandbox);
    else if (this.#initialized(sandbox)) {
      for (const container of pod.spec!.containers) this.#keep(container, sandbox, pod.spec!.restartPolicy ?? "Always");
    }
  }

  /** All containers have ended for good, or an init container has failed for good. */
  #isOver(sandbox: Sandbox | undefined): boolean {
    const { pod } = this.#view;
    const policy = pod.spec!.restartPolicy ?? "Always";
    if (policy === "Always") return false;
    const ran = pod.spec!.containers.some(({ name }) => this.#latest.has(name));
    if (!ran && policy === "Never" && sandbox !== undefined) {
      const failed = (pod.spec!.initContainers ?? []).some((init) => {
        const last = this.#latest.get(init.name);
        return !isSidecar(init) && last?.state === "exited" && last.exitCode !== 0;
      });
      if (failed) return true;
    }
    return pod.spec!.containers.every(({ name }) => !this.#mayRun(name, policy));
  }

  #mayRun(name: string, policy: string): boolean {
    const last = this.#latest.get(name);
    if (last !== undefined) return last.state !== "exited" || shouldRestart(policy, last.exitCode);
    // The runtime knows nothing of it: new, or lost with the runtime's state.
    const known = knownStatus(this.#view.pod, name);
    if (known?.containerID === undefined) return true;
    return shouldRestart(policy, known.state?.terminated?.exitCode ?? 137);
  }

  #needSandbox(old: Sandbox | undefined): void {
    const message = "Pod sandbox changed, it will be killed and re-created.";
    const running = this.#view.runtime.containers.filter(isUp);
    if (running.length > 0) return this.#stopAll(message);
    if (this.#delayed(sandboxKey)) return;
    this.decision.actions.push({ type: "CreateSandbox", attempt: old === undefined ? 0 : old.attempt + 1 });
  }

  /** Starts init containers one after the other; true when the Pod's containers may start. */
  #initialized(sandbox: Sandbox): boolean {
    const { pod, started } = this.#view;
    const policy = pod.spec!.restartPolicy ?? "Always";
    // Once a container of the Pod was started here, the init containers had succeeded; they may have been removed since.
    const past = pod.spec!.containers.some(({ name }) => this.#latest.get(name)?.sandboxId === sandbox.id);
    for (const init of pod.spec!.initContainers ?? []) {
      const last = this.#latest.get(init.name);
      const here = last?.sandboxId === sandbox.id ? last : undefined;
      if (isSidecar(init)) {
        this.#keep(init, sandbox, "Always");
        if (!past && !(here?.state === "running" && started.has(here.id))) return false;
      } else if (!past && !(here?.state === "exited" && here.exitCode === 0)) {
        this.#keep(init, sandbox, here === undefined ? "Always" : policy === "Never" ? "Never" : "OnFailure");
        return false;
      }
    }
    return true;
  }

  /** One container: started, restarted, killed, or left alone. */
  #keep(container: Container, sandbox: Sandbox, policy: string): void {
    const { unhealthy, backoff, nowMs, pod } = this.#view;
    const { actions, waiting } = this.decision;
    const last = this.#latest.get(container.name);
    if (last !== undefined && isUp(last)) {
      const message = unhealthy.get(last.id) ?? whyRestart(last, container);
      if (message !== undefined) actions.push({ type: "KillContainer", container: last, message });
      return;
    }
    if (!this.#mayRun(container.name, policy) || this.#delayed(container.name)) return;
    if (last?.state === "exited") {
      const atMs = restartAtMs(backoff.get(container.name), last.finishedAtMs);
      if (atMs > nowMs) {
        const delay = durationText(backoff.get(container.name)!.delayMs);
        const podText = `${pod.metadata.name}_${pod.metadata.namespace}(${pod.metadata.uid})`;
        const message = `back-off ${delay} restarting failed container=${container.name} pod=${podText}`;
        waiting.set(container.name, { reason: "CrashLoopBackOff", message });
        return this.#wakeAt(atMs);
      }
    }
    if (last?.state === "created") actions.push({ type: "RemoveContainer", container: last }); // never got started
    const known = knownStatus(pod, container.name);
    const runs = last === undefined ? (known?.containerID ? known.restartCount + 1 : 0) : last.restartCount + 1;
    const restartCount = last?.state === "created" ? last.restartCount : runs;
    actions.push({ type: "StartContainer", container, sandbox, restartCount, ...(last && { last }) });
  }

  /** True while a failed start has to wait. */
  #delayed(name: string): boolean {
    const failure = this.#view.startFailures.get(name);
    if (failure === undefined) return false;
    if (name !== sandboxKey && failure.reason !== "") this.decision.waiting.set(name, failure);
    if (failure.retryAtMs <= this.#view.nowMs) return false;
    this.#wakeAt(failure.retryAtMs);
    return true;
  }

  #stopAll(message: string): void {
    const { actions } = this.decision;
    const { containers, sandboxes } = this.#view.runtime;
    for (const container of containers.filter(isUp)) actions.push({ type: "KillContainer", container, message });
    if (actions.length > 0) return;
    for (const sandbox of sandboxes.filter(({ ready }) => ready)) actions.push({ type: "StopSandbox", sandbox });
  }

  #collectGarbage(): void {
    const { containers, sandboxes } = this.#view.runtime;
    const dead = new Map<string, number>();
    for (const container of containers.filter((each) => !isUp(each))) {
      const rank = (dead.get(container.name) ?? 0) + 1;
      dead.set(container.name, rank);
      if (rank > deadKept) this.decision.actions.push({ type: "RemoveContainer", container });
    }
    for (const sandbox of sandboxes.slice(1)) {
      if (sandbox.ready) this.decision.actions.push({ type: "StopSandbox", sandbox });
      else if (!containers.some(({ sandboxId }) => sandboxId === sandbox.id))
        this.decision.actions.push({ type: "RemoveSandbox", sandbox });
    }
  }

  #wakeAt(atMs: number): void {
    this.decision.wakeAtMs = Math.min(this.decision.wakeAtMs ?? Number.POSITIVE_INFINITY, atMs);
  }
}

export function latestByName(newestFirst: readonly ContainerInfo[]): Map<string, ContainerInfo> {
  const latest = new Map<string, ContainerInfo>();
  for (const container of newestFirst) if (!latest.has(container.name)) latest.set(container.name, container);
  return latest;
}

/** Has processes, or may have. */
export const isUp = ({ state }: ContainerInfo): boolean => state === "running" || state === "unknown";

export function shouldRestart(policy: string, exitCode: number): boolean {
  return policy === "Always" || (policy === "OnFailure" && exitCode !== 0);
}

/** Of what a running container cannot take over: a change means a restart. */
export function hashOf({ name, image }: Container): string {
  return createHash("sha256").update(JSON.stringify({ name, image })).digest("hex").slice(0, 8);
}

function whyRestart(running: ContainerInfo, container: Container): string | undefined {
  if (running.state === "unknown")
    return `Container ${running.name} is in unknown state, try killing it before restart`;
  if (running.hash !== "" && running.hash !== hashOf(container))
    return `Container ${running.name} definition changed, will be restarted`;
  return undefined;
}

export function knownStatus({ status }: Pod, name: string): ContainerStatus | undefined {
  return [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])].find((c) => c.name === name);
}

function pastDeadline({ pod, nowMs }: PodView, wakeAt: (atMs: number) => void): Decision["failed"] {
  const seconds = pod.spec!.activeDeadlineSeconds;
  if (seconds === undefined || pod.status?.startTime === undefined) return undefined;
  const atMs = Date.parse(pod.status.startTime) + seconds * 1000;
  if (atMs <= nowMs)
    return { reason: "DeadlineExceeded", message: "Pod was active on the node longer than the specified deadline" };
  wakeAt(atMs);
  return undefined;
}
