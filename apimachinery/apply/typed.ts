import { sameJson } from "../same-json.ts";
import { set as assign, isObject, type JsonObject } from "../schema/normalize.ts";
import { type AssociativeList, type Atom, elementOf, resolve, type Struct } from "./atom.ts";
import { emptySet, type FieldSet, isEmpty, isMember, nodeOf } from "./field-set.ts";

/**
 * What server-side apply does to values of a known type: which fields there are, what differs, merge, removal. Objects
 * are plain JSON without nulls; nothing is changed, results share parts with the arguments.
 * Source: sigs.k8s.io/structured-merge-diff, typed.
 */
type Nodes = Record<string, FieldSet>;

/**
 * The fields of a config: its leaves, and the items of lists and maps themselves. With `whole`, maps and lists are members
 * too: they were not there before.
 * Differs: of structs upstream names those that are pointers in Go; the schema does not tell them from others, and as
 * their leaves say the same, none is named here unless it is empty.
 */
export function fieldSetOf(atom: Atom, value: unknown, whole = false): FieldSet {
  const nodes: Nodes = {};
  eachChild(atom, value, (element, child, declared, item) => {
    const inner = resolve(declared, child);
    const parts = fieldSetOf(inner, child, whole);
    const container = inner.kind === "map" || inner.kind === "list";
    nodes[element] = nodeOf(item || isEmpty(parts) || (whole && container), parts)!;
  });
  return nodes;
}

/** Calls with every part of a value; not for leaves. Items of one key come as one, as an array of them. */
function eachChild(
  declared: Atom,
  value: unknown,
  visit: (element: string, child: unknown, atom: Atom, item: boolean) => void,
): void {
  const atom = resolve(declared, value);
  if (value === undefined || atom.kind === "leaf") return;
  if (atom.kind === "list") {
    for (const [element, child] of itemsOf(atom, value)) visit(element, child.value, child.atom, true);
    return;
  }
  if (!isObject(value)) return;
  for (const key of Object.keys(value)) {
    const inner = atom.kind === "map" ? atom.item : atom.field(key);
    if (inner !== undefined) visit(`f:${key}`, value[key], inner, atom.kind === "map");
  }
}

const duplicates: Atom = { kind: "leaf", scalar: undefined, shape: "list" };

/** Stored lists may hold several items of one key: these are one leaf. */
function itemsOf(list: AssociativeList, value: unknown): Map<string, { value: unknown; atom: Atom }> {
  const items = new Map<string, { value: unknown; atom: Atom }>();
  for (const item of Array.isArray(value) ? value : []) {
    const element = tolerantElement(list, item);
    const before = items.get(element);
    if (before === undefined) items.set(element, { value: item, atom: list.item });
    else items.set(element, { value: [before.value, item], atom: duplicates });
  }
  return items;
}

/** What is stored was validated by other rules: an item that lacks a key is still an item. */
function tolerantElement(list: AssociativeList, item: unknown): string {
  try {
    return elementOf(list, item);
  } catch {
    return `v:${JSON.stringify(item)}`;
  }
}

export interface Comparison {
  added: FieldSet;
  modified: FieldSet;
  /** Members went with all below them. */
  removed: FieldSet;
}

export const nothing: Comparison = { added: emptySet, modified: emptySet, removed: emptySet };

