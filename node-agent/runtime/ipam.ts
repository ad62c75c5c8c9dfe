import { formatCidr, formatIp, parseCidr, readCidr } from "../../base/cidr.ts";

/**
 * Pod addresses out of the node's podCIDR. There is no record of its own: what is used follows from the sandbox
 * directories. Never given out: the network address, the first one (a gateway on bridged nodes) and the broadcast address.
 */
export interface PodCidr {
  text: string;
  first: number;
  last: number;
}

/** The next free address after `previous`, going round: a fresh Pod rarely gets the address of one just gone. */
export function allocate(cidr: PodCidr, used: ReadonlySet<string>, previous: string | undefined): string | undefined {
  const size = cidr.last - cidr.first + 1;
  const before = previous === undefined ? -1 : parseCidr(`${previous}/32`).first - cidr.first;
  const start = before >= 0 && before < size ? before + 1 : 0;
  for (let i = 0; i < size; i++) {
    const ip = formatIp(cidr.first + ((start + i) % size));
    if (!used.has(ip)) return ip;
  }
  return undefined;
}

/** Undefined when it is no IPv4 CIDR, or one without room for a Pod. */
export function parsePodCidr(text: string): PodCidr | undefined {
  const range = readCidr(text);
  if (range === undefined || range.size < 2 ** 3 || range.size > 2 ** 24) return undefined;
  return { text: formatCidr(range), first: range.first + 2, last: range.first + range.size - 2 };
}
