import { rm } from "node:fs/promises";
import { isDeepStrictEqual } from "node:util";
import { isPodTerminal } from "../api/core/pod-status.ts";
import type { Container, Pod, PodStatus } from "../api/generated/core-v1.ts";
import { Pods } from "../api/generated/resources.ts";
import { ignoring, isConflict, isNotFound } from "../apimachinery/status.ts";
import type { Cancel } from "../base/clock.ts";
import type { Logger } from "../base/logger.ts";
import type { EventRecorder } from "../client/events.ts";
import type { Parts } from "../client/types.ts";
import type { ContainerStarter } from "./container-start.ts";
import { podDirectory, podLogDirectory, sandboxConfig } from "./cri-config.ts";
import type { ContainerInfo, CriRuntime, PodRuntime } from "./cri-runtime.ts";
import { StartError } from "./images.ts";
import { type Action, type Decision, isUp, podActions, type StartFailure, sandboxKey } from "./pod-actions.ts";
import { PodEvents } from "./pod-events.ts";
import { minGraceSeconds, PodKiller } from "./pod-killer.ts";
import type { PodVolumes } from "./pod-volumes.ts";
import { Prober } from "./prober.ts";
import { nextBackoff, type RestartBackoff } from "./restart-backoff.ts";
import { runProbe } from "./run-probe.ts";
import { podStatus } from "./status.ts";
import { StatusWriter } from "./status-writer.ts";

export interface WorkerOptions extends Parts {
  runtime: CriRuntime;
  events: EventRecorder;
  volumes: PodVolumes;
  starter: ContainerStarter;
  rootDir: string;
  hostIP: string;
}

/** How often volumes are compared with the objects they show. */
const volumeRefreshMs = 60_000;

/**
 * Everything that happens to one Pod, one thing at a time. Looks at the runtime, decides (`podActions`), acts, looks
 * again, until nothing is left to do; then sleeps until it is woken by a change of the Pod, an event of the runtime, a
 * probe, or a back-off that is over.
 *
 * A Pod that is being deleted gets its grace period; when its containers have ended and its status is written, the
 * object is deleted for good, only if it is still the same one (uid). A Pod that nobody knows any more ends likewise.
 */
export class PodWorker {
  readonly uid: string;
  /** Resolves when nothing of the Pod is left here. */
  readonly finished: Promise<void>;
  readonly #options: WorkerOptions;
  readonly #log: Logger;
  readonly #prober: Prober;
  readonly #status: StatusWriter;
  readonly #backoff = new Map<string, RestartBackoff>();
  readonly #startFailures = new Map<string, StartFailure>();
  readonly #startTries = new Map<string, number>();
  readonly #events: PodEvents;
  readonly #killer: PodKiller;
  #pod: Pod | undefined;
  /** In the API, as far as we know. */
  #known = false;
  #runtime: PodRuntime = { runtimeName: "", sandboxes: [], containers: [] };
  #abort = new AbortController();
  #volumesAtMs: number | undefined;
  #errors = 0;
  #woken = false;
  #wake: () => void = () => {};
  #timer: Cancel = () => {};
  #stopped = false;

