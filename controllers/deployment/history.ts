import type { Deployment, ReplicaSet } from "../../api/generated/apps-v1.ts";
import { Deployments } from "../../api/generated/resources.ts";
import { controllerRef } from "../ownership.ts";
import type { Plan } from "./plan.ts";
import {
  newAnnotations,
  revisionAnnotation,
  revisionOf,
  sizeAnnotations,
  templateHash,
  templateHashLabel,
} from "./revision.ts";
import { newReplicas, replicasOf } from "./sizes.ts";
import { condition, hasProgressDeadline } from "./status.ts";

/**
 * Finds the ReplicaSet of the present template and gives it the newest revision, or makes it. The Deployment carries the
 * revision of its new ReplicaSet; `rollout undo` puts an old template back, whose ReplicaSet then becomes the newest.
 */
export function makeNewReplicaSet(plan: Plan, { create }: { create: boolean }): void {
  const { deployment, newOne, old, state } = plan;
  const revision = Math.max(0, ...old.map(revisionOf)) + 1;
  const deadline = hasProgressDeadline(deployment);
  if (newOne !== undefined) {
    const annotations = newAnnotations(deployment, newOne.metadata.annotations, revision);
    const { minReadySeconds } = deployment.spec;
    plan.update({
      ...newOne,
      metadata: { ...newOne.metadata, ...(Object.keys(annotations).length > 0 && { annotations }) },
      spec: { ...newOne.spec, ...(minReadySeconds !== undefined && { minReadySeconds }) },
    });
    carryRevision(plan, annotations[revisionAnnotation]!);
    if (deadline && condition(plan.conditions, "Progressing") === undefined)
      plan.setCondition("Progressing", "True", "FoundNewReplicaSet", `Found new replica set "${newOne.metadata.name}"`);
    return;
  }
  if (!create) return;
  const made = newReplicaSet(deployment, revision, state.collisionCount);
  made.spec.replicas = newReplicas(deployment, plan.all, 0);
  plan.create(made);
  carryRevision(plan, String(revision));
  if (!deadline) return;
  const { name } = made.metadata;
  const failed = `Failed to create new replica set "${name}": ${state.failure}`;
  if (state.failure !== undefined) plan.setCondition("Progressing", "False", "ReplicaSetCreateError", failed);
  else plan.setCondition("Progressing", "True", "NewReplicaSetCreated", `Created new replica set "${name}"`);
}

function carryRevision(plan: Plan, revision: string): void {
  if (plan.deployment.metadata.annotations?.[revisionAnnotation] !== revision) plan.revision = revision;
}

function newReplicaSet(deployment: Deployment, revision: number, collisionCount: number | undefined): ReplicaSet {
  const { template, selector, minReadySeconds } = deployment.spec;
  const hash = templateHash(template, collisionCount);
  const labels = { ...template.metadata?.labels, [templateHashLabel]: hash };
  return {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    metadata: {
      name: `${deployment.metadata.name}-${hash}`,
      namespace: deployment.metadata.namespace!,
      labels,
      annotations: { ...newAnnotations(deployment, undefined, revision), ...sizeAnnotations(deployment) },
      ownerReferences: [controllerRef(Deployments, deployment)],
    },
    spec: {
      replicas: 0,
      ...(minReadySeconds !== undefined && { minReadySeconds }),
      selector: { ...selector, matchLabels: { ...selector.matchLabels, [templateHashLabel]: hash } },
      template: { ...template, metadata: { ...template.metadata, labels } },
    },
  };
}

/** Keeps `revisionHistoryLimit` old ReplicaSets, the newest revisions; only what is empty and has said so goes. */
export function cleanUp(plan: Plan): void {
  const { revisionHistoryLimit } = plan.deployment.spec;
  if (revisionHistoryLimit === undefined || revisionHistoryLimit === 2 ** 31 - 1) return;
  const old = plan.old.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  const tooMany = Math.max(0, old.length - revisionHistoryLimit);
  for (const replicaSet of old.sort((a, b) => revisionOf(a) - revisionOf(b)).slice(0, tooMany)) {
    const { metadata, status } = replicaSet;
    const isSettled = (status?.observedGeneration ?? 0) >= (metadata.generation ?? 0);
    if (replicasOf(replicaSet) === 0 && (status?.replicas ?? 0) === 0 && isSettled) plan.delete(replicaSet);
  }
}
