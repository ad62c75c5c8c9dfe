import type { Deployment, DeploymentStatus, ReplicaSet } from "../../api/generated/apps-v1.ts";
import { Deployments, Pods, ReplicaSets } from "../../api/generated/resources.ts";
import { conflict, isAlreadyExists, StatusError } from "../../apimachinery/status.ts";
import { keyOf } from "../../client/store.ts";
import { isNamespaceTerminating } from "../batch.ts";
import type { ControllerContext } from "../context.ts";
import { adopt, byController, controllerOf, followOwned, release } from "../ownership.ts";
import type { Runner } from "../runner.ts";
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
  const replicaSetsOf = byController(replicaSets);
  const podsOf = byController(pods);
  const failures = new Map<string, string>();

  const runner = context.runner<State, Action>({
    name: "deployment",
    gather(key) {
      const deployment = deployments.store.get(key);
      if (deployment === undefined) {
        failures.delete(key);
        return undefined;
      }
      const { uid, namespace } = deployment.metadata;
      const own = replicaSetsOf.controlledBy(uid!);
      return {
        deployment,
        replicaSets: [...own, ...replicaSetsOf.withoutController(namespace!)],
        pods: own.flatMap(({ metadata }) => podsOf.controlledBy(metadata.uid!)),
        collisionCount: deployment.status?.collisionCount,
        failure: failures.get(key),
        nowMs: clock.now(),
      };
    },
    reconcile,
    execute,
  });
  const { queue, writes } = runner;

  async function execute(action: Action, state: State, signal: AbortSignal): Promise<void> {
    const { deployment } = state;
    const key = keyOf(deployment);
    switch (action.type) {
      case "AdoptReplicaSet": {
        const adopted = await adopt(client, ReplicaSets, action.replicaSet, Deployments, deployment, signal);
        return writes.wrote(key, replicaSets, adopted);
      }
      case "ReleaseReplicaSet":
        return writes.wrote(
          key,
          replicaSets,
          await release(client, ReplicaSets, action.replicaSet, deployment, signal),
        );
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
        return writes.deleted(key, replicaSets, action.replicaSet);
      }
      case "SetRevision": {
        const { uid, resourceVersion } = deployment.metadata;
        const annotations = { [revisionAnnotation]: action.revision };
        const body = { metadata: { uid, resourceVersion, annotations } };
        // The status is then written on top of what came of this.
        state.deployment = await client.patch(Deployments, deployment.metadata, { type: "merge", body }, { signal });
        return writes.wrote(key, deployments, state.deployment);
      }
      case "UpdateStatus":
        return updateStatus(deployment, action.status, signal);
    }
  }

  async function updateStatus(deployment: Deployment, status: DeploymentStatus, signal: AbortSignal): Promise<void> {
    const written = await client.update(Deployments, { ...deployment, status }, { subresource: "status", signal });
    writes.wrote(keyOf(deployment), deployments, written);
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
      const text = `Failed to create new replica set "${name}": ${error.message}`;
      events.event(Deployments, deployment, "Warning", "ReplicaSetCreateError", text);
      if (!failures.has(key)) failures.set(key, error.message);
      throw error;
    }
  }

  /** The name is taken: by our own earlier try, which the cache will show, or by another template with the same hash. */
  async function taken(replicaSet: ReplicaSet, state: State, signal: AbortSignal): Promise<void> {
    const { deployment } = state;
    const existing = await client.get(ReplicaSets, replicaSet.metadata, { signal });
    const isOurs = controllerOf(existing)?.uid === deployment.metadata.uid;
    if (isOurs && sameTemplate(existing.spec.template, replicaSet.spec.template))
      return writes.wrote(keyOf(deployment), replicaSets, existing);
    const collisionCount = (deployment.status?.collisionCount ?? 0) + 1;
    await updateStatus(deployment, { ...deployment.status, collisionCount }, signal);
    throw conflict(ReplicaSets, replicaSet.metadata.name, "the name is taken by another template");
  }

  function scaled(deployment: Deployment, replicaSet: ReplicaSet, from: number): void {
    const to = replicasOf(replicaSet);
    const text = `Scaled ${to > from ? "up" : "down"} replica set ${replicaSet.metadata.name} from ${from} to ${to}`;
    events.event(Deployments, deployment, "Normal", "ScalingReplicaSet", text);
  }

  deployments.on((deployment) => queue.add(keyOf(deployment)));
  const enqueueFor = followOwned(replicaSets, deployments, (key) => queue.add(key));
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
