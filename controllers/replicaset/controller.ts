import type { ReplicaSet } from "../../api/generated/apps-v1.ts";
import type { Pod, PodTemplateSpec } from "../../api/generated/core-v1.ts";
import { Pods, ReplicaSets } from "../../api/generated/resources.ts";
import type { KubernetesObject, OwnerReference } from "../../apimachinery/object.ts";
import { isNotFound, StatusError } from "../../apimachinery/status.ts";
import { keyOf } from "../../client/store.ts";
import { all, isNamespaceTerminating, slowStart } from "../batch.ts";
import type { ControllerContext } from "../context.ts";
import { adopt, byController, controllerOf, controllerRef, followOwned, release } from "../ownership.ts";
import type { Runner } from "../runner.ts";
import { type Action, reconcile, type State } from "./reconcile.ts";

/** Keeps as many Pods as each ReplicaSet asks for. */
export function replicaSetController(context: ControllerContext): Runner<State, Action> {
  const { client, clock } = context;
  const replicaSets = context.informer(ReplicaSets);
  const pods = context.informer(Pods);
  const events = context.recorder("replicaset-controller");
  const byOwner = replicaSets.store.index((replicaSet) => [controllerOf(replicaSet)?.uid ?? ""]);
  const podsOf = byController(pods);
  const failures = new Map<string, Failure>();

  const runner = context.runner<State, Action>({
    name: "replicaset",
    gather(key) {
      const replicaSet = replicaSets.store.get(key);
      if (replicaSet === undefined) {
        failures.delete(key);
        return undefined;
      }
      const { uid, namespace } = replicaSet.metadata;
      const ownerUid = controllerOf(replicaSet)?.uid;
      const siblings = ownerUid === undefined ? [replicaSet] : byOwner(ownerUid);
      return {
        replicaSet,
        pods: [...podsOf.controlledBy(uid!), ...podsOf.withoutController(namespace!)],
        relatedPods: siblings.flatMap(({ metadata }) => podsOf.controlledBy(metadata.uid!)),
        failure: failures.get(key),
        nowMs: clock.now(),
      };
    },
    reconcile,
    execute,
  });
  const { queue, writes } = runner;

  async function execute(action: Action, { replicaSet }: State, signal: AbortSignal): Promise<void> {
    const key = keyOf(replicaSet);
    switch (action.type) {
      case "AdoptPod":
        return writes.wrote(key, pods, await adopt(client, Pods, action.pod, ReplicaSets, replicaSet, signal));
      case "ReleasePod":
        return writes.wrote(key, pods, await release(client, Pods, action.pod, replicaSet, signal));
      case "CreatePods":
        return tracked(key, "FailedCreate", () => slowStart(action.count, () => createPod(replicaSet, signal)));
      case "DeletePods":
        return tracked(key, "FailedDelete", () => all(action.pods.map((pod) => deletePod(replicaSet, pod, signal))));
      case "UpdateStatus": {
        const updated = { ...replicaSet, status: action.status };
        const written = await client.update(ReplicaSets, updated, { subresource: "status", signal });
        return writes.wrote(key, replicaSets, written);
      }
    }
  }

  async function createPod(replicaSet: ReplicaSet, signal: AbortSignal): Promise<void> {
    const owner = controllerRef(ReplicaSets, replicaSet);
    try {
      const pod = await client.create(Pods, podFrom(replicaSet.spec.template!, replicaSet, owner), { signal });
      writes.wrote(keyOf(replicaSet), pods, pod);
      events.event(ReplicaSets, replicaSet, "Normal", "SuccessfulCreate", `Created pod: ${pod.metadata.name}`);
    } catch (error) {
      if (error instanceof StatusError && !isNamespaceTerminating(error))
        events.event(ReplicaSets, replicaSet, "Warning", "FailedCreate", `Error creating: ${error.message}`);
      throw error;
    }
  }

  async function deletePod(replicaSet: ReplicaSet, pod: Pod, signal: AbortSignal): Promise<void> {
    const { name, uid } = pod.metadata;
    try {
      await client.delete(Pods, pod.metadata, { preconditions: { uid: uid! }, signal });
    } catch (error) {
      if (isNotFound(error)) return;
      if (error instanceof StatusError)
        events.event(ReplicaSets, replicaSet, "Warning", "FailedDelete", `Error deleting: ${error.message}`);
      throw error;
    }
    writes.deleted(keyOf(replicaSet), pods, pod);
    events.event(ReplicaSets, replicaSet, "Normal", "SuccessfulDelete", `Deleted pod: ${name}`);
  }

  /** Remembers a failure for the status; in a namespace that goes away creating is given up for good. */
  async function tracked(key: string, reason: Failure["reason"], work: () => Promise<void>): Promise<void> {
    const failedBefore = failures.has(key);
    try {
      await work();
      failures.delete(key);
      if (failedBefore) queue.add(key); // the status still tells of it
    } catch (error) {
      if (isNamespaceTerminating(error)) return;
      if (error instanceof StatusError) failures.set(key, { reason, message: error.message });
      throw error;
    }
  }

  replicaSets.on((replicaSet) => queue.add(keyOf(replicaSet)));
  followOwned(pods, replicaSets, (key) => queue.add(key));
  return runner;
}

/** A new Pod from a controller's template, named by the server. */
function podFrom(template: PodTemplateSpec, { metadata }: KubernetesObject, owner: OwnerReference): Pod {
  const { labels, annotations, finalizers } = template.metadata ?? {};
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: "",
      generateName: `${metadata.name}-`,
      namespace: metadata.namespace!,
      ...(labels && { labels }),
      ...(annotations && { annotations }),
      ...(finalizers && { finalizers }),
      ownerReferences: [owner],
    },
    spec: template.spec!,
  };
}

type Failure = NonNullable<State["failure"]>;
