import type { KubernetesObject } from "../apimachinery/object.ts";
import { ignoring, StatusError } from "../apimachinery/status.ts";
import type { Informer } from "../client/informer.ts";
import type { OwnWrites } from "../client/own-writes.ts";
import type { Client } from "../client/types.ts";

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
export function isNamespaceTerminating(error: unknown): boolean {
  const causes = error instanceof StatusError ? error.status.details?.causes : undefined;
  return causes?.some(({ reason }) => reason === "NamespaceTerminating") ?? false;
}

/** Does what was decided for `key` with an object that is the controller's own, and notes it among its writes. */
export async function writeOwn<T extends KubernetesObject>(
  verb: string,
  { client, informer, writes }: { client: Client; informer: Informer<T>; writes: OwnWrites },
  key: string,
  object: T,
  signal: AbortSignal,
): Promise<void> {
  const { type } = informer;
  if (verb.startsWith("Delete")) {
    await client.delete(type, object.metadata, { preconditions: { uid: object.metadata.uid! }, signal });
    return writes.deleted(key, informer, object);
  }
  const write = verb.startsWith("Create")
    ? client.create(type, object, { signal })
    : client.update(type, object, { signal });
  const written = await write.catch(ignoring(isNamespaceTerminating));
  if (written) writes.wrote(key, informer, written);
}
