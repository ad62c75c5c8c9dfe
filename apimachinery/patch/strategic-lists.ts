import { isObject, type JsonObject, set } from "../schema/normalize.ts";

/** Lists in strategic merge patches: their order, and values that still hold directives. */

/**
 * `merged` in upstream's order: items that `order` names as it says, the others in the server's order, woven together
 * by where the server had them.
 */
export function inOrder(
  merged: unknown[],
  order: readonly unknown[],
  server: readonly unknown[],
  mergeKey: string | undefined,
): unknown[] {
  const identity = (item: unknown) => (mergeKey !== undefined && isObject(item) ? item[mergeKey] : item);
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

export const isDirective = (key: string): boolean =>
  key === "$patch" ||
  key === "$retainKeys" ||
  key.startsWith("$setElementOrder/") ||
  key.startsWith("$deleteFromPrimitiveList/");

/** A value that had no counterpart: its directives, and the nulls in its maps, have nothing to act on. */
export function withoutDirectives(value: unknown): unknown {
  if (Array.isArray(value)) return value.filter((item) => !isObject(item) || !isRemoval(item)).map(withoutDirectives);
  if (!isObject(value)) return value;
  const result: JsonObject = {};
  for (const key of Object.keys(value))
    if (!isDirective(key) && value[key] !== null) set(result, key, withoutDirectives(value[key]));
  return result;
}

const isRemoval = (item: JsonObject): boolean =>
  item["$patch"] === "delete" || (item["$patch"] === "replace" && Object.keys(item).length === 1);
