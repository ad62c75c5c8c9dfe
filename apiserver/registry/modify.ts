import type { Resource } from "../../api/resource.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { conflict, notFound } from "../../apimachinery/status.ts";
import { viewed } from "../crd/view.ts";
import type { Target } from "../request.ts";
import type { StoredObject } from "../storage/stored-object.ts";
import { commit } from "./commit.ts";
import { type Context, keyOf, live, prefixOfResource, withoutRevision } from "./context.ts";

/** A new state of the object (the argument may be changed and returned), or its end. Throws what the client shall hear. */
export type Modifier = (current: KubernetesObject) => Next | Promise<Next>;

export type Next = KubernetesObject | typeof gone;

/** The object goes away with this change. */
export const gone = Symbol("gone");

export interface Modified {
  stored: StoredObject;
  gone: boolean;
}

/**
 * Changes one object under its revision, again and again until no other writer comes between. Begins with what the cache
 * has, which is nearly always the newest; before a refusal reaches the client, it is asked anew on the state of the
 * store. No write happens when nothing changes. Throws 404.
 */
export function modify(
  context: Context,
  resource: Resource,
  target: Target,
  modifier: Modifier,
  dryRun = false,
): Promise<Modified> {
  const key = keyOf(resource, target);
  const cachedNow = () => context.cache.resource(prefixOfResource(resource)).objects.get(key);
  if (dryRun) return attempts(context, resource, target, modifier, dryRun, cachedNow());
  return context.locks.run(key, (newest) => {
    const cached = cachedNow();
    const known = newest === undefined || (cached && cached.revision > newest.revision) ? cached : newest;
    return attempts(context, resource, target, modifier, dryRun, known);
  });
}

async function attempts(
  context: Context,
  resource: Resource,
  target: Target,
  modifier: Modifier,
  dryRun: boolean,
  known: StoredObject | undefined,
): Promise<Modified> {
  const key = keyOf(resource, target);
  let current = known ?? (await live(context, resource, target));
  let fresh = known === undefined;
  for (let attempt = 0; attempt < maxAttempts; attempt++) {
    const shown = await viewed(resource, current);
    const old = shown.parse();
    let next: Next;
    try {
      next = await modifier(shown.parse()); // cheaper than a clone
    } catch (error) {
      if (fresh) throw error;
      const newest = await live(context, resource, target);
      if (newest.revision === current.revision) throw error; // webhooks need not be asked twice
      current = newest;
      fresh = true;
      continue;
    }
    if (next !== gone && !current.stale && sameJson(withoutRevision(next), withoutRevision(old))) {
      if (fresh) return { stored: current, gone: false };
      const newest = await live(context, resource, target);
      if (newest.revision === current.revision) return { stored: newest, gone: false };
      current = newest;
      fresh = true;
      continue;
    }
    const change = { key, old: current, next: next === gone ? undefined : next };
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
