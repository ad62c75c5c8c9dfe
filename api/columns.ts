import type { LabelSelector } from "../apimachinery/generated/meta-v1.ts";
import type { KubernetesObject } from "../apimachinery/object.ts";
import { formatSelector, labelSelector } from "../apimachinery/selectors.ts";
import { age } from "../apimachinery/time.ts";
import type { PodTemplateSpec } from "./generated/core-v1.ts";
import type { Column } from "./resource.ts";

/** Columns of `kubectl get`, named as upstream's; the descriptions are our own. */
export function column<T>(
  name: string,
  cell: Column<T>["cell"],
  description: string,
  more: Partial<Column<T>> = {},
): Column<T> {
  return { name, type: "string", format: "", description, priority: 0, cell, ...more };
}

export const wide = { priority: 1 } as const;
export const integer = { type: "integer" } as const;

export const nameColumn: Column<KubernetesObject> = column(
  "Name",
  (o) => o.metadata.name,
  "Unique among its kind and namespace.",
  {
    format: "name",
  },
);

export const ageColumn: Column<KubernetesObject> = column(
  "Age",
  (o, now) => age(o.metadata.creationTimestamp, now),
  "Time since its creation.",
);

/** Containers and images of a template, for `-o wide`. */
export const templateColumns = <T extends { spec: { template?: PodTemplateSpec } }>(): Column<T>[] => [
  column(
    "Containers",
    (o) => join(o.spec.template?.spec.containers.map((c) => c.name)),
    "Names of its containers.",
    wide,
  ),
  column(
    "Images",
    (o) => join(o.spec.template?.spec.containers.map((c) => c.image ?? "")),
    "Images of its containers.",
    wide,
  ),
];

export const selectorText = (selector: LabelSelector | undefined): string => {
  const text = formatSelector(labelSelector(selector ?? {}));
  return text || "<none>";
};

export const join = (list: readonly string[] | undefined): string => list?.join(",") ?? "";

/** Upstream's word for nothing. */
export const orNone = (text: string | undefined): string => text || "<none>";
