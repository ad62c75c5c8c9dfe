import { PersistentVolumeClaims, PersistentVolumes, Pods } from "../../api/generated/resources.ts";
import type { KubernetesObject, ResourceType } from "../../apimachinery/object.ts";
import { keyOf } from "../../client/store.ts";
import type { ControllerContext } from "../context.ts";
import type { Runner } from "../runner.ts";
import { type Action, reconcile, type State, usesClaim } from "./reconcile.ts";

interface Protection<T extends KubernetesObject> {
  name: string;
  type: ResourceType<T>;
  isUsed(object: T): boolean;
  /** As the server knows it, which the informers may not yet. */
  isUsedNow(object: T, signal: AbortSignal): Promise<boolean>;
}

export function volumeProtectionControllers(context: ControllerContext): Runner<State, Action>[] {
  const pods = context.informer(Pods);
  const claims = protection(context, {
    name: "pvc-protection",
    type: PersistentVolumeClaims,
    isUsed: (claim) => pods.store.list().some((pod) => usesClaim(pod, claim)),
    async isUsedNow(claim, signal) {
      const { items } = await context.client.list(Pods, { namespace: claim.metadata.namespace!, signal });
      return items.some((pod) => usesClaim(pod, claim));
    },
  });
  const deleted = context
    .informer(PersistentVolumeClaims)
    .store.index(({ metadata }) => [String(metadata.deletionTimestamp !== undefined)]);
  const enqueue = () => deleted("true").forEach((claim) => void claims.queue.add(keyOf(claim)));
  pods.on({ onUpdate: enqueue, onDelete: enqueue });
  const volumes = protection(context, {
    name: "pv-protection",
    type: PersistentVolumes,
    isUsed: ({ status }) => status?.phase === "Bound",
    isUsedNow: async () => false,
  });
  return [claims, volumes];
}

function protection<T extends KubernetesObject>(context: ControllerContext, { name, type, ...is }: Protection<T>) {
  const objects = context.informer(type);
  const finalizer = `kubernetes.io/${name}`;
  const runner = context.runner<State, Action>({
    name,
    gather(key) {
      const object = objects.store.get(key);
      return (
        object && { object, finalizer, isUsed: object.metadata.deletionTimestamp !== undefined && is.isUsed(object) }
      );
    },
    reconcile,
    async execute({ type: verb }, { object }, signal) {
      if (verb === "Release" && (await is.isUsedNow(object as T, signal))) return;
      const others = (object.metadata.finalizers ?? []).filter((one) => one !== finalizer);
      const finalizers = verb === "Release" ? others : [...others, finalizer];
      await context.client.update(type, { ...(object as T), metadata: { ...object.metadata, finalizers } }, { signal });
    },
  });
  objects.on((object) => runner.queue.add(keyOf(object)));
  return runner;
}
