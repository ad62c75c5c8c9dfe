import {
  child,
  type FieldError,
  forbiddenField,
  invalidValue,
  required,
  tooLong,
} from "../apimachinery/field-error.ts";
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

export function validateObjectMeta(meta: Partial<ObjectMeta>, rules: MetaRules, path = "metadata"): FieldError[] {
  const errors: FieldError[] = [];
  const shape = rules.name ?? dns1123Subdomain;
  if (meta.generateName)
    // The suffix makes a trailing hyphen or dot fit.
    for (const p of shape(meta.generateName.replace(/[-.]$/, "a")))
      errors.push(invalidValue(child(path, "generateName"), meta.generateName, p));
  if (!meta.name) {
    errors.push(required(child(path, "name"), "name or generateName is required"));
  } else for (const p of shape(meta.name)) errors.push(invalidValue(child(path, "name"), meta.name, p));
  if (rules.namespaced) {
    if (!meta.namespace) errors.push(required(child(path, "namespace")));
    else
      for (const p of dns1123Label(meta.namespace))
        errors.push(invalidValue(child(path, "namespace"), meta.namespace, p));
  } else if (meta.namespace) errors.push(forbiddenField(child(path, "namespace"), "not allowed on this type"));
  return [...errors, ...validateMetaParts(meta, path)];
}

/** All but names: what templates need too. */
export function validateMetaParts(meta: Partial<ObjectMeta>, path = "metadata"): FieldError[] {
  const errors = validateLabels(meta.labels, child(path, "labels"));
  errors.push(...validateAnnotations(meta.annotations, child(path, "annotations")));
  const owners = meta.ownerReferences ?? [];
  for (const [i, owner] of owners.entries()) {
    const at = `${path}.ownerReferences[${i}]`;
    if (!owner.apiVersion)
      errors.push(invalidValue(`${at}.apiVersion`, owner.apiVersion ?? "", "version must not be empty"));
    for (const key of ["kind", "name", "uid"] as const)
      if (!owner[key]) errors.push(invalidValue(`${at}.${key}`, owner[key] ?? "", "must not be empty"));
  }
  const controllers = owners.filter((o) => o.controller).map((o) => o.name);
  if (controllers.length > 1)
    errors.push(
      invalidValue(
        child(path, "ownerReferences"),
        owners,
        `Only one reference can have Controller set to true. Found "true" in references for ${controllers[0]} and ${controllers[1]}`,
      ),
    );
  const finalizers = meta.finalizers ?? [];
  for (const finalizer of finalizers) {
    for (const p of qualifiedName(finalizer)) errors.push(invalidValue(child(path, "finalizers"), finalizer, p));
    if (!finalizer.includes("/") && !standardFinalizers.has(finalizer))
      errors.push(
        invalidValue(
          child(path, "finalizers"),
          finalizer,
          "name is neither a standard finalizer name nor is it fully qualified",
        ),
      );
  }
  if (finalizers.includes("orphan") && finalizers.includes("foregroundDeletion"))
    errors.push(
      invalidValue(child(path, "finalizers"), finalizers, "finalizer orphan and foregroundDeletion cannot be both set"),
    );
  return errors;
}

const standardFinalizers = new Set(["kubernetes", "orphan", "foregroundDeletion"]);

function validateAnnotations(annotations: Record<string, string> = {}, path: string): FieldError[] {
  let size = 0;
  const errors: FieldError[] = [];
  for (const [key, value] of Object.entries(annotations)) {
    for (const p of qualifiedName(key.toLowerCase())) errors.push(invalidValue(path, key, p));
    size += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (size > annotationsMaxBytes) errors.push(tooLong(path, annotationsMaxBytes));
  return errors;
}

export const immutable = "field is immutable";

export function validateObjectMetaUpdate(meta: ObjectMeta, old: ObjectMeta, path = "metadata"): FieldError[] {
  const errors: FieldError[] = [];
  for (const key of ["name", "namespace", "uid", "creationTimestamp"] as const)
    if (meta[key] !== old[key]) errors.push(invalidValue(child(path, key), meta[key] ?? "", immutable));
  for (const key of ["deletionTimestamp", "deletionGracePeriodSeconds"] as const)
    if (meta[key] !== old[key] && old.deletionTimestamp)
      errors.push(invalidValue(child(path, key), meta[key], `${immutable}; may only be changed via deletion`));
  if (old.deletionTimestamp) {
    const added = (meta.finalizers ?? []).filter((f) => !old.finalizers?.includes(f));
    if (added.length)
      errors.push(
        forbiddenField(
          child(path, "finalizers"),
          `no new finalizers can be added if the object is being deleted, found new finalizers []string{${added.map((f) => JSON.stringify(f)).join(", ")}}`,
        ),
      );
  }
  return [...errors, ...validateMetaParts(meta, path)];
}

/** `path` must be as it was. */
export const immutableField = (path: string, value: unknown, old: unknown): FieldError[] =>
  sameJson(value, old) ? [] : [invalidValue(path, value ?? null, immutable)];

/** The three validations of a kind, from the rules of its metadata and its own: of an object, and of a change. */
export const rules = <T extends KubernetesObject>(
  meta: MetaRules,
  own: (object: T) => FieldError[],
  change: (object: T, old: T) => FieldError[] = () => [],
) => ({
  validate: (object: T): FieldError[] => [...validateObjectMeta(object.metadata, meta), ...own(object)],
  validateUpdate: (object: T, old: T): FieldError[] => [
    ...validateObjectMetaUpdate(object.metadata, old.metadata),
    ...own(object),
    ...change(object, old),
  ],
  validateStatusUpdate: (object: T, old: T): FieldError[] => validateObjectMetaUpdate(object.metadata, old.metadata),
});

export const namespaced: MetaRules = { namespaced: true };
export const clusterWide: MetaRules = { namespaced: false };
