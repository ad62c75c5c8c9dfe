import type { FlowSchema, PriorityLevelConfiguration, Subject } from "../../api/generated/flowcontrol-v1.ts";
import type { Attributes } from "../authz/authorizer.ts";
import type { User } from "../request.ts";

/** FlowSchemas in the order in which they are tried: by matchingPrecedence, then by name. */
export function inPrecedence(schemas: Iterable<FlowSchema>): FlowSchema[] {
  const precedence = ({ spec }: FlowSchema) => spec.matchingPrecedence ?? 1000;
  return [...schemas].sort((a, b) => precedence(a) - precedence(b) || (a.metadata.name < b.metadata.name ? -1 : 1));
}

export function classify(schemas: readonly FlowSchema[], attributes: Attributes): FlowSchema | undefined {
  return schemas.find((schema) => matches(schema, attributes));
}

function matches({ spec }: FlowSchema, attributes: Attributes): boolean {
  const { user, verb } = attributes;
  return (spec.rules ?? []).some(({ subjects, resourceRules = [], nonResourceRules = [] }) => {
    if (!subjects.some((subject) => isSubject(subject, user))) return false;
    if ("path" in attributes)
      return nonResourceRules.some(
        ({ verbs, nonResourceURLs }) =>
          has(verbs, verb) && nonResourceURLs.some((url) => pathMatches(url, attributes.path)),
      );
    const { group, resource, subresource, namespace } = attributes.target;
    const full = subresource ? `${resource}/${subresource}` : resource;
    return resourceRules.some(
      ({ verbs, apiGroups, resources, clusterScope, namespaces = [] }) =>
        has(verbs, verb) &&
        has(apiGroups, group) &&
        has(resources, full) &&
        (namespace === "" ? clusterScope === true : has(namespaces, namespace)),
    );
  });
}

const has = (list: readonly string[], value: string) => list.includes("*") || list.includes(value);

/** `*`, a path, or a prefix that ends in `/*`. */
function pathMatches(url: string, path: string): boolean {
  return url === "*" || url === path || (url.endsWith("/*") && path.startsWith(url.slice(0, -1)));
}

function isSubject({ kind, user: one, group, serviceAccount }: Subject, user: User): boolean {
  if (kind === "User") return one?.name === "*" || one?.name === user.name;
  if (kind === "Group") return group?.name === "*" || user.groups.includes(group?.name ?? "");
  const { namespace = "", name = "" } = serviceAccount ?? {};
  const prefix = `system:serviceaccount:${namespace}:`;
  return name === "*" ? user.name.startsWith(prefix) : user.name === `${prefix}${name}`;
}

/** What tells the flows of one schema apart. */
export function distinguisher({ spec }: FlowSchema, attributes: Attributes): string {
  if (spec.distinguisherMethod?.type === "ByUser") return attributes.user.name;
  if (spec.distinguisherMethod?.type === "ByNamespace" && "target" in attributes) return attributes.target.namespace;
  return "";
}

/** Seats of each level: its part of the server's by its shares. Exempt levels have none, and need none. */
export function seatsOf(levels: readonly PriorityLevelConfiguration[], server: number): Map<string, number> {
  const shares = ({ spec }: PriorityLevelConfiguration) => (spec.limited ?? spec.exempt)?.nominalConcurrencyShares ?? 0;
  const all = levels.reduce((sum, level) => sum + shares(level), 0) || 1;
  return new Map(levels.map((level) => [level.metadata.name, Math.ceil((server * shares(level)) / all)]));
}
