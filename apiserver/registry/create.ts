import type { Resource } from "../../api/resource.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { alreadyExists, badRequest, generateNameConflict, invalid } from "../../apimachinery/status.ts";
import { formatTime } from "../../apimachinery/time.ts";
import type { Target } from "../request.ts";
import type { StoredObject } from "../storage/stored-object.ts";
import { type Asking, attributesOf } from "./admit.ts";
import { commit } from "./commit.ts";
import { type Context, keyOf, type Place } from "./context.ts";
import { type FieldOwner, ownFields } from "./field-manager.ts";

export interface WriteOptions extends FieldOwner, Asking {}

/** POST: an object that does not exist yet, with the metadata that the server gives. `object` is the caller's to lose. */
export async function create(at: Place, object: KubernetesObject, options: WriteOptions): Promise<StoredObject> {
  const { context, resource, target } = at;
  const { dryRun, warnings } = options;
  const { metadata } = object;
  if (metadata.resourceVersion) throw badRequest("resourceVersion should not be set on objects to be created");
  matchNamespace(resource, target, object);
  if (target.name !== "") matchName(target, object);
  const generated = !metadata.name && metadata.generateName ? metadata.generateName : undefined;
  for (let attempt = 1; ; attempt++) {
    let next = structuredClone(object);
    if (generated !== undefined) next.metadata.name = generateName(generated, (bound) => context.rand.below(bound));
    next.metadata.uid = context.rand.uuid();
    next.metadata.creationTimestamp = formatTime(context.clock.now());
    delete next.metadata.deletionTimestamp;
    delete next.metadata.deletionGracePeriodSeconds;
    delete next.metadata.generation;
    delete (next.metadata as { selfLink?: unknown }).selfLink;
    resource.defaults(next);
    resource.prepareForCreate(next, options.user);
    ownFields(context, resource, "", undefined, next, options);
    const attributes = attributesOf("CREATE", at, [next, undefined], options);
    const { uid, creationTimestamp } = next.metadata;
    if (await context.admission.mutate(attributes)) {
      next = attributes.object!;
      matchNamespace(resource, target, next);
      Object.assign(next.metadata, { uid, creationTimestamp });
      resource.defaults(next);
      resource.prepareForCreate(next, options.user);
    }
    const errors = [...resource.validate(next), ...(options.served?.face?.validateMore(next, undefined) ?? [])];
    if (errors.length > 0) throw invalid(resource, next.metadata.name ?? "", errors);
    if (attempt === 1) warnings.push(...resource.warnings(next));
    await context.admission.validate(attributes);
    const key = keyOf(resource, { namespace: target.namespace, name: next.metadata.name });
    const outcome = await commit(context, resource, { key, old: undefined, next }, dryRun);
    if (outcome.committed && !(dryRun && (await exists(context, key)))) return outcome.stored;
    if (generated === undefined) throw alreadyExists(resource, next.metadata.name);
    if (attempt === maxAttempts) throw generateNameConflict(resource, next.metadata.name, 1);
  }
}

async function exists({ storage }: Context, key: string): Promise<boolean> {
  return (await storage.get(key)) !== undefined;
}

/** An object may leave its namespace out, but not name another than the path. */
export function matchNamespace(resource: Resource, { namespace }: Target, { metadata }: KubernetesObject): void {
  if ((metadata.namespace ?? "") !== "" && metadata.namespace !== (resource.namespaced ? namespace : ""))
    throw badRequest("the namespace of the provided object does not match the namespace sent on the request");
  if (resource.namespaced) metadata.namespace = namespace;
  else delete metadata.namespace;
}

export function matchName({ name }: Target, { metadata }: KubernetesObject): void {
  if ((metadata.name ?? "") === "") metadata.name = name;
  else if (metadata.name !== name)
    throw badRequest(`the name of the object (${metadata.name}) does not match the name on the URL (${name})`);
}

/** Five characters that make no words, behind at most 58 of the base. */
export function generateName(base: string, below: (bound: number) => number): string {
  let name = base.slice(0, 58);
  for (let i = 0; i < 5; i++) name += alphabet[below(alphabet.length)];
  return name;
}

const alphabet = "bcdfghjklmnpqrstvwxz2456789";
const maxAttempts = 8;
