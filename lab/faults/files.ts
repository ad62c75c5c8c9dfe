import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FaultRefused } from "./types.ts";

/**
 * Changes one byte of the newest WAL file or snapshot in a member's data directory. `at`: where, from 0 (the first byte)
 * to 1 (the last that is not a zero: WAL files are made longer than what is in them).
 */
export function corrupt(dataDir: string, kind: "wal" | "snapshot", at: number, bits: number): string {
  const dir = join(dataDir, "member", kind === "wal" ? "wal" : "snap");
  const isMeant = (name: string) => (kind === "wal" ? name.endsWith(".wal") : /\.snap(\.db)?$/.test(name));
  const file = existsSync(dir) ? readdirSync(dir).filter(isMeant).sort().at(-1) : undefined;
  if (file === undefined) throw new FaultRefused(`there is no ${kind} in ${dir} yet`);
  const bytes = readFileSync(join(dir, file));
  let size = bytes.length;
  while (size > 0 && bytes[size - 1] === 0) size--;
  if (size === 0) throw new FaultRefused(`${join(dir, file)} is empty`);
  const offset = Math.floor(at * size);
  const before = bytes[offset]!;
  bytes[offset] = before ^ bits;
  writeFileSync(join(dir, file), bytes);
  return `offset ${offset} of ${file}, ${hex(before)} became ${hex(before ^ bits)}`;
}

const hex = (byte: number) => `0x${byte.toString(16).padStart(2, "0")}`;
