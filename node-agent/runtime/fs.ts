import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";

/**
 * Whole or not at all, for readers and for a kill -9 at any moment. Not fsynced: this state speaks of processes, which do
 * not outlive the machine either.
 */
export function writeAtomic(path: string, text: string): void {
  const temporary = `${path}.tmp`;
  writeFileSync(temporary, text, { mode: 0o600 });
  renameSync(temporary, path);
}

export function writeJson(path: string, value: unknown): void {
  writeAtomic(path, `${JSON.stringify(value)}\n`);
}

/** Undefined when there is none, or none that is whole (the machine went down under it). */
export function readJson<T>(path: string): T | undefined {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as T;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT" || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

export function removeTree(path: string): void {
  rmSync(path, { recursive: true, force: true });
}
