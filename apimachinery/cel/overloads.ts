import * as cel from "@bufbuild/cel";
import { type CelFunc, type CelInput, type CelType, type CelValue, isCelList } from "@bufbuild/cel";
import type { Signature } from "./check.ts";
import { tagged, untag } from "./values.ts";

/**
 * Functions by what they declare: `(RECEIVER) name(ARGUMENTS) RESULT`, the receiver for methods only. A type that the
 * language does not have (`quantity`) is opaque: only functions know it, they get its content, and what they give is tagged.
 */
export type Library = Readonly<Record<string, (...args: never[]) => unknown>>;

const { BOOL, BYTES, DOUBLE, DYN, INT, STRING } = cel.CelScalar;
const MAP = cel.mapType(DYN, DYN);
/** The evaluator exports no such types; its functions have them. */
const resultOf = (name: string) => [...cel.celEnv().funcs].find((func) => func.name === name)!.result;
const native: Record<string, CelType> = {
  ...{
    any: DYN,
    bool: BOOL,
    bytes: BYTES,
    double: DOUBLE,
    int: INT,
    string: STRING,
    map: MAP,
    list: cel.listType(DYN),
  },
  ...{ timestamp: resultOf("timestamp"), duration: resultOf("duration") },
};
/** For the evaluator opaque values are maps, and the tag tells which. */
const nativeOf = (name: string) => native[name] ?? MAP;

/** The evaluator's functions; overloads that it could not tell apart become one. */
export function funcsOf(library: Library): CelFunc[] {
  const groups = new Map<string, Row[]>();
  for (const [signature, impl] of Object.entries(library)) {
    const declared = signatureOf(signature);
    const { name, isMethod, args } = declared;
    const key = `${isMethod ? "." : ""}${name}(${args.map(nativeOf).join()})`;
    groups.set(key, [...(groups.get(key) ?? []), { ...declared, impl }]);
  }
  return [...groups.values()].map((rows) => {
    const { name, isMethod, args, result } = rows[0]!;
    const [target, ...rest] = args.map(nativeOf);
    const type = rows.length > 1 ? DYN : nativeOf(result);
    if (!isMethod)
      return cel.celFunc(name, target ? [target, ...rest] : [], type, (...given) => run(rows, given) as never);
    return cel.celMethod(name, target!, rest, type, function (...given) {
      return run(rows, [this, ...given]) as never;
    });
  });
}

type Row = Signature & { impl: Library[string] };

export function signatureOf(text: string): Signature {
  const [, receiver, name, list, result] = /^(?:\((\w+)\) )?(\S+?)\((.*)\) (@?\w+)$/.exec(text)!;
  const args = [...(receiver ? [receiver] : []), ...(list ? list.split(", ") : [])];
  return { name: name!, isMethod: receiver !== undefined, args, result: result! };
}

export function nativeSignature({ name, target, arguments: given, result }: CelFunc): Signature {
  const textOf = (type: CelType) =>
    String(type)
      .replace(/\(.*/, "")
      .replace(/^google\.protobuf\.(.*)/, (_, word: string) => word.toLowerCase());
  const args = [...(target ? [target] : []), ...given].map(textOf);
  return { name, isMethod: target !== undefined, args, result: textOf(result) };
}

function run(rows: readonly Row[], given: readonly CelValue[]): CelInput {
  for (const { args, result, impl } of rows) {
    const contents = given.map((value, i) => (native[args[i]!] ? value : untag(args[i]!, value)));
    if (contents.includes(undefined)) continue;
    const made = impl(...(contents as never[])) as CelInput;
    if (result === "optional") return tagged(result, made === undefined ? [] : [made]);
    return native[result] ? made : tagged(result, made);
  }
  throw new Error("no such overload");
}

/** A call's cost by the sizes of what it is given (cel-go's runtimecost.go, k8s.io/apiserver/pkg/cel/library/cost.go). */
type Price = (first: number, second: number, third: number) => number;
const tenth = (size: number) => Math.ceil(size / 10);
const table: [names: string, price: Price][] = [
  ["check", () => 70_000], // as the budget, a fifth of upstream's
  ["isSorted sum min max indexOf lastIndexOf entries__ mapOf__ flat__", (first) => first],
  ["find findAll matches", (first, second) => tenth(first + 1) * Math.ceil(second / 4)],
  ["contains", (first, second) => tenth(first) * tenth(second)],
  ["replace", (first, _, third) => tenth((first + 1) * (third + 1))], // differs: what is made counts, it may be far longer
  ["split ip.isCanonical", (first) => tenth(2 * first)],
  ["sets.contains sets.intersects sets.equivalent", (first, second) => first * second],
  ["_==_ _!=_ _<_ _<=_ _>_ _>=_", (first, second) => tenth(Math.min(first, second))],
  ["lowerAscii upperAscii substring trim startsWith endsWith bytes format validate", tenth],
  ["url isURL ip isIP cidr isCIDR quantity isQuantity semver isSemver string", tenth],
];
const prices = new Map(table.flatMap(([names, price]) => names.split(" ").map((name) => [name, price])));

/** All others cost 1. */
export function callCost(name: string, args: readonly CelValue[]): number {
  const [first, second, third] = [0, 1, 2].map((i) => sizeOf(args[i])) as [number, number, number];
  const [left, right] = args;
  if (name === "@pay") return Number(left);
  if (name === "_+_") return typeof left === "string" || left instanceof Uint8Array ? tenth(first + second) : 1;
  if (name === "@in") return isCelList(right!) ? second : 1;
  if (name === "join" && isCelList(left!))
    return tenth(2 * Array.from(left, sizeOf).reduce((sum, size) => sum + size + second, 0));
  return prices.get(name)?.(first, second, third) ?? 1;
}

function sizeOf(value: CelValue | undefined): number {
  if (typeof value === "string" || value instanceof Uint8Array) return value.length;
  return typeof value === "object" && value !== null && "size" in value ? Number(value.size) : 1;
}
