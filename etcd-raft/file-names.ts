/** Files that belong to the log are named after two numbers, 16 hex digits each: `<sequence>-<first index>.wal`, `<term>-<index>.snap`. */
export const hex16 = (n: number): string => n.toString(16).padStart(16, "0");

export function parsePair(name: string, ending: "wal" | "snap"): [number, number] | undefined {
  const match = /^([0-9a-f]{16})-([0-9a-f]{16})\.(\w+)$/.exec(name);
  return match?.[3] === ending ? [Number.parseInt(match[1]!, 16), Number.parseInt(match[2]!, 16)] : undefined;
}
