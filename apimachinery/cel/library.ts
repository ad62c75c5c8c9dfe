import { isIP, isIPv4 } from "node:net";
import {
  type CelFunc,
  type CelInput,
  type CelList,
  CelScalar,
  type CelValue,
  celEnv,
  celFunc,
  celMethod,
  isCelError,
  listType,
  mapType,
  parse,
  plan,
} from "@bufbuild/cel";
import { addressOf, parseCidr } from "../ip.ts";
import { dns1035Label, dns1123Label, dns1123Subdomain, labelValue, qualifiedName } from "../names.ts";
import { parseQuantity } from "../quantity.ts";
import { tagged, untag } from "./values.ts";

/**
 * What Kubernetes adds to CEL: lists, sets, quantities, URLs, addresses and their blocks, formats, optional values.
 * Source: k8s.io/apiserver/pkg/cel/library. Absent: `find` and `findAll` (the regular expressions that we have only
 * test), semver.
 */
const { BOOL, DOUBLE, DYN, INT, STRING } = CelScalar;
const LIST = listType(DYN);
/** Of all tagged values; each method looks at the tag. */
const TAGGED = mapType(CelScalar.STRING, DYN);

const binary = (text: string) => {
  const program = plan(celEnv(), parse(text));
  return (a: CelInput, b: CelInput): CelValue => {
    const result = program({ a, b });
    if (isCelError(result)) throw result;
    return result;
  };
};
const equal = binary("a == b");
const less = binary("a < b");
const sum = binary("a + b");

/** Methods of a tagged type: each gets the content of `this`, and no overload matches another type. */
function methods(
  tag: string,
  table: Record<string, [args: Arg[], result: Arg, (it: never, ...args: never[]) => unknown]>,
) {
  return Object.entries(table).map(([name, [args, result, impl]]) => ({ tag, name, args, result, impl }));
}
type Arg = typeof BOOL | typeof DOUBLE | typeof DYN | typeof INT | typeof STRING | typeof LIST;

function typed(rows: ReturnType<typeof methods>): CelFunc[] {
  const byName = new Map<string, typeof rows>();
  for (const row of rows) {
    const key = `${row.name}/${row.args.map(({ name }) => name).join()}`;
    byName.set(key, [...(byName.get(key) ?? []), row]);
  }
  return [...byName.values()].map((overloads) => {
    const { name, args, result } = overloads[0]!;
    return celMethod(name, TAGGED, args, overloads.length > 1 ? DYN : result, function (
      this: CelValue,
      ...given: CelValue[]
    ) {
      for (const { tag, impl } of overloads) {
        const content = untag(tag, this);
        if (content !== undefined) return impl(content as never, ...(given as never[])) as CelInput;
      }
      throw new Error(`found no matching overload for '${name}'`);
    } as never);
  });
}

const checked = <T>(value: T | undefined, message: string): T => {
  if (value === undefined) throw new Error(message);
  return value;
};

const quantityOf = (text: string) => tagged("quantity", parseQuantity(text).nano);
const nanoOf = (value: CelValue) => checked(untag("quantity", value) as bigint | undefined, "no such overload");
const giga = 10n ** 9n;
/** What may be added to a quantity: another, or a whole number. */
const addend = (value: CelValue) => (typeof value === "bigint" ? value * giga : nanoOf(value));
const wholeOf = (nano: bigint) => (nano % giga === 0n ? nano / giga : undefined);
const signOf = (nano: bigint) => (nano > 0n ? 1n : nano < 0n ? -1n : 0n);

