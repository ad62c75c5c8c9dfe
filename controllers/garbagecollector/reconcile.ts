import type { KubernetesObject, OwnerReference } from "../../apimachinery/object.ts";

/**
 * Where an owner stands: `unknown` is one that the caches do not show, which may be because they lag; `waiting` is being
 * deleted in the foreground and waits for us to go first.
 */
export type OwnerState = "present" | "waiting" | "absent" | "unknown";

export interface State {
  object: KubernetesObject;
  owners: readonly { reference: OwnerReference; state: OwnerState }[];
  /** Everything that has this object among its owners. */
  dependents: readonly KubernetesObject[];
}

export type Action =
  | { type: "LookUpOwner"; reference: OwnerReference }
  | { type: "Delete"; propagationPolicy: "Background" | "Foreground" | "Orphan" }
  | { type: "DropOwners"; uids: string[] }
  | { type: "OrphanDependents" }
  | { type: "RemoveFinalizer"; finalizer: string };

export const foregroundFinalizer = "foregroundDeletion";
export const orphanFinalizer = "orphan";

/**
 * What the ownerReferences ask for (pkg/controller/garbagecollector).
 *
 * - An object all of whose owners are gone is deleted; one of several owners gone is forgotten.
 * - An owner deleted in the foreground goes after the dependents that block it; these are deleted as if it were gone.
 * - An owner deleted with `orphan` first gives its dependents up.
 */
export function reconcile({ object, owners, dependents }: State): Action[] {
  const { metadata } = object;
  const isGoing = metadata.deletionTimestamp !== undefined;
  const has = (finalizer: string) => metadata.finalizers?.includes(finalizer) ?? false;
  if (isGoing && has(orphanFinalizer))
    return [{ type: "OrphanDependents" }, { type: "RemoveFinalizer", finalizer: orphanFinalizer }];
  if (isGoing && has(foregroundFinalizer)) {
    const isBlocked = dependents.some((dependent) => blocks(dependent, metadata.uid!));
    return isBlocked ? [] : [{ type: "RemoveFinalizer", finalizer: foregroundFinalizer }];
  }
  if (isGoing || owners.length === 0) return [];
  const unknown = owners.filter(({ state }) => state === "unknown");
  if (unknown.length > 0) return unknown.map(({ reference }) => ({ type: "LookUpOwner", reference }));
  const lost = owners.filter(({ state }) => state !== "present");
  if (lost.length === 0) return [];
  if (lost.length < owners.length) return [{ type: "DropOwners", uids: lost.map(({ reference }) => reference.uid) }];
  // An owner that waits for us waits for our dependents too, as they may block us in turn.
  const isWaitedFor = lost.some(({ state }) => state === "waiting") && dependents.length > 0;
  if (isWaitedFor || has(foregroundFinalizer)) return [{ type: "Delete", propagationPolicy: "Foreground" }];
  return [{ type: "Delete", propagationPolicy: has(orphanFinalizer) ? "Orphan" : "Background" }];
}

function blocks({ metadata }: KubernetesObject, ownerUid: string): boolean {
  return (
    metadata.ownerReferences?.some((owner) => owner.uid === ownerUid && owner.blockOwnerDeletion === true) ?? false
  );
}
