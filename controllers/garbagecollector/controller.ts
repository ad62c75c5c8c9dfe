import { LRUCache } from "lru-cache";
import type { CustomResourceDefinition } from "../../api/generated/apiextensions-v1.ts";
import { CustomResourceDefinitions } from "../../api/generated/resources.ts";
import {
  apiVersionOf,
  type KubernetesObject,
  type OwnerReference,
  type ResourceType,
} from "../../apimachinery/object.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { ignoring, isNotFound } from "../../apimachinery/status.ts";
import type { Informer } from "../../client/informer.ts";
import { keyOf } from "../../client/store.ts";
import type { ControllerContext } from "../context.ts";
import { collectable, customType } from "../kinds.ts";
import type { Runner } from "../runner.ts";
import {
  type Action,
  foregroundFinalizer,
  type OwnerState,
  orphanFinalizer,
  reconcile,
  type State,
} from "./reconcile.ts";

interface Kind {
  type: ResourceType<KubernetesObject>;
  /** Of a custom resource; then it is no longer among those that are alive. */
  stop?(): void;
  informer: Informer<KubernetesObject>;
  byUid: (uid: string) => KubernetesObject[];
  byOwner: (uid: string) => KubernetesObject[];
}

interface Found {
  kind: Kind;
  object: KubernetesObject;
}

/**
 * Follows ownerReferences across all kinds of ours, and custom resources for as long as they are defined. Keys are
 * `<index of the kind>:<namespace>/<name>`, so `kinds` only grows; searches go through those that are `alive`.
 * An owner of a kind that we do not watch counts as present: what cannot be judged is not deleted.
 */
