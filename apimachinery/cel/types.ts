import { isEmbedded, type JsonSchema } from "../schema/structural.ts";
import type { Message, Schema } from "../schema/table.ts";
import { escapeName } from "./values.ts";

/** What is known of a value before there is one. Where that is not certain, the kind is `dyn`, which fits everything. */
export interface Type {
  /** `int`, `list`, `object`, ..., or the name of what only functions know. `none` is of the elements of `[]`. */
  readonly kind: string;
  /** How an object's is printed. */
  readonly name?: string;
  /** Of a map. */
  readonly key?: Type;
  /** Of what is in a list, a map or an optional. */
  readonly of?: Type;
  /** Of an object's field; undefined when it has none of the name. */
  field?(name: string): Type | undefined;
}

export const dyn: Type = { kind: "dyn" };
export const simple = (kind: string): Type => ({ kind });
export const container = (kind: "list" | "map" | "optional", of: Type = dyn, key: Type = dyn): Type =>
  kind === "map" ? { kind, key, of } : { kind, of };

export function objectType(name: string, fields: ReadonlyMap<string, () => Type>): Type {
  const byName = new Map(
    [...fields].flatMap(([key, type]) => [[escapeName(key), type] as const, [key, type] as const]),
  );
  return { kind: "object", name, field: (key) => byName.get(key)?.() };
}

/** In cel-go's words. */
export function show({ kind, name, key, of }: Type): string {
  if (kind === "map") return `map(${show(key!)}, ${show(of!)})`;
  if (of) return `${kind === "optional" ? "optional_type" : kind}(${show(of)})`;
  return name ?? words[kind] ?? kind;
}

const authorization = (kind: string) => [kind, `kubernetes.authorization.${kind}`];
const words: Record<string, string> = {
  ...Object.fromEntries(["Authorizer", "PathCheck", "GroupCheck", "ResourceCheck", "Decision"].map(authorization)),
  ...{ quantity: "kubernetes.Quantity", url: "kubernetes.URL", semver: "kubernetes.Semver", ip: "net.IP" },
  ...{ cidr: "net.CIDR", format: "kubernetes.NamedFormat", none: "dyn" },
};

/** What fits both; undefined when no value does. */
export function joined(a: Type, b: Type): Type | undefined {
  if (a === b || b.kind === "none") return a;
  if (a.kind === "none") return b;
  if (isUnsure(a) || isUnsure(b)) return dyn;
  if (a.kind !== b.kind) return isMap(a) && isMap(b) ? dyn : undefined;
  if (a.kind === "object") return a.name === b.name ? a : dyn;
  if (!a.of || !b.of) return a;
  const of = joined(a.of, b.of);
  return of && { ...a, of, ...(a.key && { key: joined(a.key, b.key!) ?? dyn }) };
}

/** Whether a value of the type may be what a function takes. */
export const fits = (type: Type, parameter: string): boolean =>
  type.kind === "dyn" ||
  type.kind === "none" ||
  /^(any|dyn)$/.test(parameter) ||
  (isMap(type) ? "map" : type.kind) === parameter;

const isUnsure = ({ kind }: Type) => kind === "dyn" || kind === "null";
const isMap = ({ kind }: Type) => kind === "map" || kind === "object";

const scalars: Record<string, Type> = {
  ...{ bool: simple("bool"), int32: simple("int"), int64: simple("int"), string: simple("string") },
  ...{ boolean: simple("bool"), integer: simple("int") },
};
const string = scalars["string"]!;

/** `authorizer.requestResource` is the only field of what only functions know. */
export const authorizerType: Type = {
  kind: "Authorizer",
  field: (name) => (name === "requestResource" ? simple("ResourceCheck") : undefined),
};

/**
 * Of a built-in kind. Times, quantities and bytes are strings in the objects that policies see and others for upstream's
 * checker, and a double may be whole, hence an int: all of these are `dyn`.
 */
export function typeOfMessage(schema: Schema, message: Message, name = message.name): Type {
  if (message.jsonForm) return dyn;
  const fields = new Map<string, () => Type>();
  for (const key of message.isKind ? ["apiVersion", "kind"] : []) fields.set(key, () => string);
  for (const { name: key, scalar, messageId, shape } of message.fields.values()) {
    const each = `${name}.${key}${{ single: "", list: ".@idx", map: ".@elem" }[shape]}`;
    const one = () => (scalar ? (scalars[scalar] ?? dyn) : typeOfMessage(schema, schema.message(messageId!), each));
    fields.set(key, shape === "single" ? one : () => container(shape, one(), string));
  }
  return objectType(name, fields);
}

/** Of a custom resource; `meta` is what its root and embedded objects have. */
export function typeOfSchema(json: JsonSchema, meta: Type, name: string, root = true): Type {
  const { type = "", format = "", items, properties, additionalProperties: rest } = json;
  if (json["x-kubernetes-preserve-unknown-fields"] || json["x-kubernetes-int-or-string"]) return dyn;
  if (converted.has(format)) return dyn;
  if (type === "array") return container("list", items && typeOfSchema(items, meta, `${name}.@idx`, false));
  if (type !== "object") return scalars[type] ?? dyn;
  const inMap = typeof rest === "object" ? typeOfSchema(rest, meta, `${name}.@elem`, false) : dyn;
  if (rest) return container("map", inMap, string);
  if (!properties) return dyn;
  const fields = new Map<string, () => Type>();
  for (const [key, inner] of Object.entries(properties))
    fields.set(key, () => typeOfSchema(inner, meta, `${name}.${key}`, false));
  if (root || isEmbedded(json))
    fields
      .set("apiVersion", () => string)
      .set("kind", () => string)
      .set("metadata", () => meta);
  return objectType(name, fields);
}

const converted = new Set(["byte", "binary", "date", "date-time", "duration"]);
