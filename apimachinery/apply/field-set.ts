/**
 * A set of field paths in the very form of FieldsV1, so that what managedFields hold needs no reading before it is used:
 *
 *   { "f:metadata": { "f:labels": { ".": {}, "f:app": {} } }, "f:spec": { "f:replicas": {} } }
 *
 *   f:<field or map key>   k:<JSON of a list item's sorted keys>   v:<JSON of a set's scalar>   i:<index>
 *
 * A node is a member when it is empty or has "."; the root never is one. Sets are never changed, parts are shared.
 * Source: KEP-555; sigs.k8s.io/structured-merge-diff, fieldpath.
 */
export interface FieldSet {
  readonly [element: string]: FieldSet;
}

/** Path elements from the root, as they stand in FieldsV1. */
export type Path = readonly string[];

export const emptySet: FieldSet = {};
const leaf: FieldSet = {};

export const union = (a: FieldSet, b: FieldSet): FieldSet => children(a, b, (inA, inB) => inA || inB);
export const difference = (a: FieldSet, b: FieldSet): FieldSet => children(a, b, (inA, inB) => inA && !inB);
export const intersection = (a: FieldSet, b: FieldSet): FieldSet => children(a, b, (inA, inB) => inA && inB);

type Rule = (inA: boolean, inB: boolean) => boolean;

function children(a: FieldSet, b: FieldSet, rule: Rule): FieldSet {
  const result: Record<string, FieldSet> = {};
  const add = (key: string) => {
    const node = combine(a[key], b[key], rule);
    if (node !== undefined) result[key] = node;
  };
  for (const key of Object.keys(a)) if (key !== ".") add(key);
  if (rule(false, true)) for (const key of Object.keys(b)) if (key !== "." && !(key in a)) add(key);
  return result;
}

function combine(a: FieldSet | undefined, b: FieldSet | undefined, rule: Rule): FieldSet | undefined {
  if (a === undefined || b === undefined) return rule(a !== undefined, b !== undefined) ? (a ?? b) : undefined;
  return nodeOf(rule(isMember(a), isMember(b)), children(a, b, rule));
}

/** A node from its parts; undefined when there is nothing in it. */
export function nodeOf(member: boolean, inner: FieldSet): FieldSet | undefined {
  if (isEmpty(inner)) return member ? leaf : undefined;
  return member ? { ".": leaf, ...inner } : inner;
}

/** Whether a member of `b` is in `a`, or above something in it. */
export function overlap(a: FieldSet, b: FieldSet): boolean {
  for (const key in b) {
    const node = key === "." ? undefined : a[key];
    if (node !== undefined && (isMember(b[key]!) || overlap(node, b[key]!))) return true;
  }
  return false;
}

/** `a` without the members of `b` and all below them. */
export function recursiveDifference(a: FieldSet, b: FieldSet): FieldSet {
  if (isEmpty(b)) return a;
  const result: Record<string, FieldSet> = {};
  for (const key of Object.keys(a)) {
    const [node, taken] = [a[key]!, b[key]];
    if (key === ".") continue;
    if (taken === undefined) result[key] = node;
    else if (!isMember(taken)) {
      const rest = nodeOf(isMember(node), recursiveDifference(node, taken));
      if (rest !== undefined) result[key] = rest;
    }
  }
  return result;
}

/** Of a node below the root. */
export const isMember = (node: FieldSet): boolean => "." in node || isEmpty(node);

export function isEmpty(set: FieldSet): boolean {
  for (const _ in set) return false;
  return true;
}

export function has(set: FieldSet, path: Path): boolean {
  let node: FieldSet | undefined = set;
  for (const element of path) node = node?.[element];
  return node !== undefined && path.length > 0 && isMember(node);
}

/** All members, in upstream's order. */
export function members(set: FieldSet): Path[] {
  const paths: Path[] = [];
  const walk = (node: FieldSet, path: Path) => {
    for (const key of Object.keys(node).sort(inOrder)) {
      if (key === ".") continue;
      const inner = [...path, key];
      if (isMember(node[key]!)) paths.push(inner);
      walk(node[key]!, inner);
    }
  };
  walk(set, []);
  return paths;
}

export function setOfPaths(paths: Iterable<Path>): FieldSet {
  let set = emptySet;
  for (const path of paths)
    set = union(
      set,
      path.reduceRight<FieldSet>((node, key) => ({ [key]: node }), leaf),
    );
  return set;
}

/** `.spec.containers[name="x"].image`, as conflicts name it. */
export function pathText(path: Path): string {
  return path.map(elementText).join("");
}

export function elementText(element: string): string {
  const rest = element.slice(2);
  switch (element[0]) {
    case "f":
      return `.${rest}`;
    case "k": {
      const keys = Object.entries(JSON.parse(rest) as object);
      return `[${keys.map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(",")}]`;
    }
    case "v":
      return `[=${rest}]`;
    default:
      return `[${rest}]`;
  }
}

/** The set with its elements in upstream's order, ready to be written. */
export function sorted(set: FieldSet): FieldSet {
  const keys = Object.keys(set);
  if (keys.length === 0) return leaf;
  const result: Record<string, FieldSet> = {};
  for (const key of keys.sort(inOrder)) result[key] = sorted(set[key]!);
  return result;
}

const ranks: Record<string, number> = { ".": 0, f: 1, k: 2, v: 3, i: 4 };

function inOrder(a: string, b: string): number {
  if (a[0] !== b[0]) return ranks[a[0]!]! - ranks[b[0]!]!;
  return a < b ? -1 : a > b ? 1 : 0;
}

/** FieldsV1 that a client sent: checked, and every element in its one spelling. Throws an Error. */
export function parseFieldsV1(value: unknown): FieldSet {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new Error("error parsing JSON: expected object");
  const result: Record<string, FieldSet> = {};
  for (const [key, inner] of Object.entries(value)) {
    const node = parseFieldsV1(inner);
    const element = canonicalElement(key);
    if (element === undefined) continue; // kinds of elements that are not known yet are left out, as upstream does
    const before = result[element];
    result[element] = before === undefined ? node : combine(before, node, (inA, inB) => inA || inB)!;
  }
  return result;
}

function canonicalElement(key: string): string | undefined {
  if (key === ".") return key;
  if (key[1] !== ":") throw new Error("missing colon");
  const rest = key.slice(2);
  switch (key[0]) {
    case "f":
      return key;
    case "v": {
      const value = JSON.parse(rest) as unknown;
      if (typeof value === "object") throw new Error(`expected a scalar, got ${rest}`);
      return `v:${JSON.stringify(value)}`;
    }
    case "k": {
      const keys = JSON.parse(rest) as unknown;
      if (typeof keys !== "object" || keys === null || Array.isArray(keys)) throw new Error(`bad key ${rest}`);
      return keyElement(keys as Record<string, unknown>);
    }
    case "i":
      if (!/^-?\d+$/.test(rest)) throw new Error(`strconv.Atoi: parsing ${JSON.stringify(rest)}: invalid syntax`);
      return `i:${Number(rest)}`;
    default:
      return undefined;
  }
}

/** `k:{"containerPort":80,"protocol":"TCP"}` */
export function keyElement(keys: Record<string, unknown>): string {
  const ordered = Object.keys(keys).sort();
  return `k:{${ordered.map((name) => `${JSON.stringify(name)}:${JSON.stringify(keys[name])}`).join(",")}}`;
}
