import type { ManagedFieldsEntry } from "../object.ts";
import { sameJson } from "../same-json.ts";
import { isObject, type JsonObject } from "../schema/normalize.ts";
import type { Message, Schema } from "../schema/table.ts";
import { badRequest, failure } from "../status.ts";
import { type Struct, structOf } from "./atom.ts";
import { type Conflict, conflictError, conflictsOf } from "./conflict.ts";
import type { FieldSet } from "./field-set.ts";
import * as sets from "./field-set.ts";
import { lastAppliedFields, withLastApplied } from "./last-applied.ts";
import type { Identity, Managed } from "./managed-fields.ts";
import * as owners from "./managed-fields.ts";
import { type Comparison, compare, fieldSetOf, merge, prune } from "./typed.ts";
import { problemsOf } from "./typed-problems.ts";

/**
 * Server-side apply (KEP-555) and the bookkeeping of who set which field, as functions of objects. The object given is
 * never changed.
 *
 *   apply(schema, message, live, config, { manager: "ci", ... })  -> the merged object, or 409 with all conflicts
 *   track(schema, message, live, next, { manager: "kubectl-edit", ... })  -> managedFields after any other write
 */
export interface Writer {
  manager: string;
  /** Of the endpoint; written into the entries. */
  apiVersion: string;
  subresource: string;
  /** As a Time is written. */
  now: string;
  /** What the endpoint does not take from clients: nobody owns it through this endpoint. */
  resetFields?: FieldSet;
}

export interface Applied {
  /** Without managedFields; not yet defaulted or validated. */
  object: JsonObject;
  managedFields: ManagedFieldsEntry[] | undefined;
}

/** `live` is undefined for an object that is yet to be. Throws 400, 409, and 500 for a config that is no object of its kind. */
export function apply(
  schema: Schema,
  message: Message,
  live: JsonObject | undefined,
  config: JsonObject,
  { force, ...writer }: Writer & { force: boolean },
): Applied {
  checkConfig(schema, message, config, writer.apiVersion);
  const atom = structOf(schema, message);
  const before = withoutManagedFields(live ?? {});
  const entries = managedFieldsOf(live);
  const managed = owners.readManaged(entries);
  if (managed.size === 0) record(managed, atom, {}, before, { ...writer, manager: "before-first-apply" });
  const attempt = (forced: boolean) => applyTo(atom, new Map(managed), before, config, writer, forced);
  let result = attempt(force);
  if (result.conflicts.length > 0) {
    const mayTake = writer.manager === "kubectl" ? lastAppliedFields(atom, before) : sets.emptySet;
    const others = result.conflicts.filter(({ path }) => !sets.has(mayTake, path));
    if (others.length > 0) throw conflictError(others);
    result = attempt(true);
  }
  const object = writer.manager === "kubectl" ? withLastApplied(result.object, config) : result.object;
  const managedFields = owners.writeManaged(result.managed);
  const unchanged = sameJson(object, before) && owners.sameManaged(managedFields, entries);
  return { object, managedFields: unchanged ? entries : managedFields };
}

function applyTo(
  atom: Struct,
  managed: Managed,
  before: JsonObject,
  config: JsonObject,
  writer: Writer,
  force: boolean,
): { object: JsonObject; managed: Managed; conflicts: Conflict[] } {
  const { resetFields = sets.emptySet, now } = writer;
  const mine = identityFrom({ ...writer, operation: "Apply" });
  const identity = owners.identityOf(mine);
  const last = managed.get(identity);
  const fields = sets.recursiveDifference(fieldSetOf(atom, config), resetFields);
  let owned = fields;
  for (const [key, entry] of managed) if (key !== identity) owned = sets.union(owned, entry.fields);
  const merged = merge(atom, before, config);
  const object = (last === undefined ? merged : prune(atom, merged, last.fields, owned)) as JsonObject;
  const changes = withoutFields(compare(atom, before, object), resetFields);
  const taken = sets.union(changes.modified, changes.added);
  const conflicts = force ? [] : conflictsOf(managed, identity, (set) => sets.intersection(set, taken));
  takeAway(managed, changes, taken, identity);
  const own = sets.difference(fields, neverTracked);
  const same = last !== undefined && sets.isEmpty(taken) && sets.isEmpty(changes.removed) && sameJson(last.fields, own);
  owners.putFields(managed, identity, { ...mine, fields: own, time: same ? last.time : now });
  return { object, managed, conflicts };
}

/**
 * managedFields after `next` replaces `live` by any write but apply. What changed is the writer's and nobody else's.
 * Entries that the client sent in `next` are taken as a start, if they are well-formed; `[{}]` forgets all. An object
 * that nobody tracks stays untracked until it is applied.
 */
