import { setMaxListeners } from "node:events";
import { isDeepStrictEqual } from "node:util";
import { isPodTerminal } from "../api/core/pod-status.ts";
import type { Binding, Node, Pod, PodCondition } from "../api/generated/core-v1.ts";
import { Nodes, Pods } from "../api/generated/resources.ts";
import { isConflict, isNotFound, StatusError } from "../apimachinery/status.ts";
import { formatTime } from "../apimachinery/time.ts";
import type { LeaderParts } from "../client/component.ts";
import { EventRecorder } from "../client/events.ts";
import { Informer } from "../client/informer.ts";
import { keyOf } from "../client/store.ts";
import { type NodeInfo, nodeInfo } from "./node-info.ts";
import { SchedulingQueue } from "./queue.ts";
import { schedule } from "./schedule.ts";

export const schedulerName = "default-scheduler";

/** A change may go unnoticed as one that makes room: after this long a Pod is tried anew in any case. */
const retryAllMs = 5 * 60_000;

/**
 * Gives each Pod without a node one. Decisions are made one after the other on the caches and on the bindings that are
 * still on their way (`assumed`), so that no room is given away twice; the bindings themselves are written side by side.
 */
export class Scheduler {
  readonly #parts: LeaderParts;
  readonly #events: EventRecorder;
  readonly #pods: Informer<Pod>;
  readonly #nodes: Informer<Node>;
  readonly #podsOn: (node: string) => Pod[];
  readonly #queue: SchedulingQueue;
  /** Decided and not yet shown by the cache: Pods by key, with their node. */
  readonly #assumed = new Map<string, Pod>();
  #signal: AbortSignal | undefined;
  #scheduled = false;

