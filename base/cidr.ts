/** IPv4 ranges as numbers: [first, first + size). */
export interface Cidr {
  first: number;
  size: number;
}

/** Throws RangeError on anything but `a.b.c.d/n`. */
export function parseCidr(text: string): Cidr {
  const cidr = readCidr(text);
  if (cidr === undefined) throw new RangeError(`invalid CIDR address: ${text}`);
  return cidr;
}

/** Undefined for anything but `a.b.c.d/n`. */
export function readCidr(text: string): Cidr | undefined {
  const match = /^(\d+)\.(\d+)\.(\d+)\.(\d+)\/(\d+)$/.exec(text);
  const [a, b, c, d, bits] = (match ?? []).slice(1).map(Number);
  if (match === null || [a, b, c, d].some((octet) => octet! > 255) || bits! > 32) return undefined;
  const size = 2 ** (32 - bits!);
  const address = ((a! * 256 + b!) * 256 + c!) * 256 + d!;
  return { first: address - (address % size), size };
}

export function formatCidr({ first, size }: Cidr): string {
  return `${formatIp(first)}/${32 - Math.log2(size)}`;
}

export function formatIp(address: number): string {
  return [2 ** 24, 2 ** 16, 2 ** 8, 1].map((unit) => Math.floor(address / unit) % 256).join(".");
}

export function overlap(a: Cidr, b: Cidr): boolean {
  return a.first < b.first + b.size && b.first < a.first + a.size;
}