export function track(
  schema: Schema,
  message: Message,
  live: JsonObject | undefined,
  next: JsonObject,
  writer: Writer,
): ManagedFieldsEntry[] | undefined {
  const entries = managedFieldsOf(live);
  const managed = startOf(entries, writer.subresource === "" ? managedFieldsOf(next) : undefined);
  if (managed.size === 0 && live !== undefined) return undefined;
  record(managed, structOf(schema, message), withoutManagedFields(live ?? {}), withoutManagedFields(next), writer);
  owners.capUpdates(managed);
  return owners.writeManaged(managed);
}

function startOf(live: ManagedFieldsEntry[] | undefined, sent: ManagedFieldsEntry[] | undefined): Managed {
  // What a client read and sends back is the same text; comparing texts is many times cheaper than objects.
  if (sent === undefined || sent.length === 0 || JSON.stringify(sent) === JSON.stringify(live))
    return owners.readManaged(live);
  if (sent.length === 1 && Object.keys(sent[0]!).length === 0) return new Map();
  try {
    return owners.parseManaged(sent);
  } catch {
    return owners.readManaged(live);
  }
}

function record(managed: Managed, atom: Struct, before: JsonObject, after: JsonObject, writer: Writer): void {
  const mine = identityFrom({ ...writer, operation: "Update" });
  const identity = owners.identityOf(mine);
  const changes = withoutFields(compare(atom, before, after), writer.resetFields ?? sets.emptySet);
  const taken = sets.union(changes.modified, changes.added);
  takeAway(managed, changes, taken);
  const own = sets.difference(taken, neverTracked);
  if (sets.isEmpty(own)) return;
  const fields = sets.union(managed.get(identity)?.fields ?? sets.emptySet, own);
  managed.set(identity, { ...mine, fields, time: writer.now });
}

function takeAway(managed: Managed, { removed }: Comparison, taken: FieldSet, except?: string): void {
  if (sets.isEmpty(taken) && sets.isEmpty(removed)) return;
  for (const [identity, entry] of managed)
    if (identity !== except) {
      if (!sets.overlap(entry.fields, taken) && !sets.overlap(entry.fields, removed)) continue;
      const fields = sets.recursiveDifference(sets.difference(entry.fields, taken), removed);
      owners.putFields(managed, identity, { ...identityFrom(entry), time: entry.time, fields });
    }
}

const withoutFields = ({ added, modified, removed }: Comparison, reset: FieldSet): Comparison => ({
  added: sets.recursiveDifference(added, reset),
  modified: sets.recursiveDifference(modified, reset),
  removed: sets.recursiveDifference(removed, reset),
});

/** Without what a stored entry or a writer says besides. */
const identityFrom = ({ manager, operation, apiVersion, subresource }: Identity): Identity => {
  return { manager, operation, apiVersion, subresource };
};

/** What says which object it is, and what only the server writes. */
const neverTracked = sets.setOfPaths([
  ...[["f:apiVersion"], ["f:kind"], ["f:metadata"]],
  ..."name namespace creationTimestamp selfLink uid clusterName generation managedFields resourceVersion"
    .split(" ")
    .map((name) => ["f:metadata", `f:${name}`]),
]);

const managedFieldsOf = (object: JsonObject | undefined): ManagedFieldsEntry[] | undefined =>
  (object?.["metadata"] as { managedFields?: ManagedFieldsEntry[] } | undefined)?.managedFields;

function withoutManagedFields(object: JsonObject): JsonObject {
  if (managedFieldsOf(object) === undefined) return object;
  const { managedFields: _, ...metadata } = object["metadata"] as JsonObject;
  return { ...object, metadata };
}

function checkConfig(schema: Schema, message: Message, config: JsonObject, expected: string): void {
  const { apiVersion = "", kind = "", metadata } = config;
  if (apiVersion !== expected || kind !== message.name)
    throw badRequest(`invalid object type: ${gvkText(String(apiVersion), String(kind))}`);
  if (managedFieldsOf(config) !== undefined) throw badRequest("metadata.managedFields must be nil");
  const problems = problemsOf(structOf(schema, message), config);
  if (problems.length === 0) return;
  const { name = "", namespace = "" } = isObject(metadata) ? metadata : {};
  const what = `${String(namespace)}/${String(name)}; ${gvkText(String(apiVersion), String(kind))}`;
  const text = problems.length === 1 ? problems[0]! : ["errors:", ...problems.map((p) => `  ${p}`)].join("\n");
  // As upstream, whose typed conversion fails without a Status of its own.
  throw failure(500, "", `failed to create typed patch object (${what}): ${text}`);
}

const gvkText = (apiVersion: string, kind: string): string =>
  `${apiVersion.includes("/") ? apiVersion : `/${apiVersion}`}, Kind=${kind}`;
