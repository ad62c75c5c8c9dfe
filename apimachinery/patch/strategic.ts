import { isObject, type JsonObject, set } from "../schema/normalize.ts";
import type { Field, Message, Schema } from "../schema/table.ts";
import { badRequest, rejected, type StatusError } from "../status.ts";

/**
 * Strategic merge patch: like a merge patch, but the schema says which lists merge by which key. Directives:
 *
 *   $patch: replace | delete           this map, or this item of a list; an item {$patch: replace} replaces the list
 *   $retainKeys: [...]                 drops all other keys of the map first
 *   $setElementOrder/<list>: [...]     the order of the merged list, by merge key or value
 *   $deleteFromPrimitiveList/<list>    values that go
 *
 * Throws BadRequest or 422 as upstream. Neither argument is changed.
 * Source: k8s.io/apimachinery/pkg/util/strategicpatch.
 */
export function strategicMergePatch(schema: Schema, message: Message, object: JsonObject, patch: unknown): JsonObject {
  if (!isObject(patch)) throw badRequest("invalid JSON document");
  return new Merger(schema).map(structuredClone(object), structuredClone(patch), message);
}

const orderPrefix = "$setElementOrder/";
const deletePrefix = "$deleteFromPrimitiveList/";

class Merger {
  readonly #schema: Schema;

  constructor(schema: Schema) {
    this.#schema = schema;
  }

  map(original: JsonObject, patch: JsonObject, message: Message | undefined): JsonObject {
    if (Object.hasOwn(patch, "$patch")) return directive(patch);
    retainKeys(original, patch);
    this.#orderedLists(original, patch, message);
    for (const key of Object.keys(patch)) {
      const value = patch[key];
      if (key.startsWith(deletePrefix)) deletePrimitives(original, key.slice(deletePrefix.length), value);
      else if (value === null) delete original[key];
      else {
        const before = Object.hasOwn(original, key) ? original[key] : undefined;
        set(original, key, this.#value(before, value, message?.fields.get(key)));
      }
    }
    return original;
  }

  #value(before: unknown, value: unknown, field: Field | undefined): unknown {
    if (isObject(before) && isObject(value)) {
      if (field?.patchStrategy.includes("replace")) return withoutDirectives(value);
      return this.map(before, value, field?.shape === "single" ? this.#messageOf(field) : undefined);
    }
    if (Array.isArray(before) && Array.isArray(value) && field?.patchStrategy.includes("merge"))
      return this.#list(before, value, field);
    return withoutDirectives(value);
  }

  #messageOf(field: Field | undefined): Message | undefined {
    const message = field?.messageId === undefined ? undefined : this.#schema.message(field.messageId);
    return message?.jsonForm ? undefined : message;
  }

  /** Items of the patch first where they meet new ones; the others keep their places. */
  #list(original: unknown[], patch: unknown[], field: Field): unknown[] {
    const key = field.patchMergeKey;
    if (![...original, ...patch].some(isObject)) {
      const merged = [...new Set([...original, ...patch])];
      return inOrder(merged, patch, original, undefined);
    }
    if (key === undefined) throw badRequest(`cannot merge lists without merge key for ${field.name}`);
    const items: JsonObject[] = [];
    let replace = false;
    let kept = original;
    for (const item of patch) {
      if (!isObject(item)) throw badRequest("invalid patch format of primitive list");
      if (!Object.hasOwn(item, "$patch")) items.push(item);
      else if (item["$patch"] === "replace") replace = true;
      else if (item["$patch"] !== "delete") throw badType(item);
      else if (!Object.hasOwn(item, key)) throw noMergeKey(item, key);
      else kept = kept.filter((o) => !isObject(o) || o[key] !== item[key]);
    }
    if (replace) return items.map(withoutDirectives);
    const merged = [...kept];
    for (const item of items) {
      if (!Object.hasOwn(item, key)) throw noMergeKey(item, key);
      const at = merged.findIndex((o) => isObject(o) && o[key] === item[key]);
      if (at < 0) merged.push(withoutDirectives(item));
      else merged[at] = this.map(merged[at] as JsonObject, item, this.#messageOf(field));
    }
    return inOrder(merged, items, kept, key);
  }

  /** Merges and orders every list that has a $setElementOrder, and takes both out of the patch. */
  #orderedLists(original: JsonObject, patch: JsonObject, message: Message | undefined): void {
    for (const directiveKey of Object.keys(patch)) {
      if (!directiveKey.startsWith(orderPrefix)) continue;
      const order = patch[directiveKey];
      delete patch[directiveKey];
      if (!Array.isArray(order)) throw badRequest("invalid patch format of setElementOrder list");
      const name = directiveKey.slice(orderPrefix.length);
      const field = message?.fields.get(name);
      const [before, value] = [original[name], patch[name]];
      if (value === null || (before === undefined && value === undefined)) continue;
      if ((before !== undefined && !Array.isArray(before)) || (value !== undefined && !Array.isArray(value)))
        throw badRequest("invalid patch format of setElementOrder list");
      delete patch[name];
      checkOrder(value ?? [], order, field?.patchMergeKey);
      const merged = this.#merged(before, value, field);
      set(original, name, inOrder(merged, order, before ?? [], field?.patchMergeKey));
    }
  }

  #merged(before: unknown[] | undefined, value: unknown[] | undefined, field: Field | undefined): unknown[] {
    if (value === undefined) return before ?? [];
    if (before === undefined) return withoutDirectives(value) as unknown[];
    return this.#value(before, value, field) as unknown[];
  }
}

