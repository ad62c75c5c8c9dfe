import type { Resource } from "../../api/resource.ts";
import { type FieldError, forbidden, notSupported } from "../../apimachinery/field-error.ts";
import {
  checkFields,
  exactField,
  matches,
  matchesFields,
  parseFieldSelector,
  parseSelector,
} from "../../apimachinery/selectors.ts";
import { badRequest, invalid, isExpired, notFound, StatusError } from "../../apimachinery/status.ts";
import type { List } from "../answer.ts";
import { isTrue } from "../http/request-info.ts";
import type { Options, Target } from "../request.ts";
import { expiredContinue } from "../storage/errors.ts";
import type { StoredObject } from "../storage/stored-object.ts";
import { inScope, type Scope } from "../watchcache/watcher.ts";
import type { Narrow } from "../watchcache/watchers.ts";
import { type Context, keyOf, type Place, prefixOfList, prefixOfResource } from "./context.ts";
import { parseInteger } from "./decode.ts";

/** GET of one object: newest without a resourceVersion, from the cache in any case. */
export async function get({ context, resource, target }: Place, options: Options): Promise<StoredObject> {
  const { cache } = context;
  const wanted = options.resourceVersion ?? "";
  if (wanted === "") await cache.consistent();
  else if (parseRevision(wanted) > 0) await cache.atLeast(parseRevision(wanted));
  const object = cache.resource(prefixOfResource(resource)).objects.get(keyOf(resource, target));
  if (object === undefined) throw notFound(resource, target.name);
  return object;
}

/**
 * The resourceVersion semantics of lists (Kubernetes API concepts, "Resource versions"):
 *
 *   unset                          newest                        from the cache, when it is there
 *   0                              whatever the cache holds      limit is ignored
 *   N, NotOlderThan or no limit    not older than N              from the cache, when it is there
 *   N, Exact or with a limit       exactly N                     from the store
 *   continue                       what the first page saw       from the store
 */
export async function list({ context, resource, target }: Place, options: Options): Promise<List> {
  checkListOptions(options, false);
  const { cache } = context;
  const chosen = selection(resource, target, options);
  const limit = Math.max(0, parseInteger(options.limit) ?? 0);
  const wanted = options.resourceVersion ?? "";
  const revision = wanted === "" ? 0 : parseRevision(wanted);
  if (options.continue) {
    if (revision > 0) throw badRequest("specifying resource version is not allowed when using continue");
    const token = decodeToken(options.continue);
    return page(context, chosen, limit, token.revision, `${chosen.scope.prefix}${token.start}`);
  }
  const exact = options.resourceVersionMatch === "Exact" || (!options.resourceVersionMatch && limit > 0);
  if (revision > 0 && exact) {
    if (revision > cache.revision) await cache.atLeast(revision);
    return page(context, chosen, limit, revision);
  }
  if (wanted === "") await cache.consistent();
  else if (revision > 0) await cache.atLeast(revision);
  return fromCache(context, resource, chosen, wanted === "0" ? 0 : limit);
}

function fromCache(context: Context, resource: Resource, { scope, selects }: Selection, limit: number): List {
  const cache = context.cache.resource(prefixOfResource(resource));
  const items: StoredObject[] = [];
  let more = 0;
  for (const object of cache.under(scope.prefix)) {
    if (!inScope(object.key, scope) || (selects && !selects(object))) continue;
    if (limit === 0 || items.length < limit) items.push(object);
    else {
      more++;
      if (selects) break;
    }
  }
  const { revision } = context.cache;
  return {
    resourceVersion: String(revision),
    ...(more > 0 ? { continue: encodeToken(revision, items.at(-1)!.key.slice(scope.prefix.length)) } : {}),
    ...(more > 0 && !selects ? { remainingItemCount: more } : {}),
    items,
  };
}

/** From the store at `revision`; -1: now, which does not go with the pages before. */
async function page(
  { storage }: Context,
  { scope, selects }: Selection,
  limit: number,
  revision: number,
  after?: string,
): Promise<List> {
  const items: StoredObject[] = [];
  let startAfter = after;
  let at = Math.max(0, revision);
  for (;;) {
    const result = await storage
      .list(scope.prefix, { revision: at, limit: limit && Math.max(limit, 100), ...(startAfter ? { startAfter } : {}) })
      .catch((error: unknown) => {
        if (!isExpired(error) || after === undefined) throw error;
        throw expiredContinue(encodeToken(-1, after.slice(scope.prefix.length)));
      });
    at = result.revision;
    startAfter = result.lastKey;
    for (const [i, object] of result.objects.entries()) {
      if (inScope(object.key, scope) && (selects?.(object) ?? true)) items.push(object);
      const left = result.remaining + result.objects.length - i - 1;
      if (limit > 0 && items.length === limit && left > 0)
        return {
          resourceVersion: String(at),
          continue: encodeToken(at, object.key.slice(scope.prefix.length)),
          ...(selects ? {} : { remainingItemCount: left }),
          items,
        };
    }
    if (result.remaining <= 0) return { resourceVersion: String(at), items };
  }
}

