import type { Target, User } from "../request.ts";

/**
 * The Node authorizer: what the policy gives to nodes, narrowed to what belongs to this one: its Node, its Lease, its
 * Pods, and the Secrets and ConfigMaps that these refer to. (Which Pods it may write is for admission, which sees the
 * object.) Differs: a node may read all Nodes, since agents route to the Pod ranges of the others.
 * Undefined when there is nothing to object.
 */
export function nodeForbids(
  user: User,
  verb: string,
  target: Target,
  fieldSelector: string,
  podsOf: PodsOf,
): string | undefined {
  const node = nodeName(user);
  if (node === undefined || verb === "create") return undefined; // the name of a new object is not in the path
  const { resource, name, namespace } = target;
  if (resource === "nodes" && verb !== "get" && verb !== "list" && verb !== "watch" && name !== node)
    return `node ${JSON.stringify(node)} is not allowed to modify node ${JSON.stringify(name)}`;
  if (resource === "leases" && name !== node)
    return "can only access node lease with the same name as the requesting node";
  if (resource === "pods" && (verb === "list" || verb === "watch") && !selects(fieldSelector, `spec.nodeName=${node}`))
    return "can only list/watch pods with spec.nodeName field selector";
  if (resource === "secrets" || resource === "configmaps") {
    for (const pod of name ? podsOf(namespace, node) : []) if (refersTo(pod, resource, name)) return undefined;
    return `no relationship found between node '${node}' and this object`;
  }
  return undefined;
}

/** The Pods of a namespace that are bound to a node. */
export type PodsOf = (namespace: string, node: string) => Iterable<unknown>;

const selects = (fieldSelector: string, wanted: string) =>
  fieldSelector.replaceAll("==", "=").split(",").includes(wanted);

const prefix = "system:node:";

/** The node that this user is; undefined for all others. */
export function nodeName(user: User): string | undefined {
  return user.groups.includes("system:nodes") && user.name.startsWith(prefix)
    ? user.name.slice(prefix.length)
    : undefined;
}

const referenceFields: Record<string, ReadonlySet<string>> = {
  secrets: new Set(["secretRef", "secretKeyRef", "imagePullSecrets", "secret"]),
  configmaps: new Set(["configMapRef", "configMapKeyRef", "configMap"]),
};

/** True when a field that refers to such an object (env, envFrom, volumes, pull secrets) carries the name. */
function refersTo(pod: unknown, resource: "secrets" | "configmaps", name: string): boolean {
  const fields = referenceFields[resource]!;
  const visit = (value: unknown, field: string): boolean => {
    if (typeof value !== "object" || value === null) return false;
    if (Array.isArray(value)) return value.some((item) => visit(item, field));
    const { name: own, secretName } = value as Record<string, unknown>;
    if (fields.has(field) && (own === name || secretName === name)) return true;
    return Object.entries(value).some(([key, part]) => visit(part, key));
  };
  return visit((pod as { spec?: unknown }).spec, "");
}
