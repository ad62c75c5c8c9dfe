import { readFileSync } from "node:fs";
import { attempt } from "./attempt.ts";

/** Of a small file that may not be there or readable, as below /proc and /sys: then empty. */
export const readText = (path: string): string => attempt(() => readFileSync(path, "utf8")) ?? "";
