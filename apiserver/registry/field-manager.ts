import type { Resource } from "../../api/resource.ts";
import { schema } from "../../api/schema.ts";
import { track, type Writer } from "../../apimachinery/apply/apply.ts";
import type { FieldSet } from "../../apimachinery/apply/field-set.ts";
import { sameManaged } from "../../apimachinery/apply/managed-fields.ts";
import { type FieldError, invalid, tooLong } from "../../apimachinery/field-error.ts";
import { apiVersionOf, type KubernetesObject, type ManagedFieldsEntry } from "../../apimachinery/object.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import type { JsonObject } from "../../apimachinery/schema/normalize.ts";
import type { Message } from "../../apimachinery/schema/table.ts";
import { formatTime } from "../../apimachinery/time.ts";
import { memo } from "../../base/memo.ts";
import type { ApiRequest } from "../request.ts";
import type { Context } from "./context.ts";
import { fromStored } from "./versions.ts";

/** Who owns which fields after a write: the engine of apimachinery/apply, told what the endpoint is. */
export interface FieldOwner {
  /** The field manager. */
  manager: string;
  /** The version through which they are written, when it is another than the stored one. */
  served?: Resource;
  /** What an apply has found out already. */
  applied?: { managedFields: ManagedFieldsEntry[] | undefined };
}

const maxManagerBytes = 128;

/** What the request names, else its User-Agent up to the first slash. */
export function managerOf({ options, userAgent = "" }: Pick<ApiRequest, "options" | "userAgent">): string {
  if (options.fieldManager) return options.fieldManager;
  const printable = userAgent.split("/")[0]!.replace(/[^\x20-\x7e]/g, "");
  return printable.slice(0, maxManagerBytes) || "unknown";
}

export function validateManager({ fieldManager = "" }: { fieldManager?: string }): FieldError[] {
  const errors = Buffer.byteLength(fieldManager) > maxManagerBytes ? [tooLong("fieldManager", maxManagerBytes)] : [];
  const at = fieldManager.search(/\p{C}|(?! )\p{Z}/u);
  const rune = fieldManager.codePointAt(at);
  if (at < 0 || rune === undefined) return errors;
  const shown = `U+${rune.toString(16).toUpperCase().padStart(4, "0")}`;
  return [...errors, invalid("fieldManager", fieldManager, `invalid character ${shown} (at ${at})`)];
}

export function messageOf(resource: Resource): Message {
  return resource.custom?.message ?? schema.message(resource.schema);
}

export function writerOf({ clock }: Context, resource: Resource, subresource: string, manager: string): Writer {
  const resetFields = resetFieldsOf(resource, subresource);
  return { manager, apiVersion: apiVersionOf(resource), subresource, now: formatTime(clock.now()), resetFields };
}

/** Sets managedFields of what is about to replace `old`, which is undefined for a new object. */
export function ownFields(
  context: Context,
  resource: Resource,
  subresource: string,
  old: KubernetesObject | undefined,
  object: KubernetesObject,
  { manager, served = resource, applied }: FieldOwner,
): void {
  const [live, next] = [old && fromStored(served, old), fromStored(served, object)] as unknown as [
    JsonObject | undefined,
    JsonObject,
  ];
  const writer = writerOf(context, served, subresource, manager);
  const managedFields = applied ? applied.managedFields : track(schema, messageOf(served), live, next, writer);
  if (managedFields === undefined) delete object.metadata.managedFields;
  else object.metadata.managedFields = managedFields;
}

/** A write that changes nothing but the times of entries is none. */
export function keepTimes(object: KubernetesObject, old: KubernetesObject): void {
  const [next, before] = [object.metadata.managedFields, old.metadata.managedFields];
  if (before === undefined || !sameManaged(next, before)) return;
  const timeless = ({ metadata: { managedFields: _, ...metadata }, ...rest }: KubernetesObject) => ({
    ...rest,
    metadata,
  });
  if (sameJson(timeless(object), timeless(old))) object.metadata.managedFields = before;
}

const resets = new WeakMap<Message, Map<string, FieldSet>>();

/** What the endpoint puts back: status at the object itself, all else at `/status`, all but their part at others. */
function resetFieldsOf(resource: Resource, subresource: string): FieldSet {
  const known = memo(resets, messageOf(resource), () => new Map<string, FieldSet>());
  return memo(known, subresource, () => makeResetFields(resource, subresource));
}

function makeResetFields(resource: Resource, subresource: string): FieldSet {
  const all = (message: Message) => [...message.fields.keys()];
  const set = (names: readonly string[]): FieldSet => Object.fromEntries(names.map((name) => [`f:${name}`, {}]));
  const message = messageOf(resource);
  const part = resource.parts?.[subresource];
  if (part && subresource !== "status") {
    const result: Record<string, FieldSet> = Object.fromEntries(all(message).map((name) => [`f:${name}`, {}]));
    for (const [outer] of part.owns) {
      const inner = part.owns.filter(([first]) => first === outer).map(([, second]) => second);
      const fields = all(schema.message(message.fields.get(outer)!.messageId!));
      result[`f:${outer}`] = set(fields.filter((name) => !inner.includes(name)));
    }
    return result;
  }
  if (!resource.subresources.some(({ name }) => name === "status")) return {};
  const kept = resource.custom ? ["status"] : ["status", "metadata"];
  return set(subresource === "status" ? all(message).filter((n) => !kept.includes(n)) : ["status"]);
}
