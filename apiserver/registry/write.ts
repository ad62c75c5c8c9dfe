import type { Resource } from "../../api/resource.ts";
import * as field from "../../apimachinery/field-error.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import {
  alreadyExists,
  badRequest,
  conflict,
  generateNameConflict,
  invalid,
  isNotFound,
} from "../../apimachinery/status.ts";
import { formatTime } from "../../apimachinery/time.ts";
import type { Target } from "../request.ts";
import type { StoredObject } from "../storage/stored-object.ts";
import { type Asking, attributesOf } from "./admit.ts";
import { commit } from "./commit.ts";
import { type Context, keyOf, type Place } from "./context.ts";
import { hasFinalizers } from "./delete.ts";
import { type FieldOwner, keepTimes, ownFields } from "./field-manager.ts";
import { gone, modify, type Next } from "./modify.ts";

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

export interface Updated {
  code: 200 | 201;
  stored: StoredObject;
}

/** PUT of the object, or of its subresource `status`. */
export async function update(at: Place, object: KubernetesObject, options: WriteOptions): Promise<Updated> {
  const { resource, target } = at;
  matchNamespace(resource, target, object);
  matchName(target, object);
  try {
    return { code: 200, stored: await rewrite(at, options, () => ({ wanted: structuredClone(object) })) };
  } catch (error) {
    const mayCreate = resource.createOnUpdate && target.subresource === "" && !object.metadata.resourceVersion;
    if (!isNotFound(error) || !mayCreate) throw error;
    return { code: 201, stored: await create(at, object, options) };
  }
}

/** Writes what `make` wants of the present state, be it a PUT, a patch or an apply. Warnings are those of the last try. */
export async function rewrite(
  at: Place,
  options: WriteOptions,
  make: (old: KubernetesObject, warnings: string[]) => { wanted: KubernetesObject } & Pick<WriteOptions, "applied">,
): Promise<StoredObject> {
  let told: string[] = [];
  const { stored } = await modify(at, options.dryRun, async (old) => {
    const warnings: string[] = [];
    const { wanted, ...owner } = make(old, warnings);
    matchName(at.target, wanted);
    matchNamespace(at.resource, at.target, wanted);
    const result = await next(at, old, wanted, { ...options, ...owner, warnings });
    told = warnings;
    return result;
  });
  options.warnings.push(...new Set(told));
  return stored;
}

/**
 * What becomes of `old` when a client wants `object`: the optimistic lock, what only the server may change, the kind's
 * own rules, whose fields they are now, admission, validation. `subresource` is the one that fields are set through when
 * it is not the target's. Throws what the client shall hear.
 */
export async function next(
  { context, resource, target }: Place,
  old: KubernetesObject,
  object: KubernetesObject,
  options: WriteOptions,
  subresource = target.subresource,
): Promise<Next> {
  const { metadata } = object;
  const { name } = old.metadata;
  if (metadata.uid && metadata.uid !== old.metadata.uid)
    throw conflict(
      resource,
      name,
      `Precondition failed: UID in precondition: ${metadata.uid}, UID in object meta: ${old.metadata.uid}`,
    );
  if (!metadata.resourceVersion && !resource.unconditionalUpdate)
    throw invalid(resource, name, [field.invalid("metadata.resourceVersion", 0, "must be specified for an update")]);
  if (metadata.resourceVersion && metadata.resourceVersion !== old.metadata.resourceVersion)
    throw conflict(resource, name);
  keepSystemFields(object, old);
  const status = target.subresource === "status";
  const part = resource.parts?.[target.subresource];
  const prepare = () => {
    resource.defaults(object);
    if (part) part.prepare(object, old, formatTime(context.clock.now()));
    else if (status) resource.prepareForStatusUpdate(object, old, formatTime(context.clock.now()));
    else resource.prepareForUpdate(object, old);
  };
  prepare();
  ownFields(context, resource, subresource, old, object, options);
  const attributes = attributesOf("UPDATE", { resource, target: { ...target, subresource } }, [object, old], options);
  const asks = subresource !== "scale"; // there admission sees the Scale
  if (asks && (await context.admission.mutate(attributes))) {
    object = attributes.object!;
    matchNamespace(resource, target, object);
    keepSystemFields(object, old);
    prepare();
  }
  const validate = status ? resource.validateStatusUpdate : resource.validateUpdate;
  const errors = [...(part ? part.validate(object, old) : validate(object, old))];
  if (target.subresource === "") errors.push(...(options.served?.face?.validateMore(object, old) ?? []));
  if (errors.length > 0) throw invalid(resource, name, errors);
  for (const warning of target.subresource === "" ? resource.warnings(object, old) : [])
    if (!options.warnings.includes(warning)) options.warnings.push(warning);
  if (asks) await context.admission.validate(attributes);
  keepTimes(object, old);
  const over = object.metadata.deletionTimestamp !== undefined && !object.metadata.deletionGracePeriodSeconds;
  return over && hasFinalizers(old) && !hasFinalizers(object) ? gone : object;
}

/** What no client changes, whatever it sends. */
function keepSystemFields(object: KubernetesObject, old: KubernetesObject): void {
  const { metadata } = object;
  for (const field of kept) {
    const value = old.metadata[field];
    if (value === undefined) delete metadata[field];
    else Object.assign(metadata, { [field]: value });
  }
  delete (metadata as { selfLink?: unknown }).selfLink;
}

const kept = [
  "uid",
  "resourceVersion",
  "creationTimestamp",
  "generation",
  "generateName",
  "deletionTimestamp",
  "deletionGracePeriodSeconds",
] as const;
