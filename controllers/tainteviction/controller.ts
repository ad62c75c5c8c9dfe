import type { Node, Pod } from "../../api/generated/core-v1.ts";
import { Nodes, Pods } from "../../api/generated/resources.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { keyOf } from "../../client/store.ts";
import type { ControllerContext } from "../context.ts";
import { deletePod } from "../disruption.ts";
import type { Runner } from "../runner.ts";
import { type Action, reconcile, type State } from "./reconcile.ts";

/** Drives Pods off nodes with NoExecute taints. */
export function taintEvictionController(context: ControllerContext): Runner<State, Action> {
  const { client, clock } = context;
  const nodes = context.informer(Nodes);
  const pods = context.informer(Pods);
  const events = context.recorder("taint-eviction-controller");
  const podsOn = pods.store.index((pod) => (pod.spec.nodeName ? [pod.spec.nodeName] : []));
  /** By Pod uid, so that a namesake starts anew. */
  const taintedSinceMs = new Map<string, number>();

  const runner = context.runner<State, Action>({
    name: "tainteviction",
    gather(key) {
      const pod = pods.store.get(key);
      const node = pod?.spec.nodeName && nodes.store.get(pod.spec.nodeName);
      if (!pod || !node) return undefined;
      const uid = pod.metadata.uid!;
      if (pod.metadata.deletionTimestamp !== undefined) {
        taintedSinceMs.delete(uid);
        return undefined;
      }
      const taints = noExecute(node);
      if (taints.length === 0) {
        if (taintedSinceMs.delete(uid)) tell(pod, "Cancelling deletion of Pod");
        return undefined;
      }
      const nowMs = clock.monotonic();
      const sinceMs = taintedSinceMs.get(uid) ?? nowMs;
      taintedSinceMs.set(uid, sinceMs);
      return { pod, taints, taintedForMs: nowMs - sinceMs };
    },
    reconcile,
    async execute(_action, { pod }, signal) {
      tell(pod, "Marking for deletion Pod");
      const message = "Taint manager: deleting due to NoExecute taint";
      await deletePod(client, clock, pod, { reason: "DeletionByTaintManager", message }, {}, signal);
    },
  });
  const { queue } = runner;

  function tell(pod: Pod, what: string): void {
    events.event(Pods, pod, "Normal", "TaintManagerEviction", `${what} ${keyOf(pod)}`);
  }

  function enqueuePods(node: Node): void {
    for (const pod of podsOn(node.metadata.name)) queue.add(keyOf(pod));
  }

  nodes.on({
    onAdd: enqueuePods,
    onUpdate(old, node) {
      if (!sameJson(noExecute(old), noExecute(node))) enqueuePods(node);
    },
  });
  pods.on({
    onAdd: (pod) => queue.add(keyOf(pod)),
    onUpdate(old, pod) {
      if (old.spec.nodeName !== pod.spec.nodeName || !sameJson(old.spec.tolerations, pod.spec.tolerations))
        queue.add(keyOf(pod));
    },
    onDelete: (pod) => taintedSinceMs.delete(pod.metadata.uid!),
  });
  return runner;
}

function noExecute({ spec }: Node): NonNullable<Node["spec"]["taints"]> {
  return (spec?.taints ?? []).filter(({ effect }) => effect === "NoExecute");
}
