import { LRUCache } from "lru-cache";
import type { Resource } from "../../api/resource.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { memo } from "../../base/memo.ts";
import type { List, Sendable } from "../answer.ts";

/**
 * Tables, as `kubectl get` prints them (meta.k8s.io/v1 Table). Cells hold ages, so rows are made for each answer; what
 * is kept is the parsed object, since it is asked for again and again.
 */
export type IncludeObject = "None" | "Metadata" | "Object";

export function listTable(resource: Resource, list: List, include: IncludeObject, now: number): Buffer {
  const { items, ...metadata } = list;
  return table(resource, metadata, items, include, now);
}

export function objectTable(resource: Resource, object: Sendable, include: IncludeObject, now: number): Buffer {
  const { resourceVersion } = parsed(object).metadata;
  return table(resource, { resourceVersion }, [object], include, now);
}

function table(
  resource: Resource,
  metadata: object,
  objects: readonly Sendable[],
  include: IncludeObject,
  now: number,
): Buffer {
  const all = objects.map(parsed);
  if (resource.rowOrder) all.sort(resource.rowOrder);
  const rows = all.map((object) => {
    const cells = resource.columns.map((column) => column.cell(object, now));
    const conditions = resource.rowConditions?.(object);
    return { cells, conditions, object: include === "Object" ? object : include === "None" ? null : partial(object) };
  });
  const columnDefinitions = resource.columns.map(({ cell: _, ...definition }) => definition);
  return Buffer.from(
    JSON.stringify({ kind: "Table", apiVersion: "meta.k8s.io/v1", metadata, columnDefinitions, rows }),
  );
}

/** PartialObjectMetadata: metadata and nothing else. */
export function partialBytes(sendable: Sendable): Buffer {
  return Buffer.from(JSON.stringify(partial(parsed(sendable))));
}

const partial = ({ metadata }: KubernetesObject) => ({
  kind: "PartialObjectMetadata",
  apiVersion: "meta.k8s.io/v1",
  metadata,
});

const recent = new LRUCache<Sendable, KubernetesObject>({ max: 2000 });

const parsed = (sendable: Sendable): KubernetesObject => memo(recent, sendable, () => sendable.parse());

export function includeObject(query: URLSearchParams | undefined): IncludeObject {
  const wanted = query?.get("includeObject");
  return wanted === "None" || wanted === "Object" ? wanted : "Metadata";
}
