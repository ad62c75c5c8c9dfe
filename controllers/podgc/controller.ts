import { isPodTerminal } from "../../api/core/pod-status.ts";
import { Nodes, Pods } from "../../api/generated/resources.ts";
import { ignoring, isNotFound } from "../../apimachinery/status.ts";
import { keyOf } from "../../client/store.ts";
import type { ControllerContext } from "../context.ts";
import { deletePod } from "../disruption.ts";
import type { Runner } from "../runner.ts";
import { type Action, reconcile, type State } from "./reconcile.ts";

export function podGcController(context: ControllerContext): Runner<State, Action> {
  const { client, clock } = context;
  const nodes = context.informer(Nodes);
  const pods = context.informer(Pods);
  const podsOn = pods.store.index((pod) => (pod.spec.nodeName ? [pod.spec.nodeName] : []));
  const goneSinceMs = new Map<string, number>();

  const runner = context.runner<State, Action>({
    name: "podgc",
    gather(key) {
      const pod = pods.store.get(key);
      if (pod === undefined) return undefined;
      const { nodeName } = pod.spec;
      if (!nodeName) return { pod, nodeGoneForMs: undefined };
      if (nodes.store.get(nodeName) !== undefined) {
        goneSinceMs.delete(nodeName);
        return undefined;
      }
      const nowMs = clock.monotonic();
      const sinceMs = goneSinceMs.get(nodeName) ?? nowMs;
      goneSinceMs.set(nodeName, sinceMs);
      return { pod, nodeGoneForMs: nowMs - sinceMs };
    },
    reconcile,
    async execute(action, { pod }, signal) {
      if (action.reason === "NeverScheduled") {
        const options = { gracePeriodSeconds: 0, preconditions: { uid: pod.metadata.uid! }, signal };
        return client.delete(Pods, pod.metadata, options).catch(ignoring(isNotFound));
      }
      const node = await client.get(Nodes, { name: pod.spec.nodeName! }, { signal }).catch(ignoring(isNotFound));
      if (node) return; // our cache is behind
      const failed = isPodTerminal(pod) ? {} : { phase: "Failed" as const };
      const why = { reason: "DeletionByPodGC", message: "PodGC: node no longer exists", ...failed };
      await deletePod(client, clock, pod, why, { gracePeriodSeconds: 0 }, signal);
    },
  });
  const { queue } = runner;

  pods.on({
    onAdd: (pod) => queue.add(keyOf(pod)),
    onUpdate(old, pod) {
      if (old.spec.nodeName !== pod.spec.nodeName || pod.metadata.deletionTimestamp !== undefined)
        queue.add(keyOf(pod));
    },
  });
  nodes.on({
    onDelete({ metadata }) {
      for (const pod of podsOn(metadata.name)) queue.add(keyOf(pod));
    },
  });
  return runner;
}
