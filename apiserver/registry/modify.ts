import type { KubernetesObject } from "../../apimachinery/object.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { conflict, notFound } from "../../apimachinery/status.ts";
import { viewed } from "../crd/view.ts";
import type { StoredObject } from "../storage/stored-object.ts";
import { commit } from "./commit.ts";
import { keyOf, live, type Place, prefixOfResource, withoutRevision } from "./context.ts";

/** A new state of the object (the argument may be changed and returned), or its end. Throws what the client shall hear. */
export type Modifier = (current: KubernetesObject) => Next | Promise<Next>;

export type Next = KubernetesObject | typeof gone;

/** The object goes away with this change. */
export const gone = Symbol("gone");

export interface Modified {
  /** The state in which the object is left, or its last one when it is gone. */
  stored: StoredObject;
  gone: boolean;
}

/**
 * Changes one object under its revision, again and again until no other writer comes between. Begins with what the cache
 * has, which is nearly always the newest; before a refusal reaches the client, it is asked anew on the state of the
 * store. No write happens when nothing changes. Throws 404.
 */
export function modify(at: Place, dryRun: boolean, modifier: Modifier): Promise<Modified> {
  const { context, resource, target } = at;
  const key = keyOf(resource, target);
  const cachedNow = () => context.cache.resource(prefixOfResource(resource)).objects.get(key);
  if (dryRun) return attempts(at, dryRun, modifier, cachedNow());
  return context.locks.run(key, (newest) => {
    const cached = cachedNow();
    const known = newest === undefined || (cached && cached.revision > newest.revision) ? cached : newest;
    return attempts(at, dryRun, modifier, known);
  });
}

async function attempts(at: Place, dryRun: boolean, modifier: Modifier, known?: StoredObject): Promise<Modified> {
  const { context, resource, target } = at;
  let current = known ?? (await live(at));
  let fresh = known === undefined;
  for (let attempt = 0; attempt < maxAttempts; attempt++) {
    const shown = await viewed(resource, current);
    let next: Next | undefined;
    let refusal: { error: unknown } | undefined;
    try {
      const made = await modifier(shown.parse()); // cheaper than a clone
      const changes = made === gone || !sameJson(withoutRevision(made), withoutRevision(shown.parse()));
      if (changes || current.stale) next = made;
    } catch (error) {
      refusal = { error };
    }
    if (next === undefined) {
      const newest = fresh ? current : await live(at);
      fresh = true;
      if (newest.revision === current.revision) {
        if (refusal) throw refusal.error; // webhooks need not be asked twice
        return { stored: newest, gone: false };
      }
      current = newest;
      continue;
    }
    const change = { key: current.key, old: current, next: next === gone ? undefined : next };
    const outcome = await commit(context, resource, change, dryRun);
    if (outcome.committed) return { stored: outcome.stored, gone: next === gone };
    if (outcome.current === undefined) throw notFound(resource, target.name);
    current = outcome.current;
    fresh = true;
  }
  throw conflict(resource, target.name);
}

/** Others may come between now and then, but not for ever. */
const maxAttempts = 500;

/**
 * One change of an object after the other, as far as they come through this process: of many at once the store would
 * accept one and refuse the rest. Each begins with what the one before it left, which the cache may not have yet.
 * Correctness does not rest on it: other apiservers write too, and every write is conditional.
 */
export class KeyLocks {
  readonly #tails = new Map<string, Promise<StoredObject | undefined>>();

  async run<T extends { stored: StoredObject; gone: boolean }>(
    key: string,
    work: (newest: StoredObject | undefined) => Promise<T>,
  ): Promise<T> {
    const before = this.#tails.get(key);
    const result = before === undefined ? work(undefined) : before.then(work);
    const tail = result.then(
      ({ stored, gone }) => (gone ? undefined : stored),
      () => undefined,
    );
    this.#tails.set(key, tail);
    try {
      return await result;
    } finally {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    }
  }
}
