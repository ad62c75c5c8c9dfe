import { isSidecar } from "../api/core/pod-status.ts";
import type { Container, Pod, Probe } from "../api/generated/core-v1.ts";
import type { Cancel, Clock } from "../base/clock.ts";
import type { ContainerInfo, PodRuntime } from "./cri-runtime.ts";
import { isUp, knownStatus, latestByName } from "./pod-actions.ts";
import { nextTry, observe, type ProbeState } from "./probe-state.ts";

export type ProbeType = "Startup" | "Liveness" | "Readiness";

export interface ProberOptions {
  clock: Clock;
  /** One try; never throws. */
  run(
    probe: Probe,
    container: Container,
    info: ContainerInfo,
    podIP: string,
  ): Promise<{ ok: boolean; message: string }>;
  /** A result has changed. */
  onChange(): void;
  onUnhealthy(container: Container, message: string): void;
}

/**
 * Runs the probes of one Pod's running containers and keeps their results by container id. Liveness and readiness wait
 * for startup. A container that was ready when the agent started stays ready until its probe says otherwise.
 */
export class Prober {
  readonly #options: ProberOptions;
  readonly #running = new Map<string, Watch>();

  constructor(options: ProberOptions) {
    this.#options = options;
  }

  /** Starts and stops probes so that they match what runs. With `terminating`, only readiness goes on. */
  update(pod: Pod, runtime: PodRuntime, hostIP: string, terminating: boolean): void {
    const latest = latestByName(runtime.containers);
    const wanted = new Set<string>();
    const podIP = pod.spec!.hostNetwork ? hostIP : runtime.sandboxes[0]?.ips[0];
    const probed = [...(pod.spec!.initContainers ?? []).filter(isSidecar), ...pod.spec!.containers];
    for (const container of probed) {
      const info = latest.get(container.name);
      if (info === undefined || !isUp(info)) continue;
      const status = knownStatus(pod, container.name);
      const known = status?.containerID?.endsWith(info.id) ? status : undefined;
      for (const type of ["Startup", "Liveness", "Readiness"] as const) {
        const probe = container[`${type.toLowerCase() as Lowercase<ProbeType>}Probe`];
        if (probe === undefined || (terminating && type !== "Readiness")) continue;
        const key = `${type}/${info.id}`;
        wanted.add(key);
        if (this.#running.has(key)) continue;
        const before = type === "Startup" ? known?.started === true : known?.ready === true;
        const state: ProbeState = { result: type === "Liveness" || before, streak: 0, last: undefined };
        const watch: Watch = { type, probe, container, info, podIP: podIP ?? "", state, tries: 0, cancel: () => {} };
        this.#running.set(key, watch);
        const { clock } = this.#options;
        const waited = clock.now() - info.startedAtMs;
        this.#schedule(key, watch, Math.max(0, (probe.initialDelaySeconds ?? 0) * 1000 - waited), false);
      }
    }
    for (const [key, { cancel }] of this.#running) {
      if (wanted.has(key)) continue;
      cancel();
      this.#running.delete(key);
    }
  }

  stop(): void {
    for (const { cancel } of this.#running.values()) cancel();
    this.#running.clear();
  }

  isStarted(id: string): boolean {
    return this.#running.get(`Startup/${id}`)?.state.result ?? true;
  }

  isReady(id: string): boolean {
    return this.#running.get(`Readiness/${id}`)?.state.result ?? true;
  }

  /** Containers to be killed, by id, with the text of the event. */
  unhealthy(): Map<string, string> {
    const result = new Map<string, string>();
    for (const { type, info, state, probe } of this.#running.values()) {
      const failed = state.last === false && state.streak >= (probe.failureThreshold ?? 3);
      if (type !== "Readiness" && failed)
        result.set(info.id, `Container ${info.name} failed ${type.toLowerCase()} probe, will be restarted`);
    }
    return result;
  }

  #schedule(key: string, watch: Watch, afterMs: number, counts: boolean): void {
    watch.cancel = this.#options.clock.after(afterMs, () => void this.#try(key, watch, counts));
  }

  async #try(key: string, watch: Watch, counts: boolean): Promise<void> {
    const { run, onChange, onUnhealthy } = this.#options;
    const { type, probe, container, info, podIP } = watch;
    if (type !== "Startup" && !this.isStarted(info.id)) return this.#schedule(key, watch, notStartedMs, true);
    if (type === "Startup" && watch.state.result) return; // has passed: never again
    const outcome = await run(probe, container, info, podIP);
    if (this.#running.get(key) !== watch) return; // the container ended meanwhile
    const eager = type !== "Liveness" && !watch.state.result;
    if (outcome.ok || counts || !eager) {
      const before = watch.state;
      watch.state = observe(before, outcome.ok, probe);
      if (!outcome.ok) onUnhealthy(container, `${type} probe failed: ${outcome.message}`);
      if (before.result !== watch.state.result || (!outcome.ok && this.unhealthy().has(info.id))) onChange();
    }
    const next = nextTry(probe, eager && !outcome.ok, watch.tries++);
    this.#schedule(key, watch, next.afterMs, next.counts);
  }
}

/** How often probes that wait for the startup probe look whether it has passed. */
const notStartedMs = 50;

interface Watch {
  type: ProbeType;
  probe: Probe;
  container: Container;
  info: ContainerInfo;
  podIP: string;
  state: ProbeState;
  tries: number;
  cancel: Cancel;
}
