import type { ReplicaSet } from "../../api/generated/apps-v1.ts";
import type { Pod } from "../../api/generated/core-v1.ts";
import { Pods, ReplicaSets } from "../../api/generated/resources.ts";
import type { OwnerReference } from "../../apimachinery/object.ts";
import { conflict, isNotFound, StatusError } from "../../apimachinery/status.ts";
import type { Involved } from "../../client/events.ts";
import { OwnWrites } from "../../client/own-writes.ts";
import { keyOf } from "../../client/store.ts";
import { all, isNamespaceTerminating, slowStart } from "../batch.ts";
import type { ControllerContext } from "../context.ts";
import { adopt, controllerOf, controllerRef, release, selects } from "../ownership.ts";
import { podsByController } from "../pod-index.ts";
import { podFrom } from "../pod-template.ts";
import { Runner } from "../runner.ts";
import { type Action, reconcile, type State } from "./reconcile.ts";

/** Keeps as many Pods as each ReplicaSet asks for. */
export function replicaSetController(context: ControllerContext): Runner<State, Action> {
  const { client, clock } = context;
  const replicaSets = context.informer(ReplicaSets);
  const pods = context.informer(Pods);
  const events = context.recorder("replicaset-controller");
  const byOwner = replicaSets.store.index((replicaSet) => [controllerOf(replicaSet)?.uid ?? ""]);
  const byNamespace = replicaSets.store.index(({ metadata }) => [metadata.namespace!]);
  const podsOf = podsByController(pods);
  const writes = new OwnWrites();
  const failures = new Map<string, NonNullable<State["failure"]>>();

  const runner = new Runner<State, Action>(
    {
      name: "replicaset",
      writes,
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
    },
    context,
  );
  const { queue } = runner;

  async function execute(action: Action, { replicaSet }: State, signal: AbortSignal): Promise<void> {
    const key = keyOf(replicaSet);
    const owner = controllerRef(ReplicaSets, replicaSet);
    switch (action.type) {
      case "AdoptPod":
        await stillExists(replicaSet, signal);
        writes.wrote(key, pods, await adopt(client, Pods, action.pod, owner, signal));
        return;
      case "ReleasePod":
        writes.wrote(key, pods, await release(client, Pods, action.pod, owner.uid, signal));
        return;
      case "CreatePods":
        return tracked(key, "FailedCreate", () => slowStart(action.count, () => createPod(replicaSet, owner, signal)));
      case "DeletePods":
        return tracked(key, "FailedDelete", () => all(action.pods.map((pod) => deletePod(replicaSet, pod, signal))));
      case "UpdateStatus": {
        const updated = { ...replicaSet, status: action.status };
        writes.wrote(key, replicaSets, await client.update(ReplicaSets, updated, { subresource: "status", signal }));
        return;
      }
    }
  }

  async function createPod(replicaSet: ReplicaSet, owner: OwnerReference, signal: AbortSignal): Promise<void> {
    try {
      const pod = await client.create(Pods, podFrom(replicaSet.spec.template!, replicaSet, owner), { signal });
      writes.wrote(keyOf(replicaSet), pods, pod);
      events.event(involved(replicaSet), "Normal", "SuccessfulCreate", `Created pod: ${pod.metadata.name}`);
    } catch (error) {
      if (error instanceof StatusError && !isNamespaceTerminating(error))
        events.event(involved(replicaSet), "Warning", "FailedCreate", `Error creating: ${error.message}`);
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
        events.event(involved(replicaSet), "Warning", "FailedDelete", `Error deleting: ${error.message}`);
      throw error;
    }
    writes.deleted(keyOf(replicaSet), pods, pod);
    events.event(involved(replicaSet), "Normal", "SuccessfulDelete", `Deleted pod: ${name}`);
  }

  /** Remembers a failure for the status; in a namespace that goes away creating is given up for good. */
  async function tracked(
    key: string,
    reason: "FailedCreate" | "FailedDelete",
    work: () => Promise<void>,
  ): Promise<void> {
    const failedBefore = failures.has(key);
    try {
      await work();
      failures.delete(key);
      if (failedBefore) queue.add(key); // the status still tells of it
    } catch (error) {
      if (error instanceof StatusError && isNamespaceTerminating(error)) return;
      if (error instanceof StatusError) failures.set(key, { reason, message: error.message });
      throw error;
    }
  }

  /** Adoption needs more than the cache: an owner deleted meanwhile must not catch new Pods. */
  async function stillExists({ metadata }: ReplicaSet, signal: AbortSignal): Promise<void> {
    const fresh = await client.get(ReplicaSets, metadata, { signal });
    if (fresh.metadata.uid !== metadata.uid || fresh.metadata.deletionTimestamp !== undefined) {
      throw conflict(ReplicaSets, metadata.name, "it is being deleted, and adopts nothing");
    }
  }

  replicaSets.on({
    onAdd: (replicaSet) => queue.add(keyOf(replicaSet)),
    onUpdate: (_, replicaSet) => queue.add(keyOf(replicaSet)),
    onDelete: (replicaSet) => queue.add(keyOf(replicaSet)),
  });

  function enqueueFor(pod: Pod): void {
    const { namespace, labels } = pod.metadata;
    const owner = controllerOf(pod);
    if (owner !== undefined) {
      if (owner.kind === ReplicaSets.kind) queue.add(`${namespace}/${owner.name}`);
      return;
    }
    for (const replicaSet of byNamespace(namespace!)) {
      if (selects(replicaSet.spec.selector, labels)) queue.add(keyOf(replicaSet));
    }
  }

  pods.on({
    onAdd: enqueueFor,
    onUpdate(old, pod) {
      if (controllerOf(old)?.uid !== controllerOf(pod)?.uid) enqueueFor(old);
      enqueueFor(pod);
    },
    onDelete: enqueueFor,
  });
  return runner;
}

function involved(object: ReplicaSet): Involved {
  return { apiVersion: "apps/v1", kind: "ReplicaSet", object };
}
