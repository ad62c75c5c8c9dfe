import type { CelInput, CelList, CelMap, CelValue } from "@bufbuild/cel";
import { celEnv, isCelError, isCelList, isCelMap, isCelUint, parse, plan } from "@bufbuild/cel";

/** What values look like in CEL, and back. JSON's whole numbers are ints there unless a schema says `number`. */

/** The part of an OpenAPI schema that types are read from. */
export interface Shape {
  type?: string;
  format?: string;
  properties?: Record<string, Shape>;
  items?: Shape;
  additionalProperties?: Shape | boolean;
}

/** With a schema, properties have the names that expressions use, and formats become timestamps, durations and bytes. */
export function jsonToCel(value: unknown, shape?: Shape): CelInput {
  if (typeof value === "number") return Number.isInteger(value) && shape?.type !== "number" ? BigInt(value) : value;
  if (typeof value === "string") return shape?.format ? formatted(value, shape.format) : value;
  if (Array.isArray(value)) return value.map((item) => jsonToCel(item, shape?.items));
  if (typeof value !== "object" || value === null) return (value ?? null) as boolean | null;
  const rest = typeof shape?.additionalProperties === "object" ? shape.additionalProperties : undefined;
  const entries = Object.entries(value).filter(([, inner]) => inner !== undefined);
  return new Map(
    entries.map(([key, inner]) => {
      const property = shape?.properties && Object.hasOwn(shape.properties, key) ? shape.properties[key] : undefined;
      return [property ? escapeName(key) : key, jsonToCel(inner, property ?? rest)];
    }),
  );
}

function formatted(text: string, format: string): CelInput {
  if (format === "byte") return Buffer.from(text, "base64");
  if (format === "binary") return Buffer.from(text);
  const make = format === "date-time" ? timestampOf : format === "duration" ? durationOf : undefined;
  const value = make?.({ text });
  return value === undefined || isCelError(value) ? text : value;
}

const timestampOf = plan(celEnv(), parse("timestamp(text)"));
const durationOf = plan(celEnv(), parse("duration(text)"));
const textOf = plan(celEnv(), parse("string(value)"));

/** How an expression names a property that is no identifier of CEL, or one of its words. */
export function escapeName(name: string): string {
  if (keywords.has(name)) return `__${name}__`;
  return name.replace(/__|[.\-/]/g, (part) => `__${escapes[part]}__`);
}

const escapes: Record<string, string> = { __: "underscores", ".": "dot", "-": "dash", "/": "slash" };
const keywords = new Set(
  "true false null in as break const continue else for function if import let loop package namespace return".split(" "),
);

export function celToJson(value: CelValue): unknown {
  if (typeof value === "bigint") return Number(value);
  if (isCelUint(value)) return Number(value.value);
  if (isCelList(value)) return Array.from(value, celToJson);
  if (isCelMap(value)) return Object.fromEntries(Array.from(value, ([key, inner]) => [String(key), celToJson(inner)]));
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (typeof value !== "object" || value === null) return value;
  return textOf({ value }); // timestamps and durations
}

/**
 * A value of a type that the library has no room for (Quantity, URL, an optional): a map with one key that names the
 * type. Equal content is equal; functions look for the key.
 */
export const tagged = (tag: string, content: CelInput): CelInput => new Map([[`@${tag}`, content]]);

export function untag(tag: string, value: unknown): CelValue | undefined {
  return isCelMap(value) && value.size === 1 ? value.get(`@${tag}`) : undefined;
}

const listMark = Symbol.for("@bufbuild/cel/list");
const mapMark = Symbol.for("@bufbuild/cel/map");

/**
 * A list that grows at its end without copying, as `map` and `filter` build theirs: several lists share one array, each
 * seeing its own length of it. The library's own concatenation nests as deep as the result is long.
 */
class GrownList {
  readonly [listMark] = {};
  readonly #array: CelValue[];
  readonly size: number;

  constructor(array: CelValue[]) {
    this.#array = array;
    this.size = array.length;
  }

  get(index: number): CelValue | undefined {
    return index < this.size ? this.#array[index] : undefined;
  }

  *values(): Generator<CelValue> {
    for (let i = 0; i < this.size; i++) yield this.#array[i]!;
  }

  [Symbol.iterator]() {
    return this.values();
  }

  concat(more: CelList): GrownList {
    const array = this.#array.length === this.size ? this.#array : this.#array.slice(0, this.size);
    for (const value of more) array.push(value);
    return new GrownList(array);
  }
}

export function concatLists(left: CelList, right: CelList): CelList {
  const grown = left instanceof GrownList ? left : new GrownList([...left]);
  return grown.concat(right) as unknown as CelList;
}

/** A map whose values are found when they are asked for, once; `get` may throw. */
export function lazyMap(names: readonly string[], get: (name: string) => CelValue): CelMap {
  const known = new Map<string, CelValue>();
  const read = (name: string) => {
    if (!names.includes(name)) return undefined;
    if (!known.has(name)) known.set(name, get(name));
    return known.get(name);
  };
  return {
    [mapMark]: {},
    size: names.length,
    get: read,
    has: (name: string) => names.includes(name),
    keys: () => names.values(),
    entries: () => names.map((name) => [name, read(name)]).values(),
    [Symbol.iterator]: () => names.map((name) => [name, read(name)]).values(),
  } as unknown as CelMap;
}
