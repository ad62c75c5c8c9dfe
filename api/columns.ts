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
export const boolean = { type: "boolean" } as const;

const named = { format: "name" };
const sinceCreation: Column<KubernetesObject>["cell"] = (o, now) => age(o.metadata.creationTimestamp, now);

const nameOf = (o: KubernetesObject) => o.metadata.name;
export const nameColumn: Column<KubernetesObject> = column("Name", nameOf, "Unique in its place.", named);
export const ageColumn: Column<KubernetesObject> = column("Age", sinceCreation, "Time since its creation.");

/** As most are shown. */
export const shown = <T>(...columns: Column<T>[]): Column<T>[] => [nameColumn, ...columns, ageColumn] as Column<T>[];

/** For kinds that upstream prints no other way: the time itself. */
const created: Column<KubernetesObject>["cell"] = (o) => o.metadata.creationTimestamp ?? "<unknown>";
export const createdColumn = column("Created At", created, "Time of its creation.", { type: "date" });

interface Replicated {
  spec: { replicas?: number };
  status?: { readyReplicas?: number };
}

export const readyColumn = <T extends Replicated>(): Column<T> =>
  column("Ready", (o) => `${o.status?.readyReplicas ?? 0}/${o.spec.replicas ?? 0}`, "Ready of those wanted.");

/** Containers and images of a template, and the labels of its Pods where `selected` tells them, for `-o wide`. */
export const templateColumns = <T extends { spec: { template?: PodTemplateSpec } }>(
  selected?: (spec: T["spec"]) => string,
): Column<T>[] => [
  ...containerColumns<T>((o) => o.spec.template, wide),
  ...(selected ? [column<T>("Selector", ({ spec }) => selected(spec), "Labels of its Pods.", wide)] : []),
];

export const containerColumns = <T>(template: (object: T) => PodTemplateSpec | undefined, more = {}): Column<T>[] => {
  const of = (key: "name" | "image") => (o: T) => join(template(o)?.spec.containers.map((c) => c[key] ?? ""));
  return [
    column("Containers", of("name"), "Names of its containers.", more),
    column("Images", of("image"), "Images of its containers.", more),
  ];
};

export const selectorText = (selector: LabelSelector | undefined): string =>
  orNone(formatSelector(labelSelector(selector ?? {})));

/** `a=b,c=d`, sorted. */
export const labelsText = (labels: Record<string, string> | undefined): string =>
  orNone(
    join(
      Object.entries(labels ?? {})
        .map(([key, value]) => `${key}=${value}`)
        .sort(),
    ),
  );

export const join = (list: readonly string[] | undefined): string => list?.join(",") ?? "";

/** A volume's or claim's. */
export const phaseColumn = <T extends KubernetesObject & { status?: { phase?: string } }>(): Column<T> =>
  column("Status", (o) => (o.metadata.deletionTimestamp ? "Terminating" : (o.status?.phase ?? "")), "Its phase.");

/** Where a balancer is reached. */
export const pointsOf = (balancer: { ingress?: { ip?: string; hostname?: string }[] } | undefined): string[] =>
  [...new Set(balancer?.ingress?.map(({ ip, hostname }) => ip || hostname || ""))].filter(Boolean).sort();

/** Upstream's word for nothing. */
export const orNone = (text: string | undefined): string => text || "<none>";

/** Upstream's word for a pointer to nothing. */
export const unset = "<unset>";
