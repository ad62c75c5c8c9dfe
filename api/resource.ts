import type { FieldError } from "../apimachinery/field-error.ts";
import type { KubernetesObject, ResourceType } from "../apimachinery/object.ts";
import type { JsonSchema } from "../apimachinery/schema/structural.ts";
import type { Message } from "../apimachinery/schema/table.ts";
import type { Face } from "./face.ts";
import type { Scale } from "./generated/autoscaling-v1.ts";

/**
 * All that the apiserver's registry must know of a resource: one row of api/resources.ts. The functions change the
 * object they are given (the registry owns a fresh one) and decide nothing from outside it.
 *
 * The order in the registry. Create: decode, `defaults`, `prepareForCreate`, admission, `validate`. Update and patch:
 * decode, `defaults`, `prepareForUpdate` (or `prepareForStatusUpdate`), admission, `validateUpdate` (or
 * `validateStatusUpdate`). Reads from the store: `defaults`.
 */
export interface Resource<T extends KubernetesObject = KubernetesObject> extends ResourceType<T> {
  /** Message in the schema table: `core/v1.Pod`. */
  readonly schema: string;
  readonly listKind: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly verbs: readonly Verb[];
  readonly subresources: readonly Subresource[];
  /** Keys are `/registry/<storagePrefix>/[<namespace>/]<name>`. */
  readonly storagePrefix: string;

  /** All that field selectors may name. Kinds without fields of their own know metadata.namespace even cluster-wide. */
  readonly selectableFields: readonly string[];
  /** The values of `selectableFields` but for metadata's; absent ones are "". */
  fields(object: T): Record<string, string>;
  /** What is said of a field that is none of them. */
  unknownField(name: string): string;

  /**
   * Seconds of grace when `requested` were asked for; 0 deletes at once. Kinds without graceful deletion have no such
   * function.
   */
  gracePeriodSeconds?(object: T, requested: number | undefined): number;
  /** Whether a PUT without a resourceVersion overwrites whatever is there. */
  readonly unconditionalUpdate: boolean;
  /** Whether a PUT may create (Leases, Events, EndpointSlices' like). */
  readonly createOnUpdate: boolean;

  /** Sets what the API promises to be set. Idempotent: stored objects are defaulted again when read. */
  defaults(object: T): void;
  /** Drops what a client may not set, and starts `generation` and `status`. */
  prepareForCreate(object: T, creator?: Creator): void;
  /** Puts back what this endpoint may not change (status), and counts `generation` when the rest changed. */
  prepareForUpdate(object: T, old: T): void;
  /** Puts back everything but what status owns. */
  prepareForStatusUpdate(object: T, old: T, now?: string): void;
  /** Called when deletion begins, with the time: what must be done first is a finalizer. */
  prepareForDelete?(object: T, now: string): void;
  /** Every problem, metadata's included. */
  validate(object: T): FieldError[];
  validateUpdate(object: T, old: T): FieldError[];
  validateStatusUpdate(object: T, old: T): FieldError[];
  /** Texts for Warning headers. */
  warnings(object: T, old?: T): string[];

  readonly columns: readonly Column<T>[];
  /** Of a row of a Table: whether the object is done. */
  rowConditions?(object: T): readonly object[] | undefined;
  /** Of the rows of a list, when not by name. */
  rowOrder?(a: T, b: T): number;
  /** For resources with the subresource `scale`. */
  readonly scale?: ScaleAccess<T>;
  /** For a second version of what is stored as another row. */
  readonly face?: Face;
  /** Subresources that write a part of the object, by name. */
  readonly parts?: Readonly<Record<string, Part<T>>>;
  /** Never stored: the registry has a handler for it. */
  readonly virtual?: boolean;
  /** Text of a Warning for whoever uses it. */
  readonly deprecated?: string;
  /** For custom resources, whose kind is no message of the schema table. */
  readonly custom?: CustomKind;
}

/** Who creates an object. */
export interface Creator {
  name: string;
  uid?: string | undefined;
  groups: readonly string[];
  extra?: Readonly<Record<string, readonly string[]>> | undefined;
}

export interface Part<T extends KubernetesObject = KubernetesObject> {
  /** What clients own through it, as paths of two fields; all else is put back. */
  readonly owns: readonly (readonly [string, string])[];
  prepare(object: T, old: T, now: string): void;
  validate(object: T, old: T): Iterable<FieldError>;
}

/** A version of a custom resource. */
export interface CustomKind {
  /** Without fields of its own: server-side apply knows its structure. */
  readonly message: Message;
  readonly schema: JsonSchema | undefined;
  /** Makes of a request's body what the schema allows, in place; `unknown` receives the paths of what was dropped. */
  decode(object: KubernetesObject, unknown: string[]): void;
  /** Objects as they lie in the store, in this version. Throws a StatusError when that fails. */
  fromStored(objects: KubernetesObject[]): Promise<KubernetesObject[]>;
  /** An object of this version as it shall lie in the store. */
  toStored(object: KubernetesObject): Promise<KubernetesObject>;
}

