import { isObject } from "./schema/normalize.ts";

/**
 * JSONPaths as custom resources use them for columns and fields: `.status.conditions[?(@.type=="Ready")].status`,
 * `.metadata.annotations.example\.com/a`, `.spec.hosts[0]`, `.spec.list[*].name`, `..name`. Compiled once.
 * Source: k8s.io/client-go/util/jsonpath.
 */
export type JsonPath = (object: unknown) => unknown[];

type Step = (value: unknown) => unknown[];

/** Throws an Error that says what cannot be read. */
export function compileJsonPath(path: string): JsonPath {
  const steps: Step[] = [];
  let rest = path.startsWith("$") ? path.slice(1) : path;
  while (rest !== "") {
    const found = tokens
      .map(([shape, make]) => ({ match: shape.exec(rest), make }))
      .find(({ match }) => match !== null);
    if (found === undefined) throw new Error(`unrecognized character in action: ${JSON.stringify(rest)}`);
    steps.push(found.make(found.match as RegExpExecArray));
    rest = rest.slice(found.match![0].length);
  }
  return (object) => steps.reduce<unknown[]>((values, step) => values.flatMap(step), [object]);
}

const field =
  (name: string): Step =>
  (value) =>
    isObject(value) && Object.hasOwn(value, name) ? [value[name]] : [];
const all: Step = (value) => (Array.isArray(value) ? value : isObject(value) ? Object.values(value) : []);
const descend = (name: string): Step => {
  const own = field(name);
  const walk: Step = (value) => [...own(value), ...all(value).flatMap(walk)];
  return walk;
};
const itemAt = (index: number): Step => {
  return (value) => (Array.isArray(value) && value.at(index) !== undefined ? [value.at(index)] : []);
};
const slice = (from: number, to?: number): Step => {
  return (value) => (Array.isArray(value) ? value.slice(from, to) : []);
};
const plain = (text: string) => text.replace(/\\(.)/g, "$1");

const name = String.raw`((?:\\.|[^.[\]\\'"(){}\s])+)`;
const tokens: [RegExp, (match: RegExpExecArray) => Step][] = [
  [new RegExp(`^\\.\\.${name}`), ([, key]) => descend(plain(key!))],
  [/^\.?\[\*\]|^\.\*/, () => all],
  [new RegExp(`^\\.${name}`), ([, key]) => field(plain(key!))],
  [/^\.?\[(-?\d+)\]/, ([, index]) => itemAt(Number(index))],
  [/^\.?\[(-?\d*):(-?\d*)\]/, ([, from, to]) => slice(Number(from), to ? Number(to) : undefined)],
  [/^\.?\['((?:\\.|[^'\\])*)'\]/, ([, key]) => field(plain(key!))],
  [/^\.?\["((?:\\.|[^"\\])*)"\]/, ([, key]) => field(plain(key!))],
  [
    /^\.?\[\?\(@([^=!<>\s)]+)\s*(?:(==|!=|<=|>=|<|>)\s*("[^"]*"|'[^']*'|-?[\d.]+|true|false))?\s*\)\]/,
    ([, path, op, literal]) => filter(path!, op, literal),
  ],
];

function filter(path: string, operator: string | undefined, literal: string | undefined): Step {
  const inner = compileJsonPath(path);
  const wanted = literal === undefined ? undefined : /^['"]/.test(literal) ? literal.slice(1, -1) : JSON.parse(literal);
  const holds = (value: unknown): boolean => {
    const [is] = inner(value);
    if (operator === undefined) return is !== undefined;
    if (operator === "==") return is === wanted;
    if (operator === "!=") return is !== wanted;
    if (is === undefined || typeof is !== typeof wanted) return false;
    const [a, b] = [is as number, wanted as number];
    return operator === "<" ? a < b : operator === ">" ? a > b : operator === "<=" ? a <= b : a >= b;
  };
  return (value) => all(value).filter(holds);
}
