import { isObject, type JsonObject } from "../schema/normalize.ts";
import type { Struct } from "./atom.ts";
import { difference, emptySet, type FieldSet, recursiveDifference } from "./field-set.ts";
import { compare, fieldSetOf } from "./typed.ts";

/**
 * The way from client-side to server-side apply, for the manager `kubectl` only: what the annotation of client-side
 * apply says and the object still has was applied by the same person, so it may be taken without force; and the
 * annotation follows, so that the way back stays open.
 */
const annotation = "kubectl.kubernetes.io/last-applied-configuration";

/** Upstream's limit for all annotations of an object. */
const maxAnnotationBytes = 256 * 1024;

export function lastAppliedFields(atom: Struct, live: JsonObject): FieldSet {
  let applied: unknown;
  try {
    applied = JSON.parse(annotationsOf(live)?.[annotation] ?? "");
  } catch {
    return emptySet;
  }
  if (!isObject(applied)) return emptySet;
  const { added, modified } = compare(atom, live, applied);
  return recursiveDifference(difference(fieldSetOf(atom, applied), modified), added);
}

export function withLastApplied(object: JsonObject, config: JsonObject): JsonObject {
  const annotations = annotationsOf(object);
  if (!annotations?.[annotation]) return object;
  const { [annotation]: _, ...rest } = annotationsOf(config) ?? {};
  const metadata = { ...(config["metadata"] as JsonObject) };
  if (Object.keys(rest).length > 0) metadata["annotations"] = rest;
  else delete metadata["annotations"];
  const text = `${JSON.stringify(inKeyOrder({ ...config, metadata }))}\n`;
  const size = Object.entries({ ...annotations, [annotation]: text }).reduce(
    (sum, [key, value]) => sum + Buffer.byteLength(key) + Buffer.byteLength(value),
    0,
  );
  const next: Record<string, string> = { ...annotations, [annotation]: text };
  if (size > maxAnnotationBytes) delete next[annotation];
  return { ...object, metadata: { ...(object["metadata"] as JsonObject), annotations: next } };
}

const annotationsOf = (object: JsonObject): Record<string, string> | undefined =>
  (object["metadata"] as { annotations?: Record<string, string> } | undefined)?.annotations;

/** Go writes maps sorted. */
function inKeyOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inKeyOrder);
  if (!isObject(value)) return value;
  const keys = Object.keys(value).sort();
  return Object.fromEntries(keys.map((key) => [key, inKeyOrder(value[key])]));
}
