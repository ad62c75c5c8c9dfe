import { readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Logger } from "../base/logger.ts";
import type { ContainerInfo, CriRuntime } from "./cri-runtime.ts";

/** Upstream's containerLogMaxSize and containerLogMaxFiles. */
const maxBytes = 10 * 2 ** 20;
const maxFiles = 5;

/**
 * Renames a running container's log that has grown too large to `N.log.YYYYMMDD-HHMMSS`, has the runtime open a new one,
 * and removes the oldest. Differs: rotated files are not compressed.
 */
export async function rotateLog(
  { id, logPath, state }: ContainerInfo,
  { runtime, now, log, limits = { maxBytes, maxFiles } }: RotationOptions,
): Promise<void> {
  if (state !== "running" || logPath === "") return;
  const { size } = (await stat(logPath).catch(() => undefined)) ?? { size: 0 };
  if (size < limits.maxBytes) return;
  const stamp = now.toISOString().replace(/[-:]/g, "").replace("T", "-").slice(0, 15);
  const old = `${logPath}.${stamp}`;
  await rename(logPath, old);
  try {
    await runtime.reopenLog(id);
  } catch (err) {
    log.warn({ err, logPath }, "Cannot reopen the log after rotation, taking it back");
    return rename(old, logPath); // the runtime still writes to this file
  }
  const name = basename(logPath);
  const rotated = (await readdir(dirname(logPath))).filter((file) => file.startsWith(`${name}.`)).sort();
  for (const file of rotated.slice(0, Math.max(0, rotated.length - (limits.maxFiles - 1))))
    await rm(join(dirname(logPath), file), { force: true });
}

export interface RotationOptions {
  runtime: Pick<CriRuntime, "reopenLog">;
  now: Date;
  log: Logger;
  limits?: { maxBytes: number; maxFiles: number };
}
