import { isObject } from "../schema/normalize.ts";
import { type Atom, elementOf, type Leaf, resolve } from "./atom.ts";
import { elementText } from "./field-set.ts";

/** What keeps a config from being an object of its kind, one text a problem: `.spec.foo: field not declared in schema`. */
export function problemsOf(declared: Atom, value: unknown, path = ""): string[] {
  const atom = resolve(declared, value);
  const tell = (text: string) => [`${path}: ${text}`];
  switch (atom.kind) {
    case "leaf":
      return leafProblem(atom, value).flatMap(tell);
    case "list": {
      if (!Array.isArray(value)) return tell(`expected list, got ${goValue(value)}`);
      const seen = new Set<string>();
      return value.flatMap((item, index) => {
        let element: string;
        try {
          element = elementOf(atom, item);
        } catch (error) {
          return tell(`element ${index}: ${(error as Error).message}`);
        }
        const place = elementText(element);
        if (seen.has(element)) return tell(`duplicate entries for key ${place}`);
        seen.add(element);
        return problemsOf(atom.item, item, `${path}${place}`);
      });
    }
    case "map":
    case "struct": {
      if (!isObject(value)) return tell(`expected map, got ${goValue(value)}`);
      return Object.keys(value).flatMap((key) => {
        const inner = atom.kind === "map" ? atom.item : atom.field(key);
        const place = `${path}.${key}`;
        return inner === undefined ? [`${place}: field not declared in schema`] : problemsOf(inner, value[key], place);
      });
    }
  }
}

function leafProblem({ scalar, shape }: Leaf, value: unknown): string[] {
  if (shape === "list") return Array.isArray(value) ? [] : [`expected list, got ${goValue(value)}`];
  if (shape === "map") return isObject(value) ? [] : [`expected map, got ${goValue(value)}`];
  const type = scalar === undefined ? undefined : scalar === "bool" ? "boolean" : jsonType[scalar];
  if (type === undefined || typeof value === type) return [];
  if (type === "number") return [`expected numeric (int or float), got ${goType(value)}`];
  return [`expected ${type}, got ${type === "string" ? goSyntax(value) : goValue(value)}`];
}

const jsonType = { string: "string", bytes: "string", int32: "number", int64: "number", double: "number" } as const;

const goTypes: Record<string, string> = { string: "string", boolean: "bool" };
const goType = (value: unknown): string =>
  goTypes[typeof value] ?? (Array.isArray(value) ? "[]interface {}" : "map[string]interface {}");

/** As %#v prints the values that stand where a string should. */
const goSyntax = (value: unknown): string =>
  typeof value === "object"
    ? `${goType(value)}${JSON.stringify(value).replace(/^\[|\]$/g, (c) => (c === "[" ? "{" : "}"))}`
    : String(value);

const goValue = (value: unknown): string => (typeof value === "object" ? JSON.stringify(value) : `&{${String(value)}}`);
