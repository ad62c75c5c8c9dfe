import type { PersistentVolume, PersistentVolumeClaim } from "../../api/generated/core-v1.ts";
import {
  PersistentVolumeClaims,
  PersistentVolumes,
  Pods,
  VolumeAttributesClasses,
} from "../../api/generated/resources.ts";
import type { KubernetesObject, ResourceType } from "../../apimachinery/object.ts";
import { keyOf } from "../../client/store.ts";
import type { ControllerContext } from "../context.ts";
import { Runner } from "../runner.ts";
import {
  type Action,
  claimsOf,
  classesOfClaim,
  classesOfVolume,
  reconcile,
  type State,
  usesClaim,
} from "./reconcile.ts";

interface Protection<T extends KubernetesObject> {
  name: string;
  type: ResourceType<T>;
  finalizer: string;
  isUsed?(object: T): boolean;
  users: User<T>[];
}

/** A kind whose objects use protected ones. */
interface User<T> {
  type: ResourceType<KubernetesObject>;
  /** The keys of what a user may use. */
  uses(user: KubernetesObject): string[];
  /** What of that it does; all without. */
  confirm?(user: KubernetesObject, object: T): boolean;
}

const user = <U extends KubernetesObject, T>(
  type: ResourceType<U>,
  uses: (user: U) => string[],
  confirm?: (user: U, object: T) => boolean,
) => ({ type, uses, confirm }) as unknown as User<T>;

const claims: Protection<PersistentVolumeClaim> = {
  name: "pvc-protection",
  type: PersistentVolumeClaims,
  finalizer: "kubernetes.io/pvc-protection",
  users: [user(Pods, claimsOf, usesClaim)],
};
const volumes: Protection<PersistentVolume> = {
  name: "pv-protection",
  type: PersistentVolumes,
  finalizer: "kubernetes.io/pv-protection",
  isUsed: ({ status }) => status?.phase === "Bound",
  users: [],
};
const classes: Protection<KubernetesObject> = {
  name: "volumeattributesclass-protection",
  type: VolumeAttributesClasses,
  finalizer: "kubernetes.io/vac-protection",
  users: [user(PersistentVolumeClaims, classesOfClaim), user(PersistentVolumes, classesOfVolume)],
};

export const volumeProtectionControllers = (context: ControllerContext): Runner<State, Action>[] => [
  protectionController(context, claims),
  protectionController(context, volumes),
  protectionController(context, classes),
];

function protectionController<T extends KubernetesObject>(
  context: ControllerContext,
  { name, type, finalizer, isUsed, users }: Protection<T>,
): Runner<State, Action> {
  const { client } = context;
  const objects = context.informer(type);
  const usersOf = users.map(({ type: userType, uses }) => context.informer(userType).store.index(uses));
  const isUsedBy = ({ uses, confirm }: User<T>, one: KubernetesObject, object: T) =>
    uses(one).includes(keyOf(object)) && (confirm?.(one, object) ?? true);

  /** The informer may not know a new user yet, so before an object goes the server is asked. */
  async function isUsedNow(object: T, signal: AbortSignal): Promise<boolean> {
    for (const one of users) {
      const { namespace } = object.metadata;
      const { items } = await client.list(one.type, { ...(namespace && { namespace }), signal });
      if (items.some((item) => isUsedBy(one, item, object))) return true;
    }
    return false;
  }

  const runner = new Runner<State, Action>(
    {
      name,
      gather(key) {
        const object = objects.store.get(key);
        if (object === undefined) return undefined;
        const known = users.some((one, i) => usersOf[i]!(key).some((item) => isUsedBy(one, item, object)));
        return { object, finalizer, isUsed: known || (isUsed?.(object) ?? false) };
      },
      reconcile,
      async execute(action, { object }, signal) {
        if (action.type === "Release" && (await isUsedNow(object as T, signal))) return;
        const others = (object.metadata.finalizers ?? []).filter((one) => one !== finalizer);
        const finalizers = action.type === "Release" ? others : [...others, finalizer];
        await client.update(type, { ...(object as T), metadata: { ...object.metadata, finalizers } }, { signal });
      },
    },
    context,
  );
  const add = (key: string) => runner.queue.add(key);
  const enqueue = (object: KubernetesObject) => add(keyOf(object));
  objects.on({ onAdd: enqueue, onUpdate: (_old, object) => enqueue(object) });
  for (const { type: userType, uses } of users) {
    const enqueueUsed = (one: KubernetesObject) => uses(one).forEach(add);
    context.informer(userType).on({
      onUpdate: (old, one) => [old, one].forEach(enqueueUsed), // a user may have let go of what it used
      onDelete: enqueueUsed,
    });
  }
  return runner;
}
