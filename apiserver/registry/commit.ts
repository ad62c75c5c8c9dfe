import type { Service } from "../../api/generated/core-v1.ts";
import type { Resource } from "../../api/resource.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { decodeValue, encodeValue, StoredObject } from "../storage/stored-object.ts";
import type { Context } from "./context.ts";

/** One object's change: `old` undefined creates, `next` undefined deletes. */
export interface Change {
  key: string;
  old: StoredObject | undefined;
  next: KubernetesObject | undefined;
}

export type Outcome =
  | { committed: true; stored: StoredObject }
  /** What the key holds instead. */
  | { committed: false; current: StoredObject | undefined };

/**
 * Writes a change if the object is still as it was. A Service's addresses and ports change in the same Txn, so `next`
 * comes back with what it was given. With `dryRun` everything happens but the Txn.
 */
export async function commit(context: Context, resource: Resource, wanted: Change, dryRun: boolean): Promise<Outcome> {
  const change =
    resource.custom && wanted.next ? { ...wanted, next: await resource.custom.toStored(wanted.next) } : wanted;
  if (resource.group === "" && resource.resource === "services")
    return context.ranges.exclusively(() => commitService(context, change, dryRun));
  const isEvent = resource.resource === "events" && change.next !== undefined && !dryRun;
  return write(context, change, dryRun, [], isEvent ? await context.eventLease() : undefined);
}

async function commitService(context: Context, change: Change, dryRun: boolean): Promise<Outcome> {
  const { ranges } = context;
  const old = change.old?.parse() as Service | undefined;
  for (let fresh = false; ; ) {
    let plan: ReturnType<typeof ranges.plan>;
    try {
      plan = ranges.plan(old, change.next as Service | undefined);
    } catch (error) {
      if (fresh) throw error; // else another apiserver may have given back what seems taken
      await ranges.refresh();
      fresh = true;
      continue;
    }
    const next = change.next && plan.service;
    const outcome = await write(context, { ...change, next }, dryRun, plan.writes);
    if (outcome.committed) {
      if (!dryRun) plan.commit(outcome.stored.revision);
      return outcome;
    }
    const unchanged = outcome.current?.revision === change.old?.revision;
    ranges.refused(outcome.others);
    if (!unchanged) return outcome;
  }
}

async function write(
  { storage }: Context,
  { key, old, next }: Change,
  dryRun: boolean,
  others: Parameters<typeof storage.commit>[0] = [],
  lease?: bigint,
): Promise<Outcome & { others: (StoredObject | undefined)[] }> {
  const value = next && encodeValue(next);
  const stored = (revision: number) => (value ? decodeValue(key, value, revision) : old!.at(revision));
  if (dryRun && !old) return { committed: true, stored: new StoredObject(key, 0, value!), others: [] };
  if (dryRun) return { committed: true, stored: stored(old!.revision), others: [] };
  const result = await storage.commit([{ key, revision: old?.revision ?? 0, value, lease }, ...others]);
  if (result.committed) return { committed: true, stored: stored(result.revision), others: [] };
  return { committed: false, current: result.current[0], others: result.current.slice(1) };
}
