import type { ManagedFieldsEntry } from "../object.ts";
import { sameJson } from "../same-json.ts";
import { parseTime } from "../time.ts";
import { emptySet, type FieldSet, isEmpty, parseFieldsV1, sorted, union } from "./field-set.ts";

/** `metadata.managedFields`, read: each manager's set under its identity. */
export type Managed = Map<string, Manager>;

/** Who. */
export interface Identity {
  readonly manager: string;
  readonly operation: "Apply" | "Update";
  readonly apiVersion: string;
  readonly subresource: string;
}

export interface Manager extends Identity {
  readonly time: string | undefined;
  readonly fields: FieldSet;
  /** As it is stored; only of an entry that was read and is as it was. */
  readonly entry?: ManagedFieldsEntry;
}

/** An applier is the same one in every apiVersion. Sorted as upstream sorts identities. */
export function identityOf({ manager, operation, apiVersion, subresource }: Identity): string {
  return JSON.stringify({
    ...(manager ? { manager } : {}),
    operation,
    ...(operation === "Apply" ? {} : { apiVersion }),
    ...(subresource ? { subresource } : {}),
  });
}

/** Entries of a stored object. Those that no client could have written are left out. */
export function readManaged(entries: readonly ManagedFieldsEntry[] = []): Managed {
  const managed: Managed = new Map();
  for (const entry of entries) {
    const { manager = "", operation, apiVersion = "", subresource = "", time, fieldsV1 = {} } = entry;
    if (operation === undefined) continue;
    const read = { manager, operation, apiVersion, subresource, time, fields: fieldsV1 as unknown as FieldSet, entry };
    managed.set(identityOf(read), read);
  }
  return managed;
}

/** Entries that a client sent. Throws an Error when one cannot be. */
export function parseManaged(entries: readonly ManagedFieldsEntry[]): Managed {
  const parsed = entries.map((entry, index) => {
    if (entry.operation !== "Apply" && entry.operation !== "Update")
      throw new Error("operation must be `Apply` or `Update`");
    if (!entry.apiVersion) throw new Error("apiVersion must not be empty");
    if (!entry.fieldsType) throw new Error(`missing fieldsType in managed fields entry ${index}`);
    if (entry.fieldsType !== "FieldsV1")
      throw new Error(`invalid fieldsType ${JSON.stringify(entry.fieldsType)} in managed fields entry ${index}`);
    return { ...entry, fieldsV1: sorted(parseFieldsV1(entry.fieldsV1 ?? {})) as unknown as Record<string, unknown> };
  });
  return readManaged(parsed);
}

/** As they are stored: appliers first, then by time, then by name. Undefined when nobody owns anything. */
export function writeManaged(managed: Managed): ManagedFieldsEntry[] | undefined {
  if (managed.size === 0) return undefined;
  return [...managed.values()].sort(inOrder).map(({ entry, ...manager }) => entry ?? entryOf(manager));
}

const entryOf = ({ fields, time, manager, operation, apiVersion, subresource }: Manager): ManagedFieldsEntry => ({
  ...(manager ? { manager } : {}),
  operation,
  apiVersion,
  ...(time === undefined ? {} : { time }),
  fieldsType: "FieldsV1",
  fieldsV1: sorted(fields) as unknown as Record<string, unknown>,
  ...(subresource ? { subresource } : {}),
});

const seconds = ({ time }: Manager): number => (time === undefined ? 0 : Math.floor(parseTime(time) / 1000) || 0);
const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

const inOrder = (a: Manager, b: Manager): number =>
  byText(a.operation, b.operation) ||
  seconds(a) - seconds(b) ||
  byText(a.manager, b.manager) ||
  byText(a.apiVersion, b.apiVersion) ||
  byText(a.subresource, b.subresource);

const maxUpdateManagers = 10;

/** The oldest Update entries beyond the tenth become one per apiVersion, `ancient-changes`. */
export function capUpdates(managed: Managed): void {
  const updates = [...managed].filter(([, { operation }]) => operation === "Update");
  updates.sort(([x, a], [y, b]) => seconds(a) - seconds(b) || byText(x, y));
  let count = updates.length;
  const firsts = new Map<string, string>();
  for (const [identity, entry] of updates) {
    if (count <= maxUpdateManagers) return;
    const { apiVersion, time } = entry;
    const first = firsts.get(apiVersion);
    const bucket = { manager: "ancient-changes", operation: "Update" as const, apiVersion, subresource: "" };
    const key = identityOf(bucket);
    if (first === undefined) firsts.set(apiVersion, identity);
    if (first === undefined || identity === key) continue;
    const older = managed.get(key) ?? managed.get(first);
    if (!managed.has(key)) managed.delete(first);
    managed.delete(identity);
    managed.set(key, { ...bucket, time, fields: union(older?.fields ?? emptySet, entry.fields) });
    count--;
  }
}

export function putFields(managed: Managed, identity: string, entry: Manager): void {
  if (isEmpty(entry.fields)) managed.delete(identity);
  else managed.set(identity, entry);
}

/** Equal but for times. */
export function sameManaged(a: ManagedFieldsEntry[] = [], b: ManagedFieldsEntry[] = []): boolean {
  if (a === b) return true;
  const same = (entry: ManagedFieldsEntry, other: ManagedFieldsEntry) =>
    entry === other || sameJson({ ...entry, time: "" }, { ...other, time: "" });
  return a.length === b.length && a.every((entry, i) => same(entry, b[i]!));
}
