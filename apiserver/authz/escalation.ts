import type { ClusterRole, PolicyRule, RoleBinding } from "../../api/generated/rbac-v1.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { forbidden } from "../../apimachinery/status.ts";
import type { Attributes, Plugin } from "../admission/chain.ts";
import { type Authorizer, fullAuthority, isSuperuser } from "./authorizer.ts";
import type { RbacAuthorizer } from "./rbac.ts";
import { describeRules, quoted, uncovered } from "./rules.ts";

/** The last plug-in of admission. Upstream asks in the storage of these kinds, right before it writes. */
export const escalationCheck = (rbac: RbacAuthorizer, authorizer: Authorizer): Plugin => ({
  name: "RBACEscalation",
  validate: (attributes) =>
    attributes.resource.group === group && attributes.object !== undefined
      ? refuseEscalation(rbac, authorizer, attributes)
      : undefined,
});

/**
 * Nobody gives away more than he has: who writes a role must hold all its rules, or may `escalate` it; who writes a
 * binding must hold the rules of the role, or may `bind` it. Throws 403, and 404 for a role that is not there.
 */
export async function refuseEscalation(
  rbac: RbacAuthorizer,
  authorizer: Authorizer,
  attributes: Pick<Attributes, "user" | "resource" | "object" | "oldObject">,
): Promise<void> {
  const { user, resource, oldObject: old } = attributes;
  const object = attributes.object!;
  if (isSuperuser(user)) return;
  if (old !== undefined && sameJson(withoutGcFields(object), withoutGcFields(old))) return;
  const { name, namespace = "" } = object.metadata;
  const may = async (verb: string, kinds: string, what: string) => {
    const target = { group, version: "v1", namespace, resource: kinds, name: what, subresource: "" };
    return (await authorizer.authorize({ user, verb, target })).type === "Allow";
  };
  const held = () => rbac.rulesFor(user, namespace);
  if (resource.resource === "roles" || resource.resource === "clusterroles") {
    if (await may("escalate", resource.resource, name)) return;
    const { rules = [], aggregationRule } = object as ClusterRole;
    const aggregates = aggregationRule ?? (old as ClusterRole | undefined)?.aggregationRule;
    if (aggregates && uncovered(held().rules, fullAuthority).length > 0)
      throw forbidden(resource, name, "must have cluster-admin privileges to use the aggregationRule");
    confirm(rules);
  } else {
    const { roleRef } = object as RoleBinding;
    if (await may("bind", roleRef.kind === "ClusterRole" ? "clusterroles" : "roles", roleRef.name)) return;
    confirm(rbac.index().rulesOf(roleRef, namespace));
  }

  function confirm(rules: readonly PolicyRule[]): void {
    const { rules: own, errors } = held();
    const missing = uncovered(own, rules);
    if (missing.length === 0) return;
    const who = `user ${JSON.stringify(user.name)} (groups=${quoted(user.groups)})`;
    const resolution = errors.length > 0 ? `; resolution errors: [${errors.join(" ")}]` : "";
    const text = describeRules(missing).join("\n");
    throw forbidden(
      resource,
      name,
      `${who} is attempting to grant RBAC permissions not currently held:\n${text}${resolution}`,
    );
  }
}

const group = "rbac.authorization.k8s.io";

/** What the garbage collector changes on the way to an object's end is no grant. */
function withoutGcFields(object: KubernetesObject): KubernetesObject {
  const { ownerReferences: _o, finalizers: _f, managedFields: _m, resourceVersion: _r, ...metadata } = object.metadata;
  return { ...object, metadata };
}
