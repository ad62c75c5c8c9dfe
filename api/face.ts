import type { FieldError } from "../apimachinery/field-error.ts";
import type { KubernetesObject, ResourceType } from "../apimachinery/object.ts";
import type { Column, Resource } from "./resource.ts";

/**
 * Another version of objects that are stored as `stored`: one object, two faces. The registry converts what comes in,
 * then works with the stored kind, and converts what goes out. The functions own what they are given; neither loses
 * anything that the other kind can say.
 */
export interface Face<S extends KubernetesObject = KubernetesObject, T extends KubernetesObject = KubernetesObject> {
  readonly stored: Resource<S>;
  toStored(object: T): S;
  fromStored(object: S): T;
  /** Field selectors by their name in this version -> in the stored one. */
  readonly fieldNames: Readonly<Record<string, string>>;
  /** What this version asks for more than the stored kind, with the stored kind's paths. */
  validateMore(object: S, old: S | undefined): Iterable<FieldError>;
}

/** The row of a face. Its rules are the stored kind's, and are asked of stored objects; its defaults and columns are not. */
export function defineFace<S extends KubernetesObject, T extends KubernetesObject>(
  { group, version, resource, kind, namespaced }: ResourceType<T>,
  row: Pick<Face<S, T>, "stored" | "toStored" | "fromStored"> & Partial<Face<S, T>> & { defaults?(object: T): void },
): Resource<T> {
  const { stored, toStored, fromStored, defaults = () => {}, fieldNames = {}, validateMore } = row;
  const { scale: _, gracePeriodSeconds: __, ...shared } = stored;
  return {
    ...shared,
    ...{ group, version, resource, kind, namespaced, defaults },
    schema: `${group.split(".")[0] || "core"}/${version}.${kind}`,
    ...(row.fieldNames
      ? { selectableFields: ["metadata.name", "metadata.namespace", ...Object.keys(fieldNames)] }
      : {}),
    subresources: stored.subresources.map((s) => (s.kind.kind === kind ? { ...s, kind: { group, version, kind } } : s)),
    columns: stored.columns.map(
      (column): Column<T> => ({
        ...column,
        cell: (object, now) => column.cell(toStored(structuredClone(object)), now),
      }),
    ),
    face: { stored, toStored, fromStored, fieldNames, validateMore: validateMore ?? (() => []) },
  } as unknown as Resource<T>;
}