  constructor(uid: string, options: WorkerOptions) {
    this.uid = uid;
    this.#options = options;
    this.#log = options.log.child({ uid });
    this.#status = new StatusWriter(options);
    this.#events = new PodEvents(options.events);
    this.#killer = new PodKiller({ ...options, events: this.#events });
    this.#prober = new Prober({
      clock: options.clock,
      run: (probe, container, info, podIP) => runProbe(options.runtime, probe, container, info, podIP),
      onChange: () => this.wake(),
      onUnhealthy: (container, message) => {
        if (!this.#isEnding()) this.#events.about(container)("Warning", "Unhealthy", message);
      },
    });
    this.finished = this.#run();
  }

  get pod(): Pod | undefined {
    return this.#pod;
  }

  /** What was last reported. */
  get status(): PodStatus | undefined {
    return this.#status.wanted;
  }

  /** As last seen, newest first. */
  get containers(): readonly ContainerInfo[] {
    return this.#runtime.containers;
  }

  /** The Pod as the API has it; undefined when it is not there any more. */
  update(pod: Pod | undefined): void {
    const before = this.#pod;
    this.#known = pod !== undefined;
    this.#events.observe(pod);
    if (pod !== undefined) {
      this.#pod = pod;
      this.#status.observe(pod);
      if (before !== undefined && isSameTask(before, pod)) return;
    }
    if (this.#isEnding()) {
      this.#abort.abort(); // a pull, say
      this.#killer.hurry(this.#graceSeconds());
    }
    this.wake();
  }

  wake(): void {
    this.#woken = true;
    this.#wake();
  }

  /** Stops working; containers live on. */
  stop(): void {
    this.#stopped = true;
    this.#abort.abort();
    this.#prober.stop();
    this.#status.stop();
    this.wake();
  }

  async #run(): Promise<void> {
    await Promise.resolve(); // the first update comes right after the constructor
    while (!this.#stopped) {
      this.#woken = false;
      this.#timer();
      try {
        if (this.#isEnding() ? await this.#end() : await this.#keep()) return this.stop();
        this.#errors = 0;
      } catch (err) {
        const waitMs = Math.min(100 * 2 ** this.#errors++, 5000);
        this.#log.warn({ err, waitMs, pod: this.#pod?.metadata.name }, "Error syncing pod, trying again");
        this.#wakeIn(waitMs);
      }
      if (!this.#woken && !this.#stopped) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  #wakeIn(ms: number): void {
    this.#timer();
    this.#timer = this.#options.clock.after(Math.max(0, ms), () => this.wake());
  }

  #isEnding(): boolean {
    return !this.#known || this.#pod?.metadata.deletionTimestamp !== undefined;
  }

  /** A Pod that should run. Returns false: there is always more to come. */
  async #keep(): Promise<boolean> {
    const { clock, hostIP } = this.#options;
    for (;;) {
      this.#runtime = await this.#options.runtime.pod(this.uid);
      const pod = { ...this.#pod!, status: this.#status.latest?.status ?? {} };
      if (this.#isEnding() || this.#stopped) return false;
      this.#prober.update(pod, this.#runtime, hostIP, false);
      const unhealthy = this.#prober.unhealthy();
      const nowMs = clock.now();
      const decision = podActions({
        pod,
        runtime: this.#runtime,
        nowMs,
        unhealthy,
        started: new Set(this.#runtime.containers.map(({ id }) => id).filter((id) => this.#prober.isStarted(id))),
        startFailures: this.#startFailures,
        backoff: this.#backoff,
      });
      this.#tellBackOffs(decision);
      this.#report(decision, false);
      await this.#refreshVolumes();
      if (decision.actions.length === 0) {
        const refreshes = this.#options.volumes.changes(pod) && this.#volumesAtMs !== undefined;
        const refreshAtMs = refreshes ? this.#volumesAtMs! + volumeRefreshMs : Infinity;
        const wakeAtMs = Math.min(decision.wakeAtMs ?? Infinity, refreshAtMs);
        if (wakeAtMs !== Infinity) this.#wakeIn(wakeAtMs - nowMs);
        return false;
      }
      for (const action of decision.actions) {
        await this.#execute(action);
        if (this.#isEnding() || this.#stopped) return false;
      }
    }
  }

  async #execute(action: Action): Promise<void> {
    const { runtime } = this.#options;
    switch (action.type) {
      case "CreateSandbox":
        return this.#createSandbox(action.attempt);
      case "StartContainer":
        return this.#start(action);
      case "KillContainer":
        return this.#kill([action.container], this.#pod!.spec!.terminationGracePeriodSeconds ?? 30, action.message);
      case "StopSandbox":
        return runtime.stopSandbox(action.sandbox.id);
      case "RemoveSandbox":
        return runtime.removeSandbox(action.sandbox.id);
      case "RemoveContainer":
        return this.#options.starter.remove(this.#pod!, action.container);
    }
  }

  async #createSandbox(attempt: number): Promise<void> {
    const { runtime, volumes, clock, rootDir } = this.#options;
    const pod = this.#pod!;
    try {
      await volumes.setUp(pod, this.#events.about());
      this.#volumesAtMs = clock.now();
      if (attempt > 0)
        this.#events.about()("Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.");
      await runtime.runSandbox(sandboxConfig(pod, attempt, rootDir));
      this.#startFailures.delete(sandboxKey);
      this.#startTries.delete(sandboxKey);
    } catch (error) {
      if (!(error instanceof StartError)) {
        const text = (error as Error).message;
        this.#events.about()("Warning", "FailedCreatePodSandBox", `Failed to create pod sandbox: ${text}`);
        this.#log.warn({ err: error, pod: pod.metadata.name }, "Failed to create sandbox for pod");
      }
      this.#startFailures.set(sandboxKey, this.#nextFailure(sandboxKey, "", (error as Error).message));
    }
  }

  async #start({ container, sandbox, restartCount, last }: Action & { type: "StartContainer" }): Promise<void> {
    const { clock, starter, rootDir } = this.#options;
    const pod = this.#pod!;
    if (last?.state === "exited") {
      const next = nextBackoff(this.#backoff.get(container.name), last.finishedAtMs, clock.now());
      this.#backoff.set(container.name, next);
    }
    try {
      const config = sandboxConfig(pod, sandbox.attempt, rootDir);
      const at = { sandbox, sandboxConfig: config, restartCount };
      await starter.start(pod, container, at, this.#events.about(container), this.#abort.signal);
      this.#startFailures.delete(container.name);
      this.#startTries.delete(container.name);
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      if (!(error instanceof StartError)) throw error;
      const { failure } = error;
      const { reason, message } = failure;
      const waits = failure.retryAtMs > 0 ? failure : this.#nextFailure(container.name, reason, message);
      this.#startFailures.set(container.name, waits);
      this.#log.warn({ err: error, pod: pod.metadata.name, container: container.name }, "Cannot start container");
    }
  }

  /** Failed starts are tried again after 0.5 s, doubling to 10 s. */
  #nextFailure(name: string, reason: string, message: string): StartFailure {
    const before = this.#startTries.get(name) ?? 0;
    this.#startTries.set(name, before + 1);
    return { reason, message, retryAtMs: this.#options.clock.now() + Math.min(500 * 2 ** before, 10_000) };
  }

  /** Ends the Pod. True when nothing of it is left. */
  async #end(): Promise<boolean> {
    const { runtime, client, rootDir, hostIP } = this.#options;
    for (;;) {
      this.#runtime = await runtime.pod(this.uid);
      const up = this.#runtime.containers.filter(isUp);
      if (up.length === 0) break;
      if (this.#pod) {
        this.#prober.update(this.#pod, this.#runtime, hostIP, true);
        this.#report(undefined, false);
      }
      await this.#kill(up, this.#graceSeconds(), "");
      if (this.#stopped) return false;
    }
    this.#prober.stop();
    for (const { id } of this.#runtime.sandboxes.filter(({ ready }) => ready)) await runtime.stopSandbox(id);
    const pod = this.#pod;
    if (this.#known && pod !== undefined) {
      this.#report(undefined, true);
      await this.#status.flushed();
      const options = { gracePeriodSeconds: 0, preconditions: { uid: this.uid } };
      await client.delete(Pods, pod.metadata, options).catch(ignoring(isNotFound, isConflict));
    }
    for (const { id } of this.#runtime.containers) await runtime.removeContainer(id);
    for (const { id } of this.#runtime.sandboxes) await runtime.removeSandbox(id);
    const name = this.#runtime.sandboxes[0];
    const metadata = pod?.metadata ?? (name && { name: name.podName, namespace: name.podNamespace, uid: this.uid });
    if (metadata) await rm(podLogDirectory(rootDir, { metadata }), { recursive: true, force: true });
    await rm(podDirectory(rootDir, this.uid), { recursive: true, force: true });
    return true;
  }

  #graceSeconds(): number {
    const { metadata, spec } = this.#pod ?? {};
    const whole =
      metadata?.deletionGracePeriodSeconds ??
      spec?.terminationGracePeriodSeconds ??
      this.#runtime.containers[0]?.gracePeriodSeconds ??
      30;
    // The period began with the deletion: a restarted agent grants only what is left of it.
    const endsMs = metadata?.deletionTimestamp === undefined ? Infinity : Date.parse(metadata.deletionTimestamp);
    const leftSeconds = Math.ceil((endsMs - this.#options.clock.now()) / 1000);
    const began = leftSeconds < whole - 2; // less than that is rounding and the way of the news
    return Math.max(minGraceSeconds, began ? leftSeconds : whole);
  }

  #kill(containers: ContainerInfo[], graceSeconds: number, message: string): Promise<void> {
    const podIP = this.#runtime.sandboxes[0]?.ips[0] ?? this.#options.hostIP;
    const specOf = (name: string) => this.#specOf(name);
    return this.#killer.kill(containers, { specOf, podIP, graceSeconds, message });
  }

  #specOf(name: string): Container | undefined {
    return [...(this.#pod?.spec?.containers ?? []), ...(this.#pod?.spec?.initContainers ?? [])].find(
      (container) => container.name === name,
    );
  }

  #report(decision: Decision | undefined, over: boolean): void {
    const { hostIP, clock } = this.#options;
    const status: PodStatus = podStatus({
      pod: this.#status.latest ?? this.#pod!,
      runtime: this.#runtime,
      waiting: decision?.waiting ?? new Map(),
      isStarted: (id) => this.#prober.isStarted(id),
      isReady: (id) => this.#prober.isReady(id),
      hostIP,
      nowMs: clock.now(),
      over,
      failed: decision?.failed,
    });
    this.#status.write(status);
  }

  async #refreshVolumes(): Promise<void> {
    const { volumes, clock } = this.#options;
    if (!volumes.changes(this.#pod!) || !this.#runtime.sandboxes[0]?.ready) return;
    this.#volumesAtMs ??= clock.now(); // adopted
    if (clock.now() < this.#volumesAtMs + volumeRefreshMs) return;
    this.#volumesAtMs = clock.now();
    await volumes.setUp(this.#pod!, this.#events.about()).catch(() => {}); // told as an Event; what is there stays
  }

  #tellBackOffs({ waiting }: Decision): void {
    for (const [name, { reason }] of waiting) {
      const last = this.#runtime.containers.find((container) => container.name === name);
      const spec = this.#specOf(name);
      if (reason === "CrashLoopBackOff" && last !== undefined && spec !== undefined)
        this.#events.backOff(spec, last.id);
    }
  }
}

/** Nothing has changed that the agent acts on: most updates are our own writes of the status coming back. */
function isSameTask(a: Pod, b: Pod): boolean {
  const task = (pod: Pod) => {
    const metadata = { ...pod.metadata, resourceVersion: undefined, managedFields: undefined };
    return [metadata, pod.spec, isPodTerminal(pod)];
  };
  return isDeepStrictEqual(task(a), task(b));
}
