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
  const before = previous === undefined ? -1 : toNumber(previous)! - cidr.first;
  const start = before >= 0 && before < size ? before + 1 : 0;
  for (let i = 0; i < size; i++) {
    const ip = toText(cidr.first + ((start + i) % size));
    if (!used.has(ip)) return ip;
  }
  return undefined;
}

/** Undefined when it is no IPv4 CIDR, or one without room for a Pod. */
export function parsePodCidr(text: string): PodCidr | undefined {
  const [address, bits, rest] = text.split("/");
  const base = toNumber(address ?? "");
  const prefix = Number(bits);
  if (base === undefined || rest !== undefined || !/^\d{1,2}$/.test(bits ?? "") || prefix < 8 || prefix > 29)
    return undefined;
  const size = 2 ** (32 - prefix);
  const network = base - (base % size);
  return { text: `${toText(network)}/${prefix}`, first: network + 2, last: network + size - 2 };
}

function toNumber(text: string): number | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) < 256)) return undefined;
  return parts.reduce((sum, part) => sum * 256 + Number(part), 0);
}

function toText(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join(".");
}
