import type { StatusError } from "../apimachinery/status.ts";

/**
 * Calls `create` `count` times in batches of 1, 2, 4, ..., each batch at once; the first batch with a failure is the last.
 * So a quota that is used up, or an admission that refuses, is met once instead of `count` times.
 */
export async function slowStart(count: number, create: () => Promise<void>): Promise<void> {
  for (let left = count, size = 1; left > 0; left -= size, size *= 2) {
    await all(Array.from({ length: Math.min(size, left) }, create));
  }
}

/** Waits for every one, then throws the first failure, if any. */
export async function all(work: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(work)) if (result.status === "rejected") throw result.reason;
}

/** Creating in a namespace that goes away will never succeed: not worth another try. */
export function isNamespaceTerminating({ status }: StatusError): boolean {
  return status.details?.causes?.some(({ reason }) => reason === "NamespaceTerminating") ?? false;
}