export function garbageCollector(context: ControllerContext): Runner<State, Action> {
  const { client } = context;
  const kindOf = (type: Kind["type"], informer: Kind["informer"], stop?: () => void): Kind => ({
    type,
    informer,
    ...(stop ? { stop } : {}),
    byUid: informer.store.index(({ metadata }) => [metadata.uid!]),
    byOwner: informer.store.index(({ metadata }) => (metadata.ownerReferences ?? []).map(({ uid }) => uid)),
  });
  const kinds = collectable.map((type) => kindOf(type, context.informer(type)));
  let alive = [...kinds];
  /** What a look at the server has shown of owners that no cache has; deletions that we saw ourselves, too. */
  const lookedUp = new LRUCache<string, "present" | "absent">({ max: 10_000 });

  const runner = context.runner<State, Action>({
    name: "garbagecollector",
    workers: 20,
    gather(key) {
      const found = find(key);
      if (found === undefined) return undefined;
      const { object } = found;
      const owners = (object.metadata.ownerReferences ?? []).map((reference) => ({
        reference,
        state: ownerState(reference, object.metadata.namespace),
      }));
      return { object, owners, dependents: dependentsOf(object.metadata.uid!).map((dependent) => dependent.object) };
    },
    reconcile,
    async execute(action, { object }, signal) {
      const kind = alive.find(({ byUid }) => byUid(object.metadata.uid!).length > 0);
      if (kind === undefined) return;
      const { uid, resourceVersion } = object.metadata;
      switch (action.type) {
        case "LookUpOwner":
          await lookUp(action.reference, object.metadata.namespace, signal);
          queue.add(keyIn(kind, object));
          return;
        case "Delete": {
          const { propagationPolicy } = action;
          const preconditions = { uid: uid!, resourceVersion: resourceVersion! };
          await client.delete(kind.type, object.metadata, { propagationPolicy, preconditions, signal });
          return;
        }
        case "DropOwners":
          return dropOwners({ kind, object }, action.uids, signal);
        case "OrphanDependents":
          for (const dependent of dependentsOf(uid!)) await dropOwners(dependent, [uid!], signal);
          return;
        case "RemoveFinalizer": {
          const finalizers = object.metadata.finalizers!.filter((finalizer) => finalizer !== action.finalizer);
          const body = { metadata: { uid, resourceVersion, finalizers } };
          await client.patch(kind.type, object.metadata, { type: "merge", body }, { signal });
          return;
        }
      }
    },
  });
  const { queue } = runner;

  function keyIn(kind: Kind, object: KubernetesObject): string {
    return `${kinds.indexOf(kind)}:${keyOf(object)}`;
  }

  function find(key: string): Found | undefined {
    const colon = key.indexOf(":");
    const kind = kinds[Number(key.slice(0, colon))]!;
    const object = kind.informer.store.get(key.slice(colon + 1));
    return object && { kind, object };
  }

  function dependentsOf(uid: string): Found[] {
    return alive.flatMap((kind) => kind.byOwner(uid).map((object) => ({ kind, object })));
  }

  function ownerState({ uid, apiVersion, kind }: OwnerReference, namespace: string | undefined): OwnerState {
    const candidate = alive.find(({ type }) => type.kind === kind && apiVersionOf(type) === apiVersion);
    if (candidate === undefined) return "present";
    const owner = candidate
      .byUid(uid)
      .find(({ metadata }) => !candidate.type.namespaced || metadata.namespace === namespace);
    if (owner === undefined) return lookedUp.get(uid) ?? "unknown";
    const { deletionTimestamp, finalizers } = owner.metadata;
    return deletionTimestamp !== undefined && finalizers?.includes(foregroundFinalizer) ? "waiting" : "present";
  }

  async function lookUp(reference: OwnerReference, namespace: string | undefined, signal: AbortSignal): Promise<void> {
    const { uid, name, apiVersion, kind } = reference;
    const type = alive.find(({ type }) => type.kind === kind && apiVersionOf(type) === apiVersion)?.type;
    if (type === undefined) return; // its definition went a moment ago
    const key = type.namespaced ? { namespace, name } : { name };
    const owner = await client.get(type, key, { signal }).catch(ignoring(isNotFound));
    lookedUp.set(uid, owner?.metadata.uid === uid ? "present" : "absent");
  }

  async function dropOwners({ kind, object }: Found, uids: string[], signal: AbortSignal): Promise<void> {
    const { uid, resourceVersion, ownerReferences = [] } = object.metadata;
    const left = ownerReferences.filter((owner) => !uids.includes(owner.uid));
    const body = { metadata: { uid, resourceVersion, ownerReferences: left.length > 0 ? left : null } };
    const patch = { type: "merge", body } as const;
    await client.patch(kind.type, object.metadata, patch, { signal }).catch(ignoring(isNotFound));
  }

  function enqueueOwners({ metadata }: KubernetesObject): void {
    for (const { uid } of metadata.ownerReferences ?? []) {
      for (const kind of alive) for (const owner of kind.byUid(uid)) if (isGoing(owner)) queue.add(keyIn(kind, owner));
    }
  }

  function enqueueDependents({ metadata }: KubernetesObject): void {
    for (const { kind, object } of dependentsOf(metadata.uid!)) queue.add(keyIn(kind, object));
  }

  function follow(kind: Kind): void {
    kind.informer.on({
      onAdd(object) {
        if (object.metadata.ownerReferences || isGoing(object)) queue.add(keyIn(kind, object));
      },
      onUpdate(old, object) {
        const began = isGoing(object) && !isGoing(old);
        const isMoved = !sameJson(old.metadata.ownerReferences, object.metadata.ownerReferences);
        if (began || isMoved) queue.add(keyIn(kind, object));
        if (began) enqueueDependents(object);
        if (isMoved) enqueueOwners(old); // it may block them no longer
      },
      onDelete(object) {
        lookedUp.set(object.metadata.uid!, "absent");
        enqueueDependents(object);
        enqueueOwners(object);
      },
    });
  }

  function forget({ spec: { group, names } }: CustomResourceDefinition): void {
    for (const kind of alive) if (kind.type.group === group && kind.type.resource === names.plural) kind.stop?.();
    alive = alive.filter(({ type, stop }) => !(stop && type.group === group && type.resource === names.plural));
  }

  function define(definition: CustomResourceDefinition): void {
    const type = customType(definition);
    if (alive.some((known) => type && sameJson(known.type, type))) return;
    forget(definition);
    if (type === undefined) return;
    const { informer, stop } = context.lateInformer(type);
    const kind = kindOf(type, informer, stop);
    kinds.push(kind);
    alive.push(kind);
    follow(kind);
  }

  for (const kind of kinds) follow(kind);
  context
    .informer(CustomResourceDefinitions)
    .on({ onAdd: define, onUpdate: (_, definition) => define(definition), onDelete: forget });
  return runner;
}

/** Deletion has begun and waits for one of our finalizers. */
function isGoing({ metadata }: KubernetesObject): boolean {
  const finalizers = metadata.finalizers ?? [];
  return (
    metadata.deletionTimestamp !== undefined &&
    (finalizers.includes(foregroundFinalizer) || finalizers.includes(orphanFinalizer))
  );
}
