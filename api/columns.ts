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

export const nameColumn: Column<KubernetesObject> = column(
  "Name",
  (o) => o.metadata.name,
  "Unique in its place.",
  named,
);
export const ageColumn: Column<KubernetesObject> = column("Age", sinceCreation, "Time since its creation.");

/** As most are shown. */
export const shown = <T>(...columns: Column<T>[]): Column<T>[] => [nameColumn, ...columns, ageColumn] as Column<T>[];

/** For kinds that upstream prints no other way: the time itself. */
export const createdColumn: Column<KubernetesObject> = column(
  "Created At",
  (o) => o.metadata.creationTimestamp ?? "<unknown>",
  "Time of its creation.",
  { type: "date" },
);

interface Replicated {
  spec: { replicas?: number };
  status?: { readyReplicas?: number };
}

export const readyColumn = <T extends Replicated>(): Column<T> =>
  column(
    "Ready",
    ({ spec, status }) => `${status?.readyReplicas ?? 0}/${spec.replicas ?? 0}`,
    "Ready of those wanted.",
  );

/** Containers and images of a template, for `-o wide`. */
export const templateColumns = <T extends { spec: { template?: PodTemplateSpec } }>(): Column<T>[] =>
  containerColumns((o) => o.spec.template);

export const containerColumns = <T>(
  template: (object: T) => PodTemplateSpec | undefined,
  more: Partial<Column<T>> = wide,
): Column<T>[] => [
  column("Containers", (o) => join(template(o)?.spec.containers.map((c) => c.name)), "Names of its containers.", more),
  column(
    "Images",
    (o) => join(template(o)?.spec.containers.map((c) => c.image ?? "")),
    "Images of its containers.",
    more,
  ),
];

export const selectorText = (selector: LabelSelector | undefined): string => {
  const text = formatSelector(labelSelector(selector ?? {}));
  return text || "<none>";
};

/** `a=b,c=d`, sorted. */
export const labelsText = (labels: Record<string, string> | undefined): string =>
  orNone(
    Object.entries(labels ?? {})
      .map(([key, value]) => `${key}=${value}`)
      .sort()
      .join(","),
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
