import type { KubernetesObject } from "../apimachinery/object.ts";
import { memo } from "../base/memo.ts";
import type { Informer } from "./informer.ts";
import { keyOf } from "./store.ts";

/**
 * Our own writes that the informers do not show yet. Who decides from an informer's store must not decide twice on
 * the same state: a controller that has created a Pod and looks again too early would create another one. Where
 * client-go's controllers count expected events, we wait for the revisions themselves: `allVisible(key)` is false until
 * the informers have caught up with everything noted for that key. The event that brings the last of it must lead to
 * the key being looked at again, as every event of an owned object does.
 */
export class OwnWrites {
  readonly #pending = new Map<string, Set<() => boolean>>();

  /** `object` as the server answered. */
  wrote<T extends KubernetesObject>(key: string, informer: Informer<T>, object: T): void {
    const revision = Number(object.metadata.resourceVersion);
    this.#note(key, () => Number(informer.resourceVersion) >= revision);
  }

  /** A delete of `object` was accepted: seen when it is gone, replaced, or marked with a deletionTimestamp. */
  deleted<T extends KubernetesObject>(key: string, informer: Informer<T>, object: T): void {
    const { uid } = object.metadata;
    this.#note(key, () => {
      const seen = informer.store.get(keyOf(object));
      return seen === undefined || seen.metadata.uid !== uid || seen.metadata.deletionTimestamp !== undefined;
    });
  }

  allVisible(key: string): boolean {
    const pending = this.#pending.get(key);
    if (pending === undefined) return true;
    for (const isVisible of pending) if (isVisible()) pending.delete(isVisible);
    if (pending.size > 0) return false;
    this.#pending.delete(key);
    return true;
  }

  forget(key: string): void {
    this.#pending.delete(key);
  }

  #note(key: string, isVisible: () => boolean): void {
    if (!isVisible()) memo(this.#pending, key, () => new Set()).add(isVisible);
  }
}
