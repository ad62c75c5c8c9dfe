import { memo } from "../../base/memo.ts";
import { isObject } from "../schema/normalize.ts";
import { defaultOf, type Field, type Message, type Scalar, type Schema } from "../schema/table.ts";
import { keyElement } from "./field-set.ts";

/**
 * How a value is owned, from the schema: as a whole (`leaf`: scalars, and what is atomic), or by its parts. Lists merge
 * by `listType` and `listMapKeys`, which are not the merge keys of strategic merge patches; a list without a type is
 * atomic.
 */
export type Atom = Leaf | Struct | GranularMap | AssociativeList | Deduced;

export interface Leaf {
  readonly kind: "leaf";
  /** For plain scalars only. */
  readonly scalar: Scalar | undefined;
  readonly shape: Field["shape"];
}

export interface Struct {
  readonly kind: "struct";
  /** Undefined for names that the schema does not know. */
  field(name: string): Atom | undefined;
}

export interface GranularMap {
  readonly kind: "map";
  readonly item: Atom;
}

/** No schema says what it is (x-kubernetes-preserve-unknown-fields): objects are maps, all else is a leaf. */
export interface Deduced {
  readonly kind: "deduced";
}

export const deduced: Deduced = { kind: "deduced" };
const deducedMap: GranularMap = { kind: "map", item: deduced };
const deducedLeaf: Leaf = { kind: "leaf", scalar: undefined, shape: "single" };

/** What a value is, where only it can say so; for a pair of values that differ in this, one leaf. */
export function resolve(atom: Atom, ...values: unknown[]): Exclude<Atom, Deduced> {
  if (atom.kind !== "deduced") return atom;
  return values.every((value) => value === undefined || isObject(value)) ? deducedMap : deducedLeaf;
}

export interface AssociativeList {
  readonly kind: "list";
  /** By name, with the default; empty for a set. */
  readonly keys: readonly { name: string; default: unknown }[];
  readonly item: Atom;
}

const structs = new WeakMap<Message, Struct>();

/** For a message that has no fields of its own: a custom resource's. */
export function setStruct(message: Message, struct: Struct): void {
  structs.set(message, struct);
}

/** Atoms are made once per message, when they are first asked for. */
export function structOf(schema: Schema, message: Message): Struct {
  return memo(structs, message, () => makeStruct(schema, message));
}

function makeStruct(schema: Schema, message: Message): Struct {
  const atoms = new Map<string, Atom>();
  if (message.isKind) for (const name of ["apiVersion", "kind"]) atoms.set(name, leaf("string"));
  return {
    kind: "struct",
    field(name) {
      const field = message.fields.get(name);
      return field ? memo(atoms, name, () => atomOf(schema, field)) : atoms.get(name);
    },
  };
}

export const leaf = (scalar: Scalar | undefined, shape: Field["shape"] = "single"): Leaf => {
  return { kind: "leaf", scalar, shape };
};

function atomOf(schema: Schema, field: Field): Atom {
  const { scalar, messageId, shape, listType, listMapKeys, mapType } = field;
  const message = messageId === undefined ? undefined : schema.message(messageId);
  const item: Atom =
    message === undefined || message.jsonForm || message.atomic ? leaf(scalar) : structOf(schema, message);
  if (shape === "single") return item;
  if (shape === "map") return mapType === "atomic" ? leaf(undefined, "map") : { kind: "map", item };
  if (listType !== "map" && listType !== "set") return leaf(undefined, "list");
  const keys = listMapKeys.map((name) => {
    const key = message?.fields.get(name);
    return { name, default: key && defaultOf(key) };
  });
  return { kind: "list", keys: listType === "map" ? keys : [], item };
}

/** A list item's path element. Throws an Error with upstream's text. */
export function elementOf(list: AssociativeList, item: unknown): string {
  const isMap = typeof item === "object" && item !== null;
  if (list.keys.length === 0) {
    const wrong = item === null ? "an explicit null" : Array.isArray(item) ? "a list type" : isMap ? "a map type" : "";
    if (wrong) throw new Error(`associative list without keys has an element that's ${wrong}`);
    return `v:${JSON.stringify(item)}`;
  }
  if (item === null) throw new Error("associative list with keys may not have a null element");
  if (!isMap || Array.isArray(item)) throw new Error("associative list with keys may not have non-map elements");
  const keys: Record<string, unknown> = {};
  for (const { name, default: value } of list.keys) {
    const given = (item as Record<string, unknown>)[name] ?? value;
    if (given === undefined)
      throw new Error(
        `associative list with keys has an element that omits key field ${JSON.stringify(name)} (and doesn't have default value)`,
      );
    keys[name] = given;
  }
  return keyElement(keys);
}
