import type { KubernetesObject } from "../apimachinery/object.ts";
import { sameJson } from "../apimachinery/same-json.ts";

/** What most rows need for prepareForCreate and its like: who owns status, and when `generation` counts. */
type WithStatus = KubernetesObject & { status?: unknown };

/** Kinds with a `status` subresource: its fields are written there only. */
export function keepStatus<T extends WithStatus>(object: T, old: T): void {
  if (old.status === undefined) delete object.status;
  else object.status = structuredClone(old.status);
}

/** At `/status`: metadata and status are the writer's, all else is as it was. */
export function keepAllButStatus<T extends WithStatus>(object: T, old: T): void {
  const { status, metadata, apiVersion, kind } = object;
  for (const key of Object.keys(object)) delete (object as Record<string, unknown>)[key];
  Object.assign(object, structuredClone(old), { apiVersion, kind, metadata });
  if (status === undefined) delete object.status;
  else object.status = status;
}

/** At subresources that write one part: everything is as it was, metadata too but for what names its writers. */
export function keepAll<T extends KubernetesObject>(object: T, old: T): void {
  const { managedFields, resourceVersion } = object.metadata;
  for (const key of Object.keys(object)) delete (object as Record<string, unknown>)[key];
  Object.assign(object, structuredClone(old));
  if (resourceVersion) object.metadata.resourceVersion = resourceVersion;
  if (managedFields) object.metadata.managedFields = managedFields;
}

export function startGeneration(object: KubernetesObject): void {
  object.metadata.generation = 1;
}

/** One more when anything but metadata and status changed, or when deletion began. */
export function countGeneration(object: KubernetesObject, old: KubernetesObject, sameMeta = true): void {
  const generation = old.metadata.generation ?? 0;
  const changed = !sameMeta || !sameJson(withoutMeta(object), withoutMeta(old));
  if (changed || generation > 0) object.metadata.generation = changed ? generation + 1 : generation;
  else delete object.metadata.generation;
}

function withoutMeta(object: KubernetesObject): unknown {
  const { metadata: _, status: __, apiVersion: ___, kind: ____, ...rest } = object as WithStatus;
  return rest;
}

/** The usual kind with a status: never absent, written at `/status` only, and `generation` counts the rest. */
export const specAndStatus = {
  prepareForCreate(object: WithStatus): void {
    object.status = {};
    startGeneration(object);
  },
  prepareForUpdate(object: WithStatus, old: WithStatus): void {
    keepStatus(object, old);
    countGeneration(object, old);
  },
  prepareForStatusUpdate: keepAllButStatus<WithStatus>,
};

/** The same for kinds whose status has something from the start. */
export const startingStatus = (make: (object: KubernetesObject) => object) => ({
  ...specAndStatus,
  prepareForCreate(object: WithStatus): void {
    object.status = make(object);
    startGeneration(object);
  },
});

/** Kinds with a status that count no generation. */
export const statusOnly = <T extends WithStatus>(make: (object: T) => NonNullable<T["status"]> = () => ({})) => ({
  prepareForCreate(object: T): void {
    object.status = make(object);
  },
  prepareForUpdate: keepStatus<T>,
  prepareForStatusUpdate: keepAllButStatus<T>,
});

/** Kinds without a status whose `generation` counts all but metadata. */
export const generationOnly = { prepareForCreate: startGeneration, prepareForUpdate: countGeneration };

interface Strategy<T> {
  prepareForCreate(object: T): void;
  prepareForUpdate(object: T, old: T): void;
  prepareForStatusUpdate(object: T, old: T): void;
}

/** The same, without fields of feature gates that are off in v1.34: what clients send in them is dropped. */
export const without = <T extends object>(paths: readonly string[], s: Partial<Strategy<T>> = {}): Strategy<T> => ({
  prepareForCreate(object) {
    drop(object, paths);
    s.prepareForCreate?.(object);
  },
  prepareForUpdate(object, old) {
    drop(object, paths);
    s.prepareForUpdate?.(object, old);
  },
  prepareForStatusUpdate(object, old) {
    s.prepareForStatusUpdate?.(object, old);
    drop(object, paths);
  },
});

export function drop(object: object, paths: readonly string[]): void {
  for (const path of paths) dropAt(object, path.split("."));
}

function dropAt(value: unknown, [key = "", ...rest]: string[]): void {
  if (Array.isArray(value)) for (const one of value) dropAt(one, [key, ...rest]);
  else if (typeof value !== "object" || value === null) return;
  else if (rest.length === 0) delete (value as Record<string, unknown>)[key];
  else if (key === "*") for (const one of Object.values(value)) dropAt(one, rest);
  else dropAt((value as Record<string, unknown>)[key], rest);
}