export type Verb = "create" | "delete" | "deletecollection" | "get" | "list" | "patch" | "update" | "watch";

export interface Subresource {
  readonly name: string;
  /** What its body is; the resource's own kind for `status`. */
  readonly kind: { group: string; version: string; kind: string };
  readonly verbs: readonly Verb[];
}

export interface ScaleAccess<T> {
  get(object: T): Scale;
  /** Only spec.replicas is taken. */
  set(object: T, replicas: number): void;
}

/** A column of `kubectl get`. Priority 1 is shown with `-o wide`. */
export interface Column<T> {
  readonly name: string;
  readonly type: "string" | "integer" | "number" | "date" | "boolean";
  readonly format: string;
  readonly description: string;
  readonly priority: 0 | 1;
  /** `now` in milliseconds, for ages. */
  cell(object: T, now: number): string | number | boolean | null;
}

const allVerbs: readonly Verb[] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/** As most rows are. */
const usual = {
  ...{ shortNames: [], categories: [], verbs: allVerbs },
  ...{ unconditionalUpdate: true, createOnUpdate: false },
  ...{ defaults: () => {}, prepareForCreate: () => {}, prepareForUpdate: () => {}, prepareForStatusUpdate: () => {} },
  warnings: () => [],
};

/** A field's path, and what its value is when it is absent. */
type Fields = Readonly<Record<string, string>>;

/** What field selectors need, from the fields that a kind has of its own; `custom` ones know namespaces only inside of one. */
export function selection(own: Fields, namespaced: boolean, custom = false) {
  const paths = Object.entries(own).map(([name, absent]) => [name, name.split("."), absent] as const);
  const plain = paths.length === 0 && !custom;
  return {
    selectableFields: [
      ...["metadata.name", ...(namespaced || plain ? ["metadata.namespace"] : [])],
      ...Object.keys(own),
    ],
    fields: (object: object): Record<string, string> =>
      Object.fromEntries(paths.map(([name, path, absent]) => [name, scalarAt(object, path) ?? absent])),
    unknownField: (name: string) =>
      plain
        ? `"${name}" is not a known field selector: only "metadata.name", "metadata.namespace"`
        : `field label not supported: ${name}`,
  };
}

function scalarAt(object: object, path: readonly string[]): string | undefined {
  let value: unknown = object;
  for (const key of path) value = (value as Record<string, unknown> | undefined)?.[key];
  return value === undefined || typeof value === "object" ? undefined : String(value as string);
}

/** A row from what it says, with what most rows share. */
export function defineResource<T extends KubernetesObject>(type: ResourceType<T>, row: NoInfer<RowOf<T>>): Resource<T> {
  const { group, version, kind } = type;
  return {
    ...type,
    ...usual,
    ...selection(row.selectable ?? {}, type.namespaced),
    schema: `${group.split(".")[0] || "core"}/${version}.${kind}`,
    listKind: `${kind}List`,
    singular: kind.toLowerCase(),
    storagePrefix: type.resource,
    ...row,
    validate: (object) => [...row.validate(object)],
    validateUpdate: (object, old) => [...row.validateUpdate(object, old)],
    validateStatusUpdate: (object, old) => [...(row.validateStatusUpdate?.(object, old) ?? [])],
    subresources: (row.subresources ?? []).map((s) => (typeof s === "string" ? statusLike(s, type) : s)),
  };
}

type Derived =
  | ("schema" | "listKind" | "singular" | "storagePrefix")
  | (keyof typeof usual | keyof ReturnType<typeof selection>);

/** What a kind's file exports: the functions and the facts that are not as most are. */
type RowOf<T extends KubernetesObject> = Omit<
  Resource<T>,
  keyof ResourceType<T> | Derived | "subresources" | keyof Validators<T>
> &
  Validators<T> &
  Partial<Pick<Resource<T>, Derived>> & { subresources?: readonly (Subresource | string)[]; selectable?: Fields };

interface Validators<T> {
  validate(object: T): Iterable<FieldError>;
  validateUpdate(object: T, old: T): Iterable<FieldError>;
  validateStatusUpdate?(object: T, old: T): Iterable<FieldError>;
}

/** `status` and its like: the same kind at another path. */
const statusLike = (name: string, { group, version, kind }: ResourceType<KubernetesObject>): Subresource => ({
  name,
  kind: { group, version, kind },
  verbs: name === "finalize" ? ["update"] : ["get", "patch", "update"],
});

export const scaleSubresource: Subresource = {
  name: "scale",
  kind: { group: "autoscaling", version: "v1", kind: "Scale" },
  verbs: ["get", "patch", "update"],
};

/** Requests of every method pass through it. */
export const proxySubresource = (kind: string): Subresource => ({
  name: "proxy",
  kind: { group: "", version: "v1", kind },
  verbs: ["create", "delete", "get", "patch", "update"],
});
