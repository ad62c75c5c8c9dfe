import { isIP } from "node:net";

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
