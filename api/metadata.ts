import type { FieldError, Problems } from "../apimachinery/field-error.ts";
import * as field from "../apimachinery/field-error.ts";
import { dns1123Label, dns1123Subdomain, qualifiedName } from "../apimachinery/names.ts";
import type { KubernetesObject, ObjectMeta } from "../apimachinery/object.ts";
import { sameJson } from "../apimachinery/same-json.ts";
import { validateLabels } from "../apimachinery/selectors.ts";

/** The rules for metadata that all kinds share (k8s.io/apimachinery/pkg/api/validation, ValidateObjectMeta). */
export interface MetaRules {
  namespaced: boolean;
  /** The shape of names; DNS subdomains without it. */
  name?: (name: string) => string[];
}

const annotationsMaxBytes = 256 * 1024;

export function* validateObjectMeta(meta: Partial<ObjectMeta>, rules: MetaRules, path = "metadata"): Problems {
  const shape = rules.name ?? dns1123Subdomain;
  if (meta.generateName)
    // The suffix makes a trailing hyphen or dot fit.
    for (const p of shape(meta.generateName.replace(/[-.]$/, "a")))
      yield field.invalid(field.child(path, "generateName"), meta.generateName, p);
  if (!meta.name) {
    yield field.required(field.child(path, "name"), "name or generateName is required");
  } else yield* field.shaped(field.child(path, "name"), meta.name, shape);
  if (rules.namespaced) {
    yield* field.requiredName(field.child(path, "namespace"), meta.namespace, dns1123Label);
  } else if (meta.namespace) yield field.forbidden(field.child(path, "namespace"), "not allowed on this type");
  yield* validateMetaParts(meta, path);
}

const oneController = ([a, b]: string[]) =>
  `Only one reference can have Controller set to true. Found "true" in references for ${a} and ${b}`;
const orphanOrForeground = "finalizer orphan and foregroundDeletion cannot be both set";

/** All but names: what templates need too. */
export function* validateMetaParts(meta: Partial<ObjectMeta>, path = "metadata"): Problems {
  yield* validateLabels(meta.labels, field.child(path, "labels"));
  yield* validateAnnotations(meta.annotations, field.child(path, "annotations"));
  const owners = meta.ownerReferences ?? [];
  yield* field.each(owners, `${path}.ownerReferences`, function* (owner, at) {
    if (!owner.apiVersion) yield field.invalid(`${at}.apiVersion`, owner.apiVersion ?? "", "version must not be empty");
    for (const key of ["kind", "name", "uid"] as const)
      if (!owner[key]) yield field.invalid(`${at}.${key}`, owner[key] ?? "", "must not be empty");
  });
  const controllers = owners.filter((o) => o.controller).map((o) => o.name);
  if (controllers.length > 1)
    yield field.invalid(field.child(path, "ownerReferences"), owners, oneController(controllers));
  const finalizers = meta.finalizers ?? [];
  for (const finalizer of finalizers) yield* validateFinalizer(finalizer, field.child(path, "finalizers"));
  if (finalizers.includes("orphan") && finalizers.includes("foregroundDeletion"))
    yield field.invalid(field.child(path, "finalizers"), finalizers, orphanOrForeground);
}

/** What templates of claims say of them: labels and annotations. */
export function* validateTemplateMeta(meta: Partial<ObjectMeta> = {}, path: string): Problems {
  yield* validateAnnotations(meta.annotations, field.child(path, "annotations"));
  yield* validateLabels(meta.labels, field.child(path, "labels"));
  for (const key of Object.keys(meta))
    if (key !== "labels" && key !== "annotations") yield field.forbidden(field.child(path, key), "cannot be set");
}

export function* validateFinalizer(name: string, at: string): Problems {
  yield* field.shaped(at, name, qualifiedName);
  if (!name.includes("/") && !standardFinalizers.has(name))
    yield field.invalid(at, name, "name is neither a standard finalizer name nor is it fully qualified");
}

const standardFinalizers = new Set(["kubernetes", "orphan", "foregroundDeletion"]);

export function* validateAnnotations(annotations: Record<string, string> = {}, path: string): Problems {
  let size = 0;
  for (const [key, value] of Object.entries(annotations)) {
    for (const p of qualifiedName(key.toLowerCase())) yield field.invalid(path, key, p);
    size += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (size > annotationsMaxBytes) yield field.tooLong(path, annotationsMaxBytes);
}

export const immutable = "field is immutable";

export function* validateObjectMetaUpdate(meta: ObjectMeta, old: ObjectMeta, path = "metadata"): Problems {
  for (const key of ["name", "namespace", "uid", "creationTimestamp"] as const)
    if (meta[key] !== old[key]) yield field.invalid(field.child(path, key), meta[key] ?? "", immutable);
  for (const key of ["deletionTimestamp", "deletionGracePeriodSeconds"] as const)
    if (meta[key] !== old[key] && old.deletionTimestamp)
      yield field.invalid(field.child(path, key), meta[key], `${immutable}; may only be changed via deletion`);
  if (old.deletionTimestamp) {
    const added = (meta.finalizers ?? []).filter((f) => !old.finalizers?.includes(f)).map((f) => JSON.stringify(f));
    const text = `no new finalizers can be added if the object is being deleted, found new finalizers []string{${added.join(", ")}}`;
    if (added.length) yield field.forbidden(field.child(path, "finalizers"), text);
  }
  yield* validateMetaParts(meta, path);
}

/** `path` must be as it was. */
export const immutableField = (path: string, value: unknown, old: unknown): FieldError[] =>
  sameJson(value, old) ? [] : [field.invalid(path, value ?? null, immutable)];

/** All of these must be as they were. */
export const immutableFields = <T extends object>(now: T, old: T, keys: readonly (keyof T & string)[], path = "") =>
  keys.flatMap((key) => immutableField(field.child(path, key), now[key], old[key]));

/**
 * The three validations of a kind, from the rules of its metadata and its own: of an object (which is told what was
 * there before, for what old objects may say wrong), of a change, of a status.
 */
export const rules = <T extends KubernetesObject>(
  meta: MetaRules,
  own: (object: T, old?: T) => Iterable<FieldError> = () => [],
  change: (object: T, old: T) => Iterable<FieldError> = () => [],
  status: (object: T, old: T) => Iterable<FieldError> = () => [],
) => ({
  *validate(object: T): Problems {
    yield* validateObjectMeta(object.metadata, meta);
    yield* own(object);
  },
  *validateUpdate(object: T, old: T): Problems {
    yield* validateObjectMetaUpdate(object.metadata, old.metadata);
    yield* own(object, old);
    yield* change(object, old);
  },
  *validateStatusUpdate(object: T, old: T): Problems {
    yield* validateObjectMetaUpdate(object.metadata, old.metadata);
    yield* status(object, old);
  },
});

export const namespaced: MetaRules = { namespaced: true };
export const clusterWide: MetaRules = { namespaced: false };