export function parseRevision(text: string): number {
  if (!/^\d{1,15}$/.test(text))
    throw badRequest(`resourceVersion: Invalid value: ${JSON.stringify(text)}: must be a non-negative integer`);
  return Number(text);
}

/** Combinations that make no sense are refused; throws 422. */
export function checkListOptions(options: Options, watch: boolean): void {
  const { resourceVersion = "", resourceVersionMatch: match = "", sendInitialEvents } = options;
  const errors: FieldError[] = [];
  const refuse = (field: string, detail: string) => errors.push(forbidden(field, detail));
  if (sendInitialEvents !== undefined) {
    if (!watch) refuse("sendInitialEvents", "sendInitialEvents is forbidden for list");
    else if (match !== "NotOlderThan")
      refuse("resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
  } else if (match !== "") {
    if (watch)
      refuse(
        "resourceVersionMatch",
        "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
      );
    if (resourceVersion === "")
      refuse("resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided");
    if (options.continue) refuse("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided");
    if (match !== "Exact" && match !== "NotOlderThan")
      errors.push(notSupported("resourceVersionMatch", match, ["Exact", "NotOlderThan", ""]));
    if (match === "Exact" && resourceVersion === "0")
      refuse("resourceVersionMatch", 'resourceVersionMatch "Exact" is forbidden for resourceVersion "0"');
  }
  if (errors.length > 0) throw invalid({ group: "meta.k8s.io", kind: "ListOptions" }, "", errors);
}

export const wantsInitialEvents = (options: Options): boolean =>
  options.sendInitialEvents !== undefined && isTrue(options.sendInitialEvents);

/** Upstream's continue token: where to go on, and at which revision. */
function encodeToken(revision: number, lastKey: string): string {
  return Buffer.from(JSON.stringify({ v: "meta.k8s.io/v1", rv: revision, start: `${lastKey}\0` })).toString(
    "base64url",
  );
}

function decodeToken(token: string): { revision: number; start: string } {
  try {
    const { v, rv, start } = JSON.parse(Buffer.from(token, "base64url").toString("utf8")) as Record<string, unknown>;
    const valid =
      v === "meta.k8s.io/v1" &&
      Number.isSafeInteger(rv) &&
      (rv === -1 || (rv as number) > 0) &&
      typeof start === "string";
    if (valid && /^[^/]+(\/[^/]+)?\0$/.test(start)) return { revision: rv as number, start: start.slice(0, -1) };
  } catch {
    // told below
  }
  throw new StatusError(badRequest("continue key is not valid").status);
}

/** What a list or watch is about: a part of the key space, and a predicate when selectors narrow it further. */
export interface Selection {
  scope: Scope;
  selects: ((object: StoredObject) => boolean) | undefined;
  narrow: Narrow | undefined;
}

/** Throws 400 for selectors that do not parse and fields that the kind does not know. */
export function selection(resource: Resource, target: Target, options: Options): Selection {
  const labels = parseSelector(options.labelSelector ?? "");
  const fields = parseFieldSelector(options.fieldSelector ?? "");
  checkFields(fields, resource);
  const names = resource.face?.fieldNames ?? {};
  for (const requirement of fields) requirement.field = names[requirement.field] ?? requirement.field;
  const name = target.name || exactField(fields, "metadata.name");
  const namespace = target.namespace || (exactField(fields, "metadata.namespace") ?? "");
  const exact = name !== undefined && name !== "" && (!resource.namespaced || namespace !== "");
  const scope = exact
    ? { prefix: keyOf(resource, { namespace, name: name! }), exact }
    : { prefix: prefixOfList(resource, namespace), exact };
  const fieldsOf = resource.fields as (object: object) => Record<string, string>;
  const selects = (object: StoredObject) => {
    const attributes = object.attributes(fieldsOf);
    return matches(labels, attributes.labels) && matchesFields(fields, attributes.fields);
  };
  const one = fields.find(({ operator }) => operator === "=");
  const narrow = one && { field: one.field, value: one.value, fieldsOf };
  return { scope, selects: labels.length + fields.length > 0 ? selects : undefined, narrow };
}

/** The name that a list or watch is limited to: authorization counts it as the name in the path. */
export function selectedName(fieldSelector: string | undefined): string {
  return /(?:^|,)metadata\.name==?([a-z0-9.:-]+)(?:,|$)/.exec(fieldSelector ?? "")?.[1] ?? "";
}
