import { isIP, isIPv4 } from "node:net";
import type { CelInput, CelList, CelMap, CelValue } from "@bufbuild/cel";
import { celEnv, isCelError, parse, plan } from "@bufbuild/cel";
import { addressOf, canonicalIp, parseCidr } from "../ip.ts";
import { dns1035Label, dns1123Label, dns1123Subdomain, labelValue, qualifiedName } from "../names.ts";
import { parseQuantity } from "../quantity.ts";
import type { Library } from "./overloads.ts";
import { compileRegex, findAll } from "./regex.ts";
import { concatLists, tagged, untag } from "./values.ts";

/**
 * What CEL has in Kubernetes beside the language's own functions. Source: k8s.io/apiserver/pkg/cel/library, and cel-go's
 * optional types, sets and two-variable comprehensions. Absent: jsonpatch, which only MutatingAdmissionPolicy has.
 */
const checked = <T>(value: T | undefined, message: string): T => {
  if (value === undefined) throw new Error(message);
  return value;
};
const succeeds = (make: () => unknown) => {
  try {
    return make() !== undefined;
  } catch {
    return false;
  }
};

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

const has = (list: CelList, value: CelValue) => [...list].some((item) => equal(item, value) === true);
const hasAll = (list: CelList, part: CelList) => [...part].every((value) => has(list, value));
const best = (list: CelList, better: (a: CelValue, b: CelValue) => boolean, name: string) => {
  const items = [...list];
  if (items.length === 0) throw new Error(`${name} called on empty list`);
  return items.reduce((found, item) => (better(item, found) ? item : found));
};
const lists: Library = {
  "(list) isSorted() bool": (list: CelList) => {
    const items = [...list];
    return items.every((item, i) => i === 0 || less(item, items[i - 1]!) === false);
  },
  "(list) sum() any": (list: CelList) => [...list].reduce<CelInput>((a, b, i) => (i === 0 ? b : sum(a, b)), 0n),
  "(list) min() any": (list: CelList) => best(list, (a, b) => less(a, b) === true, "min"),
  "(list) max() any": (list: CelList) => best(list, (a, b) => less(b, a) === true, "max"),
  "(list) indexOf(any) int": (list: CelList, value: CelValue) =>
    BigInt([...list].findIndex((item) => equal(item, value) === true)),
  "(list) lastIndexOf(any) int": (list: CelList, value: CelValue) =>
    BigInt([...list].map((item) => equal(item, value) === true).lastIndexOf(true)),
  "sets.contains(list, list) bool": hasAll,
  "sets.intersects(list, list) bool": (list: CelList, other: CelList) => [...other].some((one) => has(list, one)),
  "sets.equivalent(list, list) bool": (list: CelList, other: CelList) => hasAll(list, other) && hasAll(other, list),
};

const giga = 10n ** 9n;
const wholeOf = (nano: bigint) => (nano % giga === 0n ? nano / giga : undefined);
const signOf = (nano: bigint) => (nano > 0n ? 1n : nano < 0n ? -1n : 0n);
const quantities: Library = {
  "quantity(string) quantity": (text: string) => parseQuantity(text).nano,
  "isQuantity(string) bool": (text: string) => succeeds(() => parseQuantity(text)),
  "(quantity) isInteger() bool": (nano: bigint) => wholeOf(nano) !== undefined,
  "(quantity) asInteger() int": (nano: bigint) => checked(wholeOf(nano), "cannot convert value to integer"),
  "(quantity) asApproximateFloat() double": (nano: bigint) => Number(nano) / 1e9,
  "(quantity) sign() int": signOf,
  "(quantity) isLessThan(quantity) bool": (a: bigint, b: bigint) => a < b,
  "(quantity) isGreaterThan(quantity) bool": (a: bigint, b: bigint) => a > b,
  "(quantity) compareTo(quantity) int": (a: bigint, b: bigint) => signOf(a - b),
  "(quantity) add(quantity) quantity": (a: bigint, b: bigint) => a + b,
  "(quantity) add(int) quantity": (a: bigint, b: bigint) => a + b * giga,
  "(quantity) sub(quantity) quantity": (a: bigint, b: bigint) => a - b,
  "(quantity) sub(int) quantity": (a: bigint, b: bigint) => a - b * giga,
};