  constructor(parts: LeaderParts) {
    const { client, clock } = parts;
    this.#parts = parts;
    this.#events = new EventRecorder({ ...parts, component: schedulerName });
    this.#pods = new Informer(client, Pods, parts);
    this.#nodes = new Informer(client, Nodes, parts);
    this.#podsOn = this.#pods.store.index((pod) =>
      pod.spec.nodeName && !isPodTerminal(pod) ? [pod.spec.nodeName] : [],
    );
    this.#queue = new SchedulingQueue(clock);
    this.#queue.onActive = () => this.#trySoon();
    this.#watch();
  }

  get synced(): Promise<void> {
    return Promise.all([this.#pods.synced, this.#nodes.synced]).then(() => {});
  }

  /** Returns when `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    setMaxListeners(0, signal); // each binding under way listens
    const stopTimer = this.#parts.clock.every(retryAllMs, () => this.#queue.clusterChanged());
    const ended = Promise.all([this.#pods.run(signal), this.#nodes.run(signal)]);
    await Promise.race([this.synced, ended]);
    this.#signal = signal;
    this.#tryAll();
    await ended;
    stopTimer();
  }

  #watch(): void {
    this.#pods.on({
      onAdd: (pod) => this.#podChanged(undefined, pod),
      onUpdate: (old, pod) => this.#podChanged(old, pod),
      onDelete: (pod) => {
        this.#assumed.delete(keyOf(pod));
        this.#queue.delete(keyOf(pod));
        if (pod.spec.nodeName) this.#queue.clusterChanged();
      },
    });
    this.#nodes.on({
      onAdd: () => this.#queue.clusterChanged(),
      onUpdate: (old, node) => {
        if (!isDeepStrictEqual(schedulingFacts(old), schedulingFacts(node))) this.#queue.clusterChanged();
      },
    });
  }

  #podChanged(old: Pod | undefined, pod: Pod): void {
    const key = keyOf(pod);
    if (pod.spec.nodeName) {
      this.#assumed.delete(key);
      this.#queue.delete(key);
      if (isPodTerminal(pod) && old !== undefined && !isPodTerminal(old)) this.#queue.clusterChanged();
    } else if (!isOurs(pod)) {
      this.#queue.delete(key);
    } else if (old === undefined || !isDeepStrictEqual(old.spec, pod.spec)) {
      this.#queue.add(key, pod.spec.priority ?? 0);
    }
  }

  /** After the events at hand: a node and the Pods that came with it are then seen together. */
  #trySoon(): void {
    if (this.#scheduled || this.#signal === undefined) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#tryAll();
    });
  }

  #tryAll(): void {
    // Nothing else runs meanwhile: the nodes are gathered once, and each decision is added to them.
    let nodes: Map<string, NodeInfo> | undefined;
    for (let key = this.#queue.pop(); key !== undefined; key = this.#queue.pop()) {
      if (this.#signal!.aborted) return;
      const pod = this.#pods.store.get(key);
      if (pod === undefined || pod.spec.nodeName || !isOurs(pod)) {
        this.#queue.delete(key);
        continue;
      }
      nodes ??= this.#nodeInfos();
      const decision = schedule(pod, [...nodes.values()], this.#parts.rand);
      if ("unschedulable" in decision) {
        this.#queue.failed(key);
        void this.#report(pod, "Unschedulable", decision.unschedulable);
        continue;
      }
      const assumed = { ...pod, spec: { ...pod.spec, nodeName: decision.node } };
      this.#assumed.set(key, assumed);
      const { node, pods } = nodes.get(decision.node)!;
      nodes.set(decision.node, nodeInfo(node, [...pods, assumed]));
      void this.#bind(key, pod, decision.node);
    }
  }

  #nodeInfos(): Map<string, NodeInfo> {
    const assumed = [...this.#assumed.values()];
    return new Map(
      this.#nodes.store.list().map((node) => {
        const { name } = node.metadata;
        const onTheWay = assumed.filter((pod) => pod.spec.nodeName === name);
        return [name, nodeInfo(node, [...this.#podsOn(name), ...onTheWay])];
      }),
    );
  }

  async #bind(key: string, pod: Pod, node: string): Promise<void> {
    const { name, namespace, uid } = pod.metadata;
    const metadata = { name, namespace: namespace!, uid: uid! };
    const binding: Binding = { apiVersion: "v1", kind: "Binding", metadata, target: { kind: "Node", name: node } };
    try {
      await this.#parts.client.createSubresource(Pods, pod.metadata, "binding", binding, { signal: this.#signal! });
    } catch (err) {
      if (this.#signal!.aborted) return;
      this.#assumed.delete(key);
      if (!(err instanceof StatusError)) throw err;
      this.#queue.failed(key, { retry: true });
      this.#queue.clusterChanged(); // what was held for it is free again
      // Deleted, or bound by someone else: its event will tell.
      if (!isNotFound(err) && !isConflict(err)) await this.#bindingFailed(pod, node, err);
      return;
    }
    this.#event(pod, "Normal", "Scheduled", `Successfully assigned ${key} to ${node}`);
  }

  async #bindingFailed(pod: Pod, node: string, err: StatusError): Promise<void> {
    this.#parts.log.warn({ err, pod: keyOf(pod), node }, "Error scheduling pod");
    await this.#report(pod, "SchedulerError", `binding rejected: ${err.message}`);
  }

  async #report(pod: Pod, reason: "Unschedulable" | "SchedulerError", message: string): Promise<void> {
    this.#event(pod, "Warning", "FailedScheduling", message);
    const old = pod.status?.conditions?.find(({ type }) => type === "PodScheduled");
    if (old?.status === "False" && old.reason === reason && old.message === message) return;
    const now = formatTime(this.#parts.clock.now());
    const lastTransitionTime = old?.status === "False" ? old.lastTransitionTime! : now;
    const condition: PodCondition = { type: "PodScheduled", status: "False", lastTransitionTime, reason, message };
    const others = (pod.status?.conditions ?? []).filter((candidate) => candidate !== old);
    const { uid, resourceVersion } = pod.metadata;
    const body = { metadata: { uid, resourceVersion }, status: { conditions: [...others, condition] } };
    try {
      const options = { subresource: "status", signal: this.#signal! };
      await this.#parts.client.patch(Pods, pod.metadata, { type: "merge", body }, options);
    } catch (err) {
      if (this.#signal!.aborted) return;
      if (!(err instanceof StatusError)) throw err;
      if (!isNotFound(err) && !isConflict(err))
        this.#parts.log.warn({ err, pod: keyOf(pod) }, "Error updating pod status");
    }
  }

  #event(object: Pod, type: "Normal" | "Warning", reason: string, message: string): void {
    this.#events.event(Pods, object, type, reason, message);
  }
}

function isOurs(pod: Pod): boolean {
  const { metadata, spec } = pod;
  return (
    metadata.deletionTimestamp === undefined &&
    (spec.schedulerName ?? schedulerName) === schedulerName &&
    (spec.schedulingGates ?? []).length === 0 &&
    !isPodTerminal(pod)
  );
}

/** What of a node a Pod may fail on: its heartbeats are not. */
function schedulingFacts({ metadata, spec, status }: Node): unknown {
  return [metadata.labels, spec?.taints, spec?.unschedulable, status?.allocatable];
}