const isUrl = (text: string) => {
  if (text.startsWith("/")) return URL.canParse(text, "http://x");
  return /^[a-zA-Z][a-zA-Z0-9+.-]*:/.test(text) && URL.canParse(text);
};
const queryOf = (text: string) => {
  const query = new URLSearchParams(/\?([^#]*)/.exec(text)?.[1] ?? "");
  return new Map([...query.keys()].map((key) => [key, query.getAll(key)]));
};
const hostOf = (text: string) => /^[a-zA-Z][\w+.-]*:\/\/(?:[^@/?#]*@)?([^/?#]*)/.exec(text)?.[1] ?? "";

const strictIp = (text: string) =>
  isIP(text) && !text.includes("%") && !/^::ffff:\d+\./i.test(text) ? text : undefined;
const parseError = "parse error during conversion from string";
const ipOf = (text: string) => checked(strictIp(text), `IP Address ${JSON.stringify(text)} ${parseError}`);
const canonicalIp = (text: string) => (isIPv4(text) ? text : new URL(`http://[${text}]`).hostname.slice(1, -1));
const inBlock = (block: string, text: string): boolean => {
  const { address, bits, prefix } = parseCidr(block)!;
  const shift = BigInt(bits - prefix);
  return bits === (isIPv4(text) ? 32 : 128) && addressOf(text) >> shift === address >> shift;
};
const inAny = (text: string, ...blocks: string[]) => blocks.some((block) => inBlock(block, text));
const ipText = (value: CelValue) => (typeof value === "string" ? value : (untag("ip", value) as string));
const cidrText = (value: CelValue) => (typeof value === "string" ? value : (untag("cidr", value) as string));
const special = "0.0.0.0/32 ::/128 127.0.0.0/8 ::1/128 224.0.0.0/4 ff00::/8 169.254.0.0/16 fe80::/10".split(" ");
const containsBlock = (outer: string, inner: string) => {
  const { prefix } = checked(parseCidr(inner), `network address ${parseError}`);
  return prefix >= parseCidr(outer)!.prefix && inBlock(outer, inner.split("/")[0]!);
};
const isGlobal = (ip: string) => ip !== "255.255.255.255" && !inAny(ip, ...special);

function masked(block: string): string {
  const { address, bits, prefix } = parseCidr(block)!;
  const shift = BigInt(bits - prefix);
  const kept = (address >> shift) << shift;
  const parts = Array.from({ length: bits === 32 ? 4 : 8 }, (_, i, step = bits === 32 ? 8 : 16) =>
    Number((kept >> BigInt(bits - step * (i + 1))) & ((1n << BigInt(step)) - 1n)),
  );
  return `${bits === 32 ? parts.join(".") : canonicalIp(parts.map((p) => p.toString(16)).join(":"))}/${prefix}`;
}

const formats: Record<string, (text: string) => string[]> = {
  dns1123Label,
  dns1123Subdomain,
  dns1035Label,
  qualifiedName,
  labelValue,
  dns1123LabelPrefix: (text) => dns1123Label(text.replace(/-$/, "a")),
  dns1123SubdomainPrefix: (text) => dns1123Subdomain(text.replace(/-$/, "a")),
  dns1035LabelPrefix: (text) => dns1035Label(text.replace(/-$/, "a")),
  uri: (text) => (isUrl(text) ? [] : ["invalid URI for request"]),
  uuid: (text) =>
    /^[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}$/i.test(text) ? [] : ["does not match the UUID format"],
  byte: (text) => (/^[A-Za-z0-9+/]*={0,2}$/.test(text) && text.length % 4 === 0 ? [] : ["invalid base64"]),
  date: (text) => (/^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(Date.parse(text)) ? [] : ["invalid date"]),
  datetime: (text) => (/^\d{4}-\d\d-\d\dT/i.test(text) && !Number.isNaN(Date.parse(text)) ? [] : ["invalid datetime"]),
};

const problemsOf = (format: string, text: string) => {
  const problems = formats[format]!(text);
  return problems.length > 0 ? problems : undefined;
};

const optional = (value: CelInput | undefined) => tagged("optional", value === undefined ? [] : [value]);
const isZero = (value: CelValue) =>
  value === null ||
  value === false ||
  value === "" ||
  value === 0n ||
  value === 0 ||
  (value as { size?: number }).size === 0;

const has = (list: CelList, value: CelValue) => [...list].some((item) => equal(item, value) === true);
const best = (list: CelList, better: (a: CelValue, b: CelValue) => boolean, name: string) => {
  const items = [...list];
  if (items.length === 0) throw new Error(`${name} called on empty list`);
  return items.reduce((found, item) => (better(item, found) ? item : found));
};

export const kubernetesLibrary: CelFunc[] = [
  celMethod("isSorted", LIST, [], BOOL, function () {
    const items = [...this];
    return items.every((item, i) => i === 0 || less(item, items[i - 1]!) === false);
  }),
  celMethod("sum", LIST, [], DYN, function () {
    return [...this].reduce<CelInput>((total, item, i) => (i === 0 ? item : sum(total, item)), 0n);
  }),
  celMethod("min", LIST, [], DYN, function () {
    return best(this, (a, b) => less(a, b) === true, "min");
  }),
  celMethod("max", LIST, [], DYN, function () {
    return best(this, (a, b) => less(b, a) === true, "max");
  }),
  celMethod("indexOf", LIST, [DYN], INT, function (value) {
    return BigInt([...this].findIndex((item) => equal(item, value) === true));
  }),
  celMethod("lastIndexOf", LIST, [DYN], INT, function (value) {
    return BigInt([...this].map((item) => equal(item, value) === true).lastIndexOf(true));
  }),
  celFunc("sets.contains", [LIST, LIST], BOOL, (list, part) => [...part].every((value) => has(list, value))),
  celFunc("sets.intersects", [LIST, LIST], BOOL, (list, other) => [...other].some((value) => has(list, value))),
  celFunc(
    "sets.equivalent",
    [LIST, LIST],
    BOOL,
    (list, other) => [...other].every((value) => has(list, value)) && [...list].every((value) => has(other, value)),
  ),

  celFunc("quantity", [STRING], DYN, quantityOf),
  celFunc("isQuantity", [STRING], BOOL, (text) => {
    try {
      return parseQuantity(text) !== undefined;
    } catch {
      return false;
    }
  }),
  celFunc("url", [STRING], DYN, (text) => {
    if (isUrl(text)) return tagged("url", text);
    throw new Error(`URL ${parseError}: parse ${JSON.stringify(text)}: invalid URI for request`);
  }),
  celFunc("isURL", [STRING], BOOL, isUrl),
  celFunc("ip", [STRING], DYN, (text) => tagged("ip", ipOf(text))),
  celFunc("isIP", [STRING], BOOL, (text) => strictIp(text) !== undefined),
  celFunc("ip.isCanonical", [STRING], BOOL, (text) => canonicalIp(ipOf(text)) === text),
  celFunc("cidr", [STRING], DYN, (text) => {
    checked(parseCidr(text), `network address ${parseError}: ${text}`);
    return tagged("cidr", text);
  }),
  celFunc("isCIDR", [STRING], BOOL, (text) => parseCidr(text) !== undefined),
  celFunc("string", [TAGGED], STRING, (value) =>
    checked((untag("ip", value) ?? untag("cidr", value)) as string | undefined, "no such overload"),
  ),
  ...Object.keys(formats).map((name) => celFunc(`format.${name}`, [], DYN, () => tagged("format", name))),
  celFunc("format.named", [STRING], DYN, (name) =>
    optional(Object.hasOwn(formats, name) ? tagged("format", name) : undefined),
  ),
  celFunc("optional.of", [DYN], DYN, (value) => optional(value)),
  celFunc("optional.none", [], DYN, () => optional(undefined)),
  celFunc("optional.ofNonZeroValue", [DYN], DYN, (value) => optional(isZero(value) ? undefined : value)),

  ...typed([
    ...methods("quantity", {
      isInteger: [[], BOOL, (nano: bigint) => wholeOf(nano) !== undefined],
      asInteger: [[], INT, (nano: bigint) => checked(wholeOf(nano), "cannot convert value to integer")],
      asApproximateFloat: [[], DOUBLE, (nano: bigint) => Number(nano) / 1e9],
      sign: [[], INT, signOf],
      isLessThan: [[DYN], BOOL, (nano: bigint, other: CelValue) => nano < nanoOf(other)],
      isGreaterThan: [[DYN], BOOL, (nano: bigint, other: CelValue) => nano > nanoOf(other)],
      compareTo: [[DYN], INT, (nano: bigint, other: CelValue) => signOf(nano - nanoOf(other))],
      add: [[DYN], DYN, (nano: bigint, other: CelValue) => tagged("quantity", nano + addend(other))],
      sub: [[DYN], DYN, (nano: bigint, other: CelValue) => tagged("quantity", nano - addend(other))],
    }),
    ...methods("url", {
      getScheme: [[], STRING, (text: string) => /^([^:/]+):/.exec(text)?.[1] ?? ""],
      getHost: [[], STRING, hostOf],
      getHostname: [[], STRING, (text: string) => hostOf(text).replace(/:\d*$|^\[|\](?=:\d*$|$)/g, "")],
      getPort: [[], STRING, (text: string) => /:(\d+)$/.exec(hostOf(text))?.[1] ?? ""],
      getEscapedPath: [[], STRING, (text: string) => /^(?:[^:/?#]+:)?(?:\/\/[^/?#]*)?([^?#]*)/.exec(text)![1]!],
      getQuery: [[], DYN, queryOf],
    }),
    ...methods("ip", {
      family: [[], INT, (text: string) => BigInt(isIP(text))],
      isUnspecified: [[], BOOL, (text: string) => inAny(text, "0.0.0.0/32", "::/128")],
      isLoopback: [[], BOOL, (text: string) => inAny(text, "127.0.0.0/8", "::1/128")],
      isLinkLocalMulticast: [[], BOOL, (text: string) => inAny(text, "224.0.0.0/24", "ff02::/16")],
      isLinkLocalUnicast: [[], BOOL, (text: string) => inAny(text, "169.254.0.0/16", "fe80::/10")],
      isGlobalUnicast: [[], BOOL, isGlobal],
    }),
    ...methods("cidr", {
      ip: [[], DYN, (text: string) => tagged("ip", text.split("/")[0]!)],
      masked: [[], DYN, (text: string) => tagged("cidr", masked(text))],
      prefixLength: [[], INT, (text: string) => BigInt(parseCidr(text)!.prefix)],
      containsIP: [
        [DYN],
        BOOL,
        (block: string, ip: CelValue) => inBlock(block, checked(strictIp(ipText(ip)), `IP Address ${parseError}`)),
      ],
      containsCIDR: [[DYN], BOOL, (outer: string, inner: CelValue) => containsBlock(outer, cidrText(inner))],
    }),
    ...methods("format", {
      validate: [[STRING], DYN, (name: string, text: string) => optional(problemsOf(name, text))],
    }),
    ...methods("optional", {
      hasValue: [[], BOOL, (value: CelList) => value.size > 0],
      value: [[], DYN, (value: CelList) => checked(value.get(0), "optional.none() dereference")],
      orValue: [[DYN], DYN, (value: CelList, other: CelValue) => value.get(0) ?? other],
      or: [[DYN], DYN, (value: CelList, other: CelValue) => (value.size > 0 ? optional(value.get(0)) : other)],
    }),
  ]),
];
