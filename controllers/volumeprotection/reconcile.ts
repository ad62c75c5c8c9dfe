import type { PersistentVolumeClaim, Pod } from "../../api/generated/core-v1.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { controllerOf } from "../ownership.ts";

export interface State {
  object: KubernetesObject;
  finalizer: string;
  isUsed: boolean;
}

export interface Action {
  type: "Protect" | "Release";
}

/**
 * A storage object that someone deletes stays until nobody uses it (pkg/controller/volume/pvcprotection, pvprotection).
 * Admission gives the finalizer; those that were there before get it here.
 */
export function reconcile({ object: { metadata }, finalizer, isUsed }: State): Action[] {
  const isProtected = metadata.finalizers?.includes(finalizer) ?? false;
  if (metadata.deletionTimestamp === undefined) return isProtected ? [] : [{ type: "Protect" }];
  return isProtected && !isUsed ? [{ type: "Release" }] : [];
}

/**
 * Not before the Pod has a node: from then on no agent starts a Pod whose claim is being deleted. One that has ended uses
 * its claims until it is gone; the claim that was made for an ephemeral volume until the agent has finished with it.
 */
export function usesClaim({ metadata, spec }: Pod, claim: PersistentVolumeClaim): boolean {
  if (!spec.nodeName || metadata.namespace !== claim.metadata.namespace) return false;
  const isShutDown = metadata.deletionTimestamp !== undefined && metadata.deletionGracePeriodSeconds === 0;
  const isOwn = !isShutDown && controllerOf(claim)?.uid === metadata.uid;
  return (spec.volumes ?? []).some(
    ({ name, persistentVolumeClaim, ephemeral }) =>
      persistentVolumeClaim?.claimName === claim.metadata.name ||
      (ephemeral !== undefined && isOwn && `${metadata.name}-${name}` === claim.metadata.name),
  );
}
