import { isIP } from "node:net";
import { type FieldError, invalid } from "./field-error.ts";

export const ipText = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
export const cidrText = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

/** Address, as a number, and length of its prefix. */
export function parseCidr(text: string): { address: bigint; bits: number; prefix: number } | undefined {
  const match = /^([0-9a-fA-F.:]+)\/(\d{1,3})$/.exec(text);
  const family = match ? isIP(match[1]!) : 0;
  const bits = family === 4 ? 32 : 128;
  const prefix = Number(match?.[2]);
  return family === 0 || prefix > bits ? undefined : { address: addressOf(match![1]!), bits, prefix };
}

const unpadded = (text: string): string => text.replace(/(^|[.:])0+(?=\d)/g, "$1");

/**
 * An address as the older fields take it (upstream: ParseIPSloppy), undefined if it is none: numbers may begin with
 * zeros, and an IPv4 address may be written as IPv6.
 */
export function plainIp(text: string): string | undefined {
  const plain = unpadded(text);
  if (isIP(plain) === 0 || plain.includes("%")) return undefined;
  if (isIP(plain) === 4 || addressOf(plain) >> 32n !== 0xffffn) return plain;
  return [24n, 16n, 8n, 0n].map((shift) => (addressOf(plain) >> shift) & 255n).join(".");
}

export const plainCidr = (text: string): ReturnType<typeof parseCidr> => parseCidr(unpadded(text));

/** The older fields' rules; `before` are what the object said there already, which is not asked again. */
export const legacyIp = (at: string, ip: string, before: readonly string[] = []): FieldError[] =>
  plainIp(ip) || before.includes(ip) ? [] : [invalid(at, ip, ipText)];
export const legacyCidr = (at: string, cidr: string, before: readonly string[] = []): FieldError[] =>
  plainCidr(cidr) || before.includes(cidr) ? [] : [invalid(at, cidr, cidrText)];

/** RFC 5952. */
export const canonicalIp = (ip: string): string =>
  isIP(ip) === 4 ? ip : new URL(`http://[${ip}]`).hostname.slice(1, -1);

/** The newer fields take one writing of each address alone. */
export function ipProblems(text: string): string[] {
  if (plainIp(text) === undefined) return [ipText];
  if (isIP(text) === 0) return ["must not have leading 0s"];
  if (isIP(text) === 4) return [];
  if (addressOf(text) >> 32n === 0xffffn) return ["must not be an IPv4-mapped IPv6 address"];
  return canonicalIp(text) === text ? [] : [`must be in canonical form ("${canonicalIp(text)}")`];
}

/** Of a text that `isIP` takes. */
export function addressOf(ip: string): bigint {
  if (isIP(ip) === 4) return ip.split(".").reduce((sum, part) => (sum << 8n) | BigInt(part), 0n);
  const [head = "", tail] = ip
    .replace(/\d+\.\d+\.\d+\.\d+$/, (v4) =>
      addressOf(v4)
        .toString(16)
        .padStart(8, "0")
        .replace(/^(.{4})/, "$1:"),
    )
    .split("::");
  const left = head.split(":").filter(Boolean);
  const right = (tail ?? "").split(":").filter(Boolean);
  const middle = tail === undefined ? [] : Array<string>(8 - left.length - right.length).fill("0");
  return [...left, ...middle, ...right].reduce((sum, part) => (sum << 16n) | BigInt(`0x${part}`), 0n);
}