function directive(patch: JsonObject): JsonObject {
  const { $patch, ...rest } = patch;
  if ($patch === "replace") return rest;
  if ($patch === "delete") return {};
  throw badType(patch);
}

function retainKeys(original: JsonObject, patch: JsonObject): void {
  const keys = patch["$retainKeys"];
  if (keys === undefined) return;
  delete patch["$retainKeys"];
  if (!Array.isArray(keys)) throw badRequest("invalid patch format of retainKeys");
  for (const key of Object.keys(patch))
    if (patch[key] !== null && !isDirective(key) && !keys.includes(key))
      throw badRequest("invalid patch format of retainKeys");
  for (const key of Object.keys(original)) if (!keys.includes(key)) delete original[key];
}

function deletePrimitives(original: JsonObject, name: string, values: unknown): void {
  if (!Array.isArray(values)) throw badRequest("invalid patch format of primitive list");
  const list = original[name];
  if (Array.isArray(list)) original[name] = list.filter((item) => !values.includes(item));
}

/** The patch's items must stand in the order list, in its order. */
function checkOrder(items: unknown[], order: unknown[], mergeKey: string | undefined): void {
  const identity = identityBy(mergeKey);
  const wanted = order.map(identity);
  const given = items.filter((i) => !isObject(i) || !Object.hasOwn(i, "$patch")).map(identity);
  let at = 0;
  for (const item of given) {
    at = wanted.indexOf(item, at);
    if (at < 0)
      throw badRequest(
        `The order in patch list:\n${goList(items)}\n doesn't match $setElementOrder list:\n${goList(order)}\n`,
      );
  }
}

/** What tells an item from the others of its list. */
const identityBy = (mergeKey: string | undefined) => (item: unknown) =>
  mergeKey !== undefined && isObject(item) ? item[mergeKey] : item;

/**
 * `merged` in upstream's order: items that `order` names as it says, the others in the server's order, woven together
 * by where the server had them.
 */
function inOrder(
  merged: unknown[],
  order: readonly unknown[],
  server: readonly unknown[],
  mergeKey: string | undefined,
): unknown[] {
  const identity = identityBy(mergeKey);
  const ordered = rank(order.map(identity));
  const known = rank(server.map(identity));
  const place = (ranks: Map<unknown, number>, item: unknown) => ranks.get(identity(item)) ?? Number.MAX_SAFE_INTEGER;
  const byRank = (ranks: Map<unknown, number>) => (a: unknown, b: unknown) => place(ranks, a) - place(ranks, b);
  const named = merged.filter((item) => ordered.has(identity(item))).sort(byRank(ordered));
  const others = merged.filter((item) => !ordered.has(identity(item))).sort(byRank(known));
  const result: unknown[] = [];
  let i = 0;
  let j = 0;
  while (i < others.length || j < named.length) {
    const left = known.get(identity(others[i]));
    const right = known.get(identity(named[j]));
    const othersFirst = left !== undefined && right !== undefined && left < right;
    if (j >= named.length || (i < others.length && othersFirst)) result.push(others[i++]);
    else result.push(named[j++]);
  }
  return result;
}

function rank(identities: unknown[]): Map<unknown, number> {
  const ranks = new Map<unknown, number>();
  for (const [i, id] of identities.entries()) if (!ranks.has(id)) ranks.set(id, i);
  return ranks;
}

const isDirective = (key: string): boolean =>
  key === "$patch" ||
  key === "$retainKeys" ||
  key.startsWith("$setElementOrder/") ||
  key.startsWith("$deleteFromPrimitiveList/");

/** A value that had no counterpart: its directives, and the nulls in its maps, have nothing to act on. */
function withoutDirectives(value: unknown): unknown {
  if (Array.isArray(value)) return value.filter((item) => !isObject(item) || !isRemoval(item)).map(withoutDirectives);
  if (!isObject(value)) return value;
  const result: JsonObject = {};
  for (const key of Object.keys(value))
    if (!isDirective(key) && value[key] !== null) set(result, key, withoutDirectives(value[key]));
  return result;
}

const isRemoval = (item: JsonObject): boolean =>
  item["$patch"] === "delete" || (item["$patch"] === "replace" && Object.keys(item).length === 1);

const goList = (items: unknown[]): string => `[${items.map(goValue).join(" ")}]`;

/** As Go's %v prints: `map[name:a]`. */
export function goValue(value: unknown): string {
  if (Array.isArray(value)) return goList(value);
  if (!isObject(value)) return value === null ? "<nil>" : String(value);
  const keys = Object.keys(value).sort();
  return `map[${keys.map((key) => `${key}:${goValue(value[key])}`).join(" ")}]`;
}

const badType = (item: JsonObject): StatusError =>
  badRequest(`unknown patch type: ${String(item["$patch"])} in map: ${goValue(item)}`);

const noMergeKey = (item: JsonObject, key: string): StatusError =>
  rejected(new Error(`map: ${goValue(item)} does not contain declared merge key: ${key}`));