const parseError = "parse error during conversion from string";
const isUrl = (text: string) =>
  text.startsWith("/") ? URL.canParse(text, "http://x") : /^[a-zA-Z][\w+.-]*:/.test(text) && URL.canParse(text);
const queryOf = (text: string) => {
  const query = new URLSearchParams(/\?([^#]*)/.exec(text)?.[1] ?? "");
  return new Map([...query.keys()].map((key) => [key, query.getAll(key)]));
};
const hostOf = (text: string) => /^[a-zA-Z][\w+.-]*:\/\/(?:[^@/?#]*@)?([^/?#]*)/.exec(text)?.[1] ?? "";
const invalidUrl = (text: string) => `URL ${parseError}: parse ${JSON.stringify(text)}: invalid URI for request`;
const urls: Library = {
  "url(string) url": (text: string) => checked(isUrl(text) ? text : undefined, invalidUrl(text)),
  "isURL(string) bool": isUrl,
  "(url) getScheme() string": (text: string) => /^([^:/]+):/.exec(text)?.[1] ?? "",
  "(url) getHost() string": hostOf,
  "(url) getHostname() string": (text: string) => hostOf(text).replace(/:\d*$|^\[|\](?=:\d*$|$)/g, ""),
  "(url) getPort() string": (text: string) => /:(\d+)$/.exec(hostOf(text))?.[1] ?? "",
  "(url) getEscapedPath() string": (text: string) => /^(?:[^:/?#]+:)?(?:\/\/[^/?#]*)?([^?#]*)/.exec(text)![1]!,
  "(url) getQuery() map": queryOf,
};

const strictIp = (text: string) =>
  isIP(text) && !text.includes("%") && !/^::ffff:\d+\./i.test(text) ? text : undefined;
const ipOf = (text: string) => checked(strictIp(text), `IP Address ${JSON.stringify(text)} ${parseError}`);
const cidrOf = (text: string) => checked(parseCidr(text) && text, `network address ${parseError}: ${text}`);
const inBlock = (block: string, text: string): boolean => {
  const { address, bits, prefix } = parseCidr(block)!;
  const shift = BigInt(bits - prefix);
  return bits === (isIPv4(text) ? 32 : 128) && addressOf(text) >> shift === address >> shift;
};
const inAny = (blocks: string) => (text: string) => blocks.split(" ").some((block) => inBlock(block, text));
const isSpecial = inAny(
  "0.0.0.0/32 ::/128 127.0.0.0/8 ::1/128 224.0.0.0/4 ff00::/8 169.254.0.0/16 fe80::/10 255.255.255.255/32",
);
const containsBlock = (outer: string, inner: string) =>
  parseCidr(cidrOf(inner))!.prefix >= parseCidr(outer)!.prefix && inBlock(outer, inner.split("/")[0]!);
function masked(block: string): string {
  const { address, bits, prefix } = parseCidr(block)!;
  const shift = BigInt(bits - prefix);
  const [count, radix] = bits === 32 ? [4, 10] : [8, 16];
  const part = (i: number) => BigInt.asUintN(bits / count, ((address >> shift) << shift) >> BigInt((bits / count) * i));
  const parts = Array.from({ length: count }, (_, i) => part(count - 1 - i).toString(radix));
  return `${canonicalIp(parts.join(bits === 32 ? "." : ":"))}/${prefix}`;
}
const addresses: Library = {
  "ip(string) ip": ipOf,
  "isIP(string) bool": (text: string) => strictIp(text) !== undefined,
  "ip.isCanonical(string) bool": (text: string) => canonicalIp(ipOf(text)) === text,
  "string(ip) string": (text: string) => text,
  "(ip) family() int": (text: string) => BigInt(isIP(text)),
  "(ip) isUnspecified() bool": inAny("0.0.0.0/32 ::/128"),
  "(ip) isLoopback() bool": inAny("127.0.0.0/8 ::1/128"),
  "(ip) isLinkLocalMulticast() bool": inAny("224.0.0.0/24 ff02::/16"),
  "(ip) isLinkLocalUnicast() bool": inAny("169.254.0.0/16 fe80::/10"),
  "(ip) isGlobalUnicast() bool": (text: string) => !isSpecial(text),
  "cidr(string) cidr": cidrOf,
  "isCIDR(string) bool": (text: string) => parseCidr(text) !== undefined,
  "string(cidr) string": (text: string) => text,
  "(cidr) ip() ip": (text: string) => text.split("/")[0]!,
  "(cidr) masked() cidr": masked,
  "(cidr) prefixLength() int": (text: string) => BigInt(parseCidr(text)!.prefix),
  "(cidr) containsIP(ip) bool": inBlock,
  "(cidr) containsIP(string) bool": (block: string, text: string) => inBlock(block, ipOf(text)),
  "(cidr) containsCIDR(cidr) bool": containsBlock,
  "(cidr) containsCIDR(string) bool": containsBlock,
};

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

/**
 * A version (blang/semver) as what compares as it does: three numbers, and the pre-release with numbers padded so that they
 * stand before words, none behind all. With `normalize`, `v1.02` is 1.2.0.
 */
function semver(given: string, normalize = false): (bigint | string)[] {
  const parts = (normalize ? given.replace(/^v/, "") : given).split(".");
  if (normalize && parts.length < 3 && /[+-]/.test(parts.at(-1)!))
    throw new Error("short version cannot contain PreRelease/Build meta data");
  while (normalize && parts.length < 3) parts.push("0");
  const text = parts.map((part, i) => (normalize && i < 3 ? part.replace(/^0+(?=\d)/, "") : part)).join(".");
  const found = /^(.*?)\.(.*?)\.([^-+]*)(?:-([^+]*))?(?:\+(.*))?$/.exec(text);
  if (!found) throw new Error(text ? "No Major.Minor.Patch elements found" : "Version string empty");
  const invalid = (where: string, part: string) =>
    new Error(part ? `Invalid character(s) found in ${where} ${JSON.stringify(part)}` : `${where} is empty`);
  const numbers = ["Major", "Minor", "Patch"].map((name, i) => {
    const number = found[i + 1]!;
    if (!/^\d+$/.test(number)) throw invalid(`${name.toLowerCase()} number`, number);
    if (/^0./.test(number)) throw new Error(`${name} number must not contain leading zeroes ${JSON.stringify(number)}`);
    return BigInt(number);
  });
  const [pre, build] = [found[4]?.split(".") ?? [], found[5]?.split(".") ?? []];
  for (const part of pre) if (!/^(0|[1-9]\d*|\d*[A-Za-z-][\dA-Za-z-]*)$/.test(part)) throw invalid("prerelease", part);
  for (const part of build) if (!/^[\dA-Za-z-]+$/.test(part)) throw invalid("build meta data", part);
  const words = pre.map((part) => (/^\d+$/.test(part) ? `0${part.padStart(20, "0")}` : `1${part}`));
  return [...numbers, words.join("\0") || "2"];
}

function compareVersions(a: CelList, b: CelList): bigint {
  for (let i = 0; i < 4; i++) if (a.get(i) !== b.get(i)) return a.get(i)! < b.get(i)! ? -1n : 1n;
  return 0n;
}

const versions: Library = {
  "semver(string) semver": (text: string) => semver(text),
  "semver(string, bool) semver": semver,
  "isSemver(string) bool": (text: string) => succeeds(() => semver(text)),
  "isSemver(string, bool) bool": (text: string, normalize: boolean) => succeeds(() => semver(text, normalize)),
  "(semver) major() int": (version: CelList) => version.get(0),
  "(semver) minor() int": (version: CelList) => version.get(1),
  "(semver) patch() int": (version: CelList) => version.get(2),
  "(semver) isLessThan(semver) bool": (a: CelList, b: CelList) => compareVersions(a, b) === -1n,
  "(semver) isGreaterThan(semver) bool": (a: CelList, b: CelList) => compareVersions(a, b) === 1n,
  "(semver) compareTo(semver) int": compareVersions,
};

const isZero = (value: CelValue) =>
  [null, false, "", 0n, 0].includes(value as null) || (value as { size?: number } | null)?.size === 0;
const contentOf = (optional: CelValue) => (untag("optional", optional) as CelList).get(0);
const contents = (list: CelList) => Array.from(list, contentOf).filter((value) => value !== undefined);
const elementOf = (container: CelList | CelMap, key: CelValue) =>
  "has" in container ? container.get(key as string) : typeof key === "bigint" ? container.get(Number(key)) : undefined;
const ofOptional = (optional: CelList, key: CelValue) =>
  optional.size > 0 ? elementOf(optional.get(0) as CelMap, key) : undefined;
const optionals: Library = {
  "optional.of(any) optional": (value: CelValue) => value,
  "optional.none() optional": () => undefined,
  "optional.ofNonZeroValue(any) optional": (value: CelValue) => (isZero(value) ? undefined : value),
  "optional.unwrap(list) list": contents,
  "(list) unwrapOpt() list": contents,
  "(list) first() optional": (list: CelList) => list.get(0),
  "(list) last() optional": (list: CelList) => list.get(list.size - 1),
  "(optional) hasValue() bool": (value: CelList) => value.size > 0,
  "(optional) value() any": (value: CelList) => checked(value.get(0), "optional.none() dereference"),
  "(optional) orValue(any) any": (value: CelList, other: CelValue) => value.get(0) ?? other,
  "(optional) or(optional) optional": (value: CelList, other: CelList) => (value.size > 0 ? value : other).get(0),
  "@opt(optional, int) optional": ofOptional,
  "@opt(optional, any) optional": ofOptional,
  "@opt(list, int) optional": elementOf,
  "@opt(map, any) optional": elementOf,
  "listIf__(optional) list": (value: CelList) => [...value],
};

/** For macros of two variables and optional entries: pairs of keys and values. */
const pair = (key: CelInput, value: CelInput) => tagged("@pair", [key, value]);
const pairs: Library = {
  "pair__(any, any) @pair": (key: CelValue, value: CelValue) => [key, value],
  "pairIf__(any, optional) list": (key: CelValue, value: CelList) =>
    Array.from(value, (one) => pair(key as CelInput, one as CelInput)),
  "key__(@pair) any": (it: CelList) => it.get(0),
  "value__(@pair) any": (it: CelList) => it.get(1),
  "entries__(list) list": (list: CelList) => Array.from(list, (value, i) => pair(BigInt(i), value as CelInput)),
  "entries__(map) list": (map: CelMap) => Array.from(map, ([key, value]) => pair(key as CelInput, value as CelInput)),
  "flat__(list) list": (parts: CelList) => [...parts].flatMap((part) => [...(part as CelList)]),
  "mapOf__(list) map": (list: CelList) => {
    const map = new Map<CelValue, CelValue>();
    for (const one of list) {
      const [key, value] = [...(untag("@pair", one) as CelList)];
      if (map.has(key!)) throw new Error(`insert failed: key ${key} already exists`);
      map.set(key!, value!);
    }
    return map;
  },
};

const millis = ({ message }: { message: { seconds: bigint; nanos: number } }) =>
  message.seconds * 1000n + BigInt(Math.trunc(message.nanos / 1e6));
const parsedBy = (pattern: RegExp, to: string, make: (text: string) => unknown) => (text: string) =>
  checked(pattern.test(text) ? make(text) : undefined, `type conversion error from 'string' to '${to}'`);
const timestampAt = plan(celEnv(), parse("timestamp('1970-01-01T00:00:00Z') + duration(text)"));
const durationOf = plan(celEnv(), parse("duration(text)"));
/** Where the evaluator's own functions are not cel-go's. */
const corrections: Library = {
  "int(string) int": parsedBy(/^[+-]?\d{1,19}$/, "int", BigInt),
  "double(string) double": parsedBy(/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i, "double", Number),
  "timestamp(int) timestamp": (seconds: bigint) => timestampAt({ text: `${seconds}s` }),
  "duration(int) duration": (nanos: bigint) => durationOf({ text: `${nanos}ns` }),
  "(duration) getMilliseconds() int": millis,
  "_+_(list, list) list": concatLists,
};

export const kubernetesLibrary: Library = {
  ...lists,
  "(string) find(string) string": (text: string, pattern: string) => findAll(pattern, text, 1)[0] ?? "",
  "(string) matches(string) bool": (text: string, pattern: string) => compileRegex(pattern).test(text),
  "(string) findAll(string) list": (text: string, pattern: string) => findAll(pattern, text),
  "(string) findAll(string, int) list": (text: string, pattern: string, limit: bigint) =>
    findAll(pattern, text, limit < 0n ? undefined : Number(limit)),
  ...quantities,
  ...urls,
  ...addresses,
  ...Object.fromEntries(Object.keys(formats).map((name) => [`format.${name}() format`, () => name])),
  "format.named(string) optional": (name: string) =>
    Object.hasOwn(formats, name) ? tagged("format", name) : undefined,
  "(format) validate(string) optional": problemsOf,
  ...versions,
  ...optionals,
  ...pairs,
  ...corrections,
};