export function compare(declared: Atom, before: unknown, after: unknown): Comparison {
  const atom = resolve(declared, before, after);
  const added: Nodes = {};
  const modified: Nodes = {};
  const removed: Nodes = {};
  const visit = (element: string, one: unknown, other: unknown, type: Atom, item: boolean) => {
    if (one === other) return;
    const inner = resolve(type, one, other);
    if (other === undefined) removed[element] = emptySet;
    else if (one === undefined) {
      const parts = fieldSetOf(inner, other, true);
      const container = item || inner.kind === "map" || inner.kind === "list";
      added[element] = nodeOf(container || isEmpty(parts), parts)!;
    } else if (inner.kind === "leaf") {
      if (!sameJson(one, other)) modified[element] = emptySet;
    } else {
      const result = compare(inner, one, other);
      if (!isEmpty(result.added)) added[element] = result.added;
      if (!isEmpty(result.modified)) modified[element] = result.modified;
      if (!isEmpty(result.removed)) removed[element] = result.removed;
    }
  };
  if (atom.kind === "list") {
    if (sameJson(before, after)) return nothing;
    const [old, next] = [itemsOf(atom, before), itemsOf(atom, after)];
    for (const element of new Set([...old.keys(), ...next.keys()])) {
      const [one, other] = [old.get(element), next.get(element)];
      const same = one === undefined || other === undefined || one.atom === other.atom;
      visit(element, one?.value, other?.value, same ? (one ?? other)!.atom : duplicates, true);
    }
  } else if (atom.kind !== "leaf") {
    const [old, next] = [isObject(before) ? before : {}, isObject(after) ? after : {}];
    for (const key of Object.keys(next)) one(key, Object.hasOwn(old, key) ? old[key] : undefined, next[key]);
    for (const key of Object.keys(old)) if (!Object.hasOwn(next, key)) one(key, old[key], undefined);
  }
  return { added, modified, removed };

  function one(key: string, was: unknown, is: unknown): void {
    const inner = atom.kind === "map" ? atom.item : (atom as Struct).field(key);
    if (inner !== undefined) visit(`f:${key}`, was, is, inner, atom.kind === "map");
  }
}

/** `live` with everything that `config` says. */
export function merge(declared: Atom, live: unknown, config: unknown): unknown {
  const atom = resolve(declared, live, config);
  if (config === undefined) return live;
  if (live === undefined || atom.kind === "leaf") return config;
  if (atom.kind === "list") return mergeList(atom, live as unknown[], config as unknown[]);
  if (!isObject(live) || !isObject(config)) return config;
  const result: JsonObject = { ...live };
  for (const key of Object.keys(config)) {
    const inner = atom.kind === "map" ? atom.item : atom.field(key);
    const before = Object.hasOwn(live, key) ? live[key] : undefined;
    assign(result, key, inner === undefined ? config[key] : merge(inner, before, config[key]));
  }
  return result;
}

/** In the order of the config; items that it does not name keep their place behind the one before them. */
function mergeList(list: AssociativeList, live: unknown[], config: unknown[]): unknown[] {
  const lefts = live.map((item) => tolerantElement(list, item));
  const rights = config.map((item) => tolerantElement(list, item));
  const wanted = new Set(rights);
  const done = new Set<string>();
  const merged: unknown[] = [];
  const take = (r: number) => {
    const l = lefts.indexOf(rights[r]!);
    merged.push(l < 0 ? config[r] : merge(list.item, live[l], config[r]));
    done.add(rights[r]!);
  };
  let r = 0;
  for (let l = 0; l < lefts.length; l++) {
    if (!wanted.has(lefts[l]!)) merged.push(live[l]);
    else while (!done.has(lefts[l]!)) take(r++);
  }
  while (r < rights.length) take(r++);
  return merged;
}

/**
 * `value` without what is in `last` and in nobody's set any more. A field of a struct is in a set when anything below it
 * is; an item of a map or list only when it is a member itself.
 */
export function prune(declared: Atom, value: unknown, last: FieldSet, owned: FieldSet): unknown {
  const atom = resolve(declared, value);
  if (atom.kind === "leaf") return value;
  /** Undefined: it goes. */
  const kept = (element: string, child: unknown, inner: Atom | undefined): unknown => {
    const [mine, others] = [last[element], owned[element]];
    if (mine === undefined || inner === undefined) return child;
    const inSet = (node: FieldSet) => atom.kind === "struct" || isMember(node);
    if (inSet(mine) && !(others !== undefined && inSet(others))) return undefined;
    return prune(inner, child, mine, others ?? emptySet);
  };
  if (Array.isArray(value)) {
    const list = atom as AssociativeList;
    const rest = value.map((item) => kept(tolerantElement(list, item), item, list.item)).filter((i) => i !== undefined);
    return rest.length === 0 && value.length > 0 ? undefined : rest;
  }
  if (!isObject(value)) return value;
  const result: JsonObject = {};
  for (const key of Object.keys(value)) {
    const child = kept(`f:${key}`, value[key], atom.kind === "map" ? atom.item : (atom as Struct).field(key));
    if (child !== undefined) assign(result, key, child);
  }
  return isEmpty(result as never) && !isEmpty(value as never) ? undefined : result;
}
