import type { Resource } from "../../api/resource.ts";
import {
  checkFields,
  exactField,
  matches,
  matchesFields,
  parseFieldSelector,
  parseSelector,
} from "../../apimachinery/selectors.ts";
import type { Options, Target } from "../request.ts";
import type { StoredObject } from "../storage/stored-object.ts";
import type { Scope } from "../watchcache/watcher.ts";
import { keyOf, prefixOfList } from "./context.ts";

/** What a list or watch is about: a part of the key space, and a predicate when selectors narrow it further. */
export interface Selection {
  scope: Scope;
  selects: ((object: StoredObject) => boolean) | undefined;
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
  return { scope, selects: labels.length + fields.length > 0 ? selects : undefined };
}

/** The name that a list or watch is limited to: authorization counts it as the name in the path. */
export function selectedName(fieldSelector: string | undefined): string {
  return /(?:^|,)metadata\.name==?([a-z0-9.:-]+)(?:,|$)/.exec(fieldSelector ?? "")?.[1] ?? "";
}
