import {
  customResourceDefinitions,
  hasCondition,
  setCondition,
} from "../../api/apiextensions/custom-resource-definition.ts";
import type { CustomResourceDefinition, CustomResourceDefinitionNames } from "../../api/generated/apiextensions-v1.ts";
import type { Resource } from "../../api/resource.ts";
import { prefixOfResource } from "../registry/context.ts";
import { idOf, type ResourceSource } from "../resource-table.ts";
import type { WatchCache } from "../watchcache/watch-cache.ts";
import type { Converter } from "./conversion.ts";
import { customResource } from "./custom-resource.ts";

export const definitionsPrefix = prefixOfResource(customResourceDefinitions as unknown as Resource);

/**
 * The custom resources that are served: made from the definitions in the watch cache, whenever these have changed and
 * somebody asks. A definition that is Established is served from the very revision that says so.
 */
export class Definitions implements ResourceSource {
  readonly #cache: WatchCache;
  readonly #convert: Converter;
  #seen = -1;
  #served: ResourceSource["served"] = new Map();
  #rows = new Map<string, { made: string; rows: Resource[] }>();

  constructor(cache: WatchCache, convert: Converter) {
    this.#cache = cache;
    this.#convert = convert;
  }

  get served(): ResourceSource["served"] {
    if (this.#cache.revision === 0) return this.#served;
    const { changes, objects } = this.#cache.resource(definitionsPrefix);
    if (changes === this.#seen) return this.#served;
    this.#seen = changes;
    const rows = new Map<string, { made: string; rows: Resource[] }>();
    for (const stored of objects.values()) {
      const definition = stored.parse() as CustomResourceDefinition;
      if (hasCondition(definition, "Established")) rows.set(stored.key, this.#rowsOf(stored.key, definition));
    }
    const before = this.#rows;
    this.#rows = rows;
    const same = rows.size === before.size && [...rows].every(([key, made]) => before.get(key) === made);
    const inThatOrder = () => inOrder([...rows.values()].flatMap((one) => one.rows));
    if (!same) this.#served = new Map(inThatOrder().map((row) => [idOf(row), row]));
    return this.#served;
  }

  /** A change of nothing that matters here leaves the rows, and with them documents and converted objects. */
  #rowsOf(key: string, definition: CustomResourceDefinition): { made: string; rows: Resource[] } {
    const { spec, metadata, status } = definition;
    const made = JSON.stringify([metadata.uid, spec, status?.acceptedNames, hasCondition(definition, "Terminating")]);
    const known = this.#rows.get(key);
    if (known?.made === made) return known;
    const versions = spec.versions.filter(({ served }) => served);
    return {
      made,
      rows: versions.map((version) => customResource(definition, version, this.#convert) as unknown as Resource),
    };
  }
}

/** Groups by name, versions by preference, resources by name. */
const inOrder = (rows: Resource[]): Resource[] =>
  rows.sort(
    (a, b) => compare(a.group, b.group) || compareVersions(a.version, b.version) || compare(a.resource, b.resource),
  );

const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);

/** v10 before v2 before v1 before v11beta2 before v3alpha1, then what has no such shape, by name. */
export function compareVersions(a: string, b: string): number {
  const [x, y] = [rank(a), rank(b)];
  for (let i = 0; i < 3; i++) if (x[i] !== y[i]) return y[i]! - x[i]!;
  return compare(a, b);
}

function rank(version: string): number[] {
  const match = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version);
  if (match === null) return [0, 0, 0];
  return [match[2] === undefined ? 3 : match[2] === "beta" ? 2 : 1, Number(match[1]), Number(match[3] ?? 0)];
}

/**
 * The status that a definition should have: which names it may use beside the others of its group, and whether it is
 * served (apiextensions-apiserver, pkg/controller/status and /establish).
 * Differs: both conditions come at once, as every apiserver looks at the newest definitions before it answers 404.
 */
export function statusOfDefinition(
  { ...definition }: CustomResourceDefinition,
  others: readonly CustomResourceDefinition[],
  now: string,
): CustomResourceDefinition["status"] {
  const { spec, status, metadata } = definition;
  const taken = others
    .filter((other) => other.spec.group === spec.group && other.metadata.name !== metadata.name)
    .map((other) => other.status?.acceptedNames);
  const resources = new Set(taken.flatMap((names) => [names?.plural, names?.singular, ...(names?.shortNames ?? [])]));
  const kinds = new Set(taken.flatMap((names) => [names?.kind, names?.listKind]));
  const accepted: CustomResourceDefinitionNames = { plural: "", kind: "", ...status?.acceptedNames };
  let conflict: { reason: string; message: string } | undefined;
  for (const key of ["plural", "singular", "shortNames", "kind", "listKind"] as const) {
    const used = key === "kind" || key === "listKind" ? kinds : resources;
    const bad = [spec.names[key] ?? []].flat().filter((name) => name !== "" && used.has(name));
    if (bad.length === 0) Object.assign(accepted, { [key]: spec.names[key] });
    else {
      const messages = bad.map((name) => `${JSON.stringify(name)} is already in use`);
      conflict = { reason: `${key[0]!.toUpperCase()}${key.slice(1)}Conflict`, message: messages.join(", ") };
    }
  }
  accepted.categories = spec.names.categories ?? [];
  if (accepted.categories.length === 0) delete accepted.categories;
  if (accepted.shortNames === undefined) delete accepted.shortNames;
  definition.status = { ...status, acceptedNames: accepted };
  const set = (type: string, isTrue: boolean, reason: string, message: string) =>
    setCondition(definition, { type, status: isTrue ? "True" : "False", lastTransitionTime: now, reason, message });
  set("NamesAccepted", !conflict, conflict?.reason ?? "NoConflicts", conflict?.message ?? "no conflicts found");
  if (hasCondition(definition, "Established")) return definition.status;
  if (conflict) set("Established", false, "NotAccepted", "not all names are accepted");
  else set("Established", true, "InitialNamesAccepted", "the initial names have been accepted");
  return definition.status;
}
