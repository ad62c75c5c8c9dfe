import { readFileSync } from "node:fs";

/** Of a small file that may not be there or readable, as below /proc and /sys: then empty. */
export function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
