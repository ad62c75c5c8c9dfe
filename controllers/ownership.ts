import type { LabelSelector } from "../apimachinery/generated/meta-v1.ts";
import type { KubernetesObject, OwnerReference, ResourceType } from "../apimachinery/object.ts";
import { labelSelector, matches, type Selector } from "../apimachinery/selectors.ts";
import type { Client } from "../client/types.ts";

/** The owner that manages the object; at most one owner reference is the controller's. */
export function controllerOf({ metadata }: KubernetesObject): OwnerReference | undefined {
  return metadata.ownerReferences?.find(({ controller }) => controller === true);
}

/** The reference that a controller's creatures carry to `owner`. */
export function controllerRef(type: ResourceType<KubernetesObject>, { metadata }: KubernetesObject): OwnerReference {
  return {
    apiVersion: type.group === "" ? type.version : `${type.group}/${type.version}`,
    kind: type.kind,
    name: metadata.name,
    uid: metadata.uid!,
    controller: true,
    blockOwnerDeletion: true,
  };
}

export interface Claimed<T> {
  /** Owned and selected, the adopted ones included. */
  owned: T[];
  adopt: T[];
  release: T[];
}

/**
 * Who belongs to `owner`: what it controls and still selects, and selected objects without a controller, which it
 * adopts. What it controls but no longer selects it releases. An owner that is being deleted does neither.
 * (upstream: controller_ref_manager.go)
 */
export function claim<T extends KubernetesObject>(
  owner: KubernetesObject,
  selector: LabelSelector | undefined,
  candidates: readonly T[],
): Claimed<T> {
  const result: Claimed<T> = { owned: [], adopt: [], release: [] };
  const ownerIsGoing = owner.metadata.deletionTimestamp !== undefined;
  for (const object of candidates) {
    const controller = controllerOf(object);
    const selected = selects(selector, object.metadata.labels);
    if (controller !== undefined) {
      if (controller.uid !== owner.metadata.uid) continue;
      if (selected) result.owned.push(object);
      else if (!ownerIsGoing) result.release.push(object);
    } else if (selected && !ownerIsGoing && object.metadata.deletionTimestamp === undefined) {
      result.adopt.push(object);
      result.owned.push(object);
    }
  }
  return result;
}

const parsed = new WeakMap<LabelSelector, Selector>();

/** Whether an object's selector, already validated by the server, selects these labels. */
export function selects(selector: LabelSelector | undefined, labels: Record<string, string> | undefined): boolean {
  if (selector === undefined) return false;
  const known = parsed.get(selector) ?? labelSelector(selector);
  parsed.set(selector, known);
  return matches(known, labels);
}

/** The server refuses it when the object has changed since: someone else may have adopted it. */
export function adopt<T extends KubernetesObject>(
  client: Client,
  type: ResourceType<T>,
  object: T,
  owner: OwnerReference,
  signal: AbortSignal,
): Promise<T> {
  return patchOwners(client, type, object, [...(object.metadata.ownerReferences ?? []), owner], signal);
}

export function release<T extends KubernetesObject>(
  client: Client,
  type: ResourceType<T>,
  object: T,
  ownerUid: string,
  signal: AbortSignal,
): Promise<T> {
  const others = (object.metadata.ownerReferences ?? []).filter(({ uid }) => uid !== ownerUid);
  return patchOwners(client, type, object, others.length > 0 ? others : null, signal);
}

function patchOwners<T extends KubernetesObject>(
  client: Client,
  type: ResourceType<T>,
  { metadata }: T,
  ownerReferences: OwnerReference[] | null,
  signal: AbortSignal,
): Promise<T> {
  const { uid, resourceVersion } = metadata;
  const body = { metadata: { uid, resourceVersion, ownerReferences } };
  return client.patch(type, metadata, { type: "merge", body }, { signal });
}
