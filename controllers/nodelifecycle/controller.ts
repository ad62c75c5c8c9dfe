import { Leases, Nodes, Pods } from "../../api/generated/resources.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { ignoring, isNotFound, StatusError } from "../../apimachinery/status.ts";
import { formatTime } from "../../apimachinery/time.ts";
import type { ControllerContext } from "../context.ts";
import type { Runner } from "../runner.ts";
import { type Action, readyStatus, reconcile, type State } from "./reconcile.ts";

export interface NodeLifecycleOptions {
  nodeMonitorPeriodMs: number;
  nodeMonitorGracePeriodMs: number;
  /** For nodes that have not reported yet. */
  nodeStartupGracePeriodMs: number;
}

const leaseNamespace = "kube-node-lease";

/**
 * Watches nodes for signs of life. A node's silence is noticed the moment its grace period ends; the monitor period is
 * only how often all nodes are looked at anew. Times are our own: clocks of nodes are never compared.
 */
export function nodeLifecycleController(
  context: ControllerContext,
  options: NodeLifecycleOptions,
): Runner<State, Action> & { monitor(signal: AbortSignal): void } {
  const { client, clock } = context;
  const nodes = context.informer(Nodes);
  const leases = context.informer(Leases);
  const pods = context.informer(Pods);
  const events = context.recorder("node-controller");
  const podsOn = pods.store.index((pod) => (pod.spec.nodeName ? [pod.spec.nodeName] : []));
  const aliveMs = new Map<string, number>();
  /** While we could not read Leases, nodes may have been unable to renew them: that time does not count. */
  let blindUntilMs = clock.monotonic();

  const runner = context.runner<State, Action>({
    name: "nodelifecycle",
    gather(key) {
      const node = nodes.store.get(key);
      if (node === undefined) return undefined;
      const hasReported = readyStatus(node.status?.conditions ?? []) !== undefined;
      return {
        node,
        pods: podsOn(key),
        silentMs: clock.monotonic() - Math.max(aliveMs.get(key) ?? 0, blindUntilMs),
        graceMs: hasReported ? options.nodeMonitorGracePeriodMs : options.nodeStartupGracePeriodMs,
        noNodeIsReady: nodes.store.list().every((other) => readyStatus(other.status?.conditions ?? []) !== "True"),
        nowMs: clock.now(),
      };
    },
    reconcile,
    execute,
  });
  const { queue, writes } = runner;

  async function execute(action: Action, state: State, signal: AbortSignal): Promise<void> {
    const { node } = state;
    const { name } = node.metadata;
    switch (action.type) {
      case "UpdateConditions": {
        await confirmSilence(name, signal);
        const updated = { ...node, status: { ...node.status, conditions: action.conditions } };
        state.node = await client.update(Nodes, updated, { subresource: "status", signal });
        writes.wrote(name, nodes, state.node);
        const text = `Node ${name} status is now: NodeNotReady`;
        events.event(Nodes, node, "Normal", "NodeNotReady", text);
        return;
      }
      case "SetTaints": {
        const { uid, resourceVersion } = node.metadata;
        const body = { metadata: { uid, resourceVersion }, spec: { taints: action.taints } };
        state.node = await client.patch(Nodes, node.metadata, { type: "merge", body }, { signal });
        writes.wrote(name, nodes, state.node);
        return;
      }
      case "MarkPodNotReady": {
        const { pod } = action;
        const now = formatTime(clock.now());
        const conditions = pod.status!.conditions!.map((condition) =>
          condition.type === "Ready" ? { ...condition, status: "False" as const, lastTransitionTime: now } : condition,
        );
        const updated = { ...pod, status: { ...pod.status, conditions } };
        const update = client.update(Pods, updated, { subresource: "status", signal });
        const written = await update.catch(ignoring(isNotFound));
        if (written) writes.wrote(name, pods, written);
        events.event(Pods, pod, "Warning", "NodeNotReady", "Node is not ready");
        return;
      }
    }
  }

  /** Our cache may be behind, or nobody could write: asks the server before a node is given up. */
  async function confirmSilence(name: string, signal: AbortSignal): Promise<void> {
    try {
      const lease = await client.get(Leases, { namespace: leaseNamespace, name }, { signal });
      const known = leases.store.get(`${leaseNamespace}/${name}`);
      if (lease.spec?.renewTime === known?.spec?.renewTime) return;
      alive(name);
    } catch (error) {
      if (isNotFound(error)) return;
      if (!(error instanceof StatusError)) throw error;
      blindUntilMs = clock.monotonic();
      throw error;
    }
  }

  function alive(name: string): void {
    aliveMs.set(name, clock.monotonic());
    queue.add(name);
  }

  leases.on({
    onAdd: ({ metadata }) => metadata.namespace === leaseNamespace && alive(metadata.name),
    onUpdate(old, lease) {
      const { namespace, name } = lease.metadata;
      if (namespace === leaseNamespace && old.spec?.renewTime !== lease.spec?.renewTime) alive(name);
    },
  });

  nodes.on({
    onAdd(node) {
      const { name } = node.metadata;
      alive(name);
      const text = `Node ${name} event: Registered Node ${name} in Controller`;
      events.event(Nodes, node, "Normal", "RegisteredNode", text);
      enqueueAll();
    },
    onUpdate(old, node) {
      const { name } = node.metadata;
      const before = old.status?.conditions ?? [];
      const after = node.status?.conditions ?? [];
      if (!sameJson(before, after) && readyStatus(after) !== "Unknown")
        alive(name); // the node's own, not our Unknown
      else queue.add(name);
      if (readyStatus(before) !== readyStatus(after)) enqueueAll(); // "no node is ready" may have changed for all
    },
    onDelete(node) {
      const { name } = node.metadata;
      aliveMs.delete(name);
      const text = `Node ${name} event: Removing Node ${name} from Controller`;
      events.event(Nodes, node, "Normal", "RemovingNode", text);
      enqueueAll();
    },
  });
  pods.on({
    onAdd: (pod) => pod.spec.nodeName && queue.add(pod.spec.nodeName),
    onUpdate: (_, pod) => pod.spec.nodeName && queue.add(pod.spec.nodeName),
  });

  function enqueueAll(): void {
    for (const { metadata } of nodes.store.list()) queue.add(metadata.name);
  }

  return Object.assign(runner, {
    monitor(signal: AbortSignal) {
      signal.addEventListener("abort", clock.every(options.nodeMonitorPeriodMs, enqueueAll), { once: true });
    },
  });
}
