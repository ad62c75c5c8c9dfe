import type { PersistentVolume, PersistentVolumeClaim, Pod } from "../../api/generated/core-v1.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { keyOf } from "../../client/store.ts";
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
 * A storage object that someone deletes stays until nobody uses it (pkg/controller/volume/pvcprotection, pvprotection,
 * vacprotection). Admission gives the finalizer; those that were there before get it here.
 */
export function reconcile({ object: { metadata }, finalizer, isUsed }: State): Action[] {
  const isProtected = metadata.finalizers?.includes(finalizer) ?? false;
  if (metadata.deletionTimestamp === undefined) return isProtected ? [] : [{ type: "Protect" }];
  return isProtected && !isUsed ? [{ type: "Release" }] : [];
}

/**
 * The keys of the claims that a Pod may use. Not before it has a node: from then on no agent starts a Pod whose claim is
 * being deleted. A Pod that has ended uses its claims until it is gone.
 */
export function claimsOf(pod: Pod): string[] {
  if (!pod.spec.nodeName) return [];
  return (pod.spec.volumes ?? []).flatMap(({ name, persistentVolumeClaim, ephemeral }) => {
    const claim = persistentVolumeClaim?.claimName ?? (ephemeral && `${pod.metadata.name}-${name}`);
    return claim ? [`${pod.metadata.namespace}/${claim}`] : [];
  });
}

/** Of an ephemeral volume only the claim that was made for it, and only until the agent has finished with the Pod. */
export function usesClaim(pod: Pod, claim: PersistentVolumeClaim): boolean {
  if (!claimsOf(pod).includes(keyOf(claim))) return false;
  const isNamed = pod.spec.volumes?.some((one) => one.persistentVolumeClaim?.claimName === claim.metadata.name);
  const isShutDown = pod.metadata.deletionTimestamp !== undefined && pod.metadata.deletionGracePeriodSeconds === 0;
  return isNamed || (!isShutDown && controllerOf(claim)?.uid === pod.metadata.uid);
}

export const classesOfClaim = ({ spec, status }: PersistentVolumeClaim): string[] =>
  [
    spec?.volumeAttributesClassName,
    status?.currentVolumeAttributesClassName,
    status?.modifyVolumeStatus?.targetVolumeAttributesClassName,
  ].filter((name) => name !== undefined);

export const classesOfVolume = ({ spec }: PersistentVolume): string[] =>
  spec?.volumeAttributesClassName ? [spec.volumeAttributesClassName] : [];
