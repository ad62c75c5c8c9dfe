import type { LabelSelector } from "../apimachinery/generated/meta-v1.ts";
import { apiVersionOf, type KubernetesObject, type OwnerReference, type ResourceType } from "../apimachinery/object.ts";
import { labelSelector, matches, type Selector } from "../apimachinery/selectors.ts";
import { conflict } from "../apimachinery/status.ts";
import type { Informer } from "../client/informer.ts";
import { keyOf } from "../client/store.ts";
import type { Client } from "../client/types.ts";

/** The owner that manages the object; at most one owner reference is the controller's. */
export function controllerOf({ metadata }: KubernetesObject): OwnerReference | undefined {
  return metadata.ownerReferences?.find(({ controller }) => controller === true);
}

/** The reference that a controller's creatures carry to `owner`. */
export function controllerRef(type: ResourceType<KubernetesObject>, { metadata }: KubernetesObject): OwnerReference {
  return {
    apiVersion: apiVersionOf(type),
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

export interface Controlled<T> {
  controlledBy(uid: string): T[];
  /** Of one namespace; these may be adopted. */
  withoutController(namespace: string): T[];
}

export function byController<T extends KubernetesObject>({ store }: Informer<T>): Controlled<T> {
  const orphansOf = (namespace: string) => `${namespace}/`; // no uid has a slash
  const index = store.index((object) => [controllerOf(object)?.uid ?? orphansOf(object.metadata.namespace!)]);
  return { controlledBy: index, withoutController: (namespace) => index(orphansOf(namespace)) };
}

/** Calls `enqueue` for every owner that a change of `owned` may concern: the controller, or who may adopt it. */
export function followOwned<
  T extends KubernetesObject,
  O extends KubernetesObject & { spec: { selector: LabelSelector } },
>(owned: Informer<T>, owners: Informer<O>, enqueue: (key: string) => void): (object: T) => void {
  const ownersIn = owners.store.index(({ metadata }) => [metadata.namespace!]);
  const enqueueFor = (object: T) => {
    const { namespace, labels } = object.metadata;
    const owner = controllerOf(object);
    if (owner?.kind === owners.type.kind) enqueue(`${namespace}/${owner.name}`);
    if (owner !== undefined) return;
    for (const one of ownersIn(namespace!)) if (selects(one.spec.selector, labels)) enqueue(keyOf(one));
  };
  owned.on(enqueueFor);
  owned.on({
    onUpdate(old, object) {
      if (controllerOf(old)?.uid !== controllerOf(object)?.uid) enqueueFor(old);
    },
  });
  return enqueueFor;
}

/**
 * Adoption needs more than the cache: an owner deleted meanwhile must not catch anything new. The server refuses it, too,
 * when the object has changed since: someone else may have adopted it.
 */
export async function adopt<T extends KubernetesObject, O extends KubernetesObject>(
  client: Client,
  type: ResourceType<T>,
  object: T,
  ownerType: ResourceType<O>,
  owner: O,
  signal: AbortSignal,
): Promise<T> {
  const { name, uid } = owner.metadata;
  const { metadata: fresh } = await client.get(ownerType, owner.metadata, { signal });
  if (fresh.uid !== uid || fresh.deletionTimestamp !== undefined)
    throw conflict(ownerType, name, "it is being deleted, and adopts nothing");
  const references = [...(object.metadata.ownerReferences ?? []), controllerRef(ownerType, owner)];
  return patchOwners(client, type, object, references, signal);
}

export function release<T extends KubernetesObject>(
  client: Client,
  type: ResourceType<T>,
  object: T,
  owner: KubernetesObject,
  signal: AbortSignal,
): Promise<T> {
  const others = (object.metadata.ownerReferences ?? []).filter(({ uid }) => uid !== owner.metadata.uid);
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
