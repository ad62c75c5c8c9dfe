import type { Deployment, ReplicaSet } from "../../api/generated/apps-v1.ts";
import { Deployments, Pods, ReplicaSets } from "../../api/generated/resources.ts";
import { conflict, isAlreadyExists, StatusError } from "../../apimachinery/status.ts";
import { OwnWrites } from "../../client/own-writes.ts";
import { keyOf } from "../../client/store.ts";
import { isNamespaceTerminating } from "../batch.ts";
import type { ControllerContext } from "../context.ts";
import { adopt, controllerOf, controllerRef, release, selects } from "../ownership.ts";
import { podsByController } from "../pod-index.ts";
import { Runner } from "../runner.ts";
import { type Action, reconcile, type State } from "./reconcile.ts";
import { revisionAnnotation, sameTemplate } from "./revision.ts";
import { replicasOf } from "./sizes.ts";

/** Rolls Deployments out by way of ReplicaSets. */
export function deploymentController(context: ControllerContext): Runner<State, Action> {
  const { client, clock } = context;
  const deployments = context.informer(Deployments);
  const replicaSets = context.informer(ReplicaSets);
  const pods = context.informer(Pods);
  const events = context.recorder("deployment-controller");
  const byNamespace = deployments.store.index(({ metadata }) => [metadata.namespace!]);
  const orphans = (namespace: string) => `${namespace}/`;
  const owned = replicaSets.store.index((rs) => [controllerOf(rs)?.uid ?? orphans(rs.metadata.namespace!)]);
  const podsOf = podsByController(pods);
  const writes = new OwnWrites();
  const failures = new Map<string, string>();

  const runner = new Runner<State, Action>(
    {
      name: "deployment",
      writes,
      gather(key) {
        const deployment = deployments.store.get(key);
        if (deployment === undefined) {
          failures.delete(key);
          return undefined;
        }
        const { uid, namespace } = deployment.metadata;
        const own = owned(uid!);
        return {
          deployment,
          replicaSets: [...own, ...owned(orphans(namespace!))],
          pods: own.flatMap(({ metadata }) => podsOf.controlledBy(metadata.uid!)),
          collisionCount: deployment.status?.collisionCount,
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

  async function execute(action: Action, state: State, signal: AbortSignal): Promise<void> {
    const { deployment } = state;
    const key = keyOf(deployment);
    const owner = controllerRef(Deployments, deployment);
    switch (action.type) {
      case "AdoptReplicaSet": {
        const fresh = await client.get(Deployments, deployment.metadata, { signal });
        if (fresh.metadata.uid !== owner.uid || fresh.metadata.deletionTimestamp !== undefined)
          throw conflict(Deployments, owner.name, "it is being deleted, and adopts nothing");
        writes.wrote(key, replicaSets, await adopt(client, ReplicaSets, action.replicaSet, owner, signal));
        return;
      }
      case "ReleaseReplicaSet":
        writes.wrote(key, replicaSets, await release(client, ReplicaSets, action.replicaSet, owner.uid, signal));
        return;
      case "CreateReplicaSet":
        return create(action.replicaSet, state, signal);
      case "UpdateReplicaSet": {
        const updated = await client.update(ReplicaSets, action.replicaSet, { signal });
        writes.wrote(key, replicaSets, updated);
        if (action.from !== undefined) scaled(deployment, updated, action.from);
        return;
      }
      case "DeleteReplicaSet": {
        const { uid, resourceVersion } = action.replicaSet.metadata;
        const preconditions = { uid: uid!, resourceVersion: resourceVersion! };
        await client.delete(ReplicaSets, action.replicaSet.metadata, { preconditions, signal });
        writes.deleted(key, replicaSets, action.replicaSet);
        return;
      }
      case "SetRevision": {
        const { uid, resourceVersion } = deployment.metadata;
        const annotations = { [revisionAnnotation]: action.revision };
        const body = { metadata: { uid, resourceVersion, annotations } };
        // The status is then written on top of what came of this.
        state.deployment = await client.patch(Deployments, deployment.metadata, { type: "merge", body }, { signal });
        writes.wrote(key, deployments, state.deployment);
        return;
      }
      case "UpdateStatus": {
        const updated = { ...deployment, status: action.status };
        writes.wrote(key, deployments, await client.update(Deployments, updated, { subresource: "status", signal }));
        return;
      }
    }
  }

  async function create(replicaSet: ReplicaSet, state: State, signal: AbortSignal): Promise<void> {
    const { deployment } = state;
    const key = keyOf(deployment);
    try {
      const created = await client.create(ReplicaSets, replicaSet, { signal });
      failures.delete(key);
      writes.wrote(key, replicaSets, created);
      if (replicasOf(created) > 0) scaled(deployment, created, 0);
    } catch (error) {
      if (isAlreadyExists(error)) return taken(replicaSet, state, signal);
      if (!(error instanceof StatusError) || isNamespaceTerminating(error)) throw error;
      const { name } = replicaSet.metadata;
      events.event(
        involved(deployment),
        "Warning",
        "ReplicaSetCreateError",
        `Failed to create new replica set "${name}": ${error.message}`,
      );
      if (!failures.has(key)) failures.set(key, error.message);
      throw error;
    }
  }

  /** The name is taken: by our own earlier try, which the cache will show, or by another template with the same hash. */
  async function taken(replicaSet: ReplicaSet, state: State, signal: AbortSignal): Promise<void> {
    const { deployment } = state;
    const existing = await client.get(ReplicaSets, replicaSet.metadata, { signal });
    const isOurs = controllerOf(existing)?.uid === deployment.metadata.uid;
    if (isOurs && sameTemplate(existing.spec.template, replicaSet.spec.template)) {
      writes.wrote(keyOf(deployment), replicaSets, existing);
      return;
    }
    const collisionCount = (deployment.status?.collisionCount ?? 0) + 1;
    const updated = { ...deployment, status: { ...deployment.status, collisionCount } };
    writes.wrote(
      keyOf(deployment),
      deployments,
      await client.update(Deployments, updated, { subresource: "status", signal }),
    );
    throw conflict(ReplicaSets, replicaSet.metadata.name, "the name is taken by another template");
  }

  function scaled(deployment: Deployment, replicaSet: ReplicaSet, from: number): void {
    const to = replicasOf(replicaSet);
    const text = `Scaled ${to > from ? "up" : "down"} replica set ${replicaSet.metadata.name} from ${from} to ${to}`;
    events.event(involved(deployment), "Normal", "ScalingReplicaSet", text);
  }

  function enqueueFor(replicaSet: ReplicaSet): void {
    const { namespace, labels } = replicaSet.metadata;
    const owner = controllerOf(replicaSet);
    if (owner !== undefined) {
      if (owner.kind === Deployments.kind) queue.add(`${namespace}/${owner.name}`);
      return;
    }
    for (const deployment of byNamespace(namespace!)) {
      if (selects(deployment.spec.selector, labels)) queue.add(keyOf(deployment));
    }
  }

  deployments.on({
    onAdd: (deployment) => queue.add(keyOf(deployment)),
    onUpdate: (_, deployment) => queue.add(keyOf(deployment)),
    onDelete: (deployment) => queue.add(keyOf(deployment)),
  });
  replicaSets.on({
    onAdd: enqueueFor,
    onUpdate(old, replicaSet) {
      if (controllerOf(old)?.uid !== controllerOf(replicaSet)?.uid) enqueueFor(old);
      enqueueFor(replicaSet);
    },
    onDelete: enqueueFor,
  });
  // Strategy Recreate waits for the last old Pod to go.
  pods.on({
    onDelete(pod) {
      const owner = controllerOf(pod);
      const replicaSet = owner && replicaSets.store.get(`${pod.metadata.namespace}/${owner.name}`);
      if (replicaSet !== undefined) enqueueFor(replicaSet);
    },
  });
  return runner;
}

function involved(object: Deployment): { apiVersion: string; kind: string; object: Deployment } {
  return { apiVersion: "apps/v1", kind: "Deployment", object };
}
