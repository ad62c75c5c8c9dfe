import type { PersistentVolume, Pod } from "../../api/generated/core-v1.ts";
import type { VolumeAttachment } from "../../api/generated/storage-v1.ts";
import type { Target, User } from "../request.ts";
import { type Attributes, type Authorizer, type Decision, noOpinion } from "./authorizer.ts";
import { bootstrapPolicy } from "./bootstrap-policy.ts";
import { ruleAllows } from "./rules.ts";

/** What is known of the cluster: a node may reach what its Pods refer to. */
export interface NodeLookup {
  /** The Pods of a namespace ("" of all) that are bound to a node. */
  podsOf(node: string, namespace: string): Iterable<Pod>;
  /** Of a Pod: "" before it is bound, undefined when there is none. */
  nodeOf(namespace: string, name: string): string | undefined;
  volume(name: string): PersistentVolume | undefined;
  volumeAttachment(name: string): VolumeAttachment | undefined;
}

/**
 * The Node authorizer: what the role system:node holds, narrowed to what belongs to this node: its Lease and CSINode, its
 * Pods, the Secrets, ConfigMaps and volumes that these refer to, and tokens of their ServiceAccounts. (Which Nodes and
 * Pods it may write is for the admission plug-in NodeRestriction, which sees the object.)
 *
 * Differs: a node may read all Nodes, since agents route to the Pod ranges of the others.
 */
export function nodeAuthorizer(lookup: NodeLookup): Authorizer {
  const rules = bootstrapPolicy().clusterRoles.find(({ metadata }) => metadata.name === "system:node")!.rules!;
  return {
    authorize(attributes): Decision {
      const node = nodeName(attributes.user);
      if (!node) return noOpinion; // "" has none either, though Pods that are not bound yet carry it
      const objection = "path" in attributes ? undefined : objectionTo(attributes, node, lookup);
      if (objection !== undefined) return { type: "NoOpinion", reason: objection };
      return rules.some((rule) => ruleAllows(rule, attributes)) ? { type: "Allow", reason: "" } : noOpinion;
    },
    rulesFor: (user) =>
      nodeName(user) === undefined
        ? { rules: [], incomplete: false, errors: [] }
        : { rules: [], incomplete: true, errors: ["node authorizer does not support user rule resolution"] },
  };
}

function objectionTo(
  { verb, target, fieldSelector = "" }: Extract<Attributes, { target: Target }>,
  node: string,
  lookup: NodeLookup,
): string | undefined {
  const { group, resource, subresource, name, namespace } = target;
  const related = (found: (pod: Pod) => boolean) => {
    if (name === "") return "No Object name found";
    for (const pod of lookup.podsOf(node, namespace)) if (found(pod)) return undefined;
    return `no relationship found between node '${node}' and this object`;
  };
  switch (group ? `${resource}.${group}` : resource) {
    case "secrets":
    case "configmaps":
      if (!reads.has(verb)) return "can only read resources of this type";
      if (subresource !== "") return "cannot read subresource";
      if (namespace === "") return "can only read namespaced object of this type";
      return related((pod) => refersTo(pod, resource as "secrets", name));
    case "persistentvolumeclaims":
      if (subresource === "" && verb !== "get") return "can only get individual resources of this type";
      if (subresource !== "" && subresource !== "status") return "can only update status subresource";
      return related((pod) => claimsOf(pod).includes(name));
    case "persistentvolumes": {
      if (verb !== "get") return "can only get individual resources of this type";
      if (subresource !== "") return "cannot get subresource";
      const claim = lookup.volume(name)?.spec?.claimRef;
      return related((pod) => pod.metadata.namespace === claim?.namespace && claimsOf(pod).includes(claim?.name ?? ""));
    }
    case "volumeattachments.storage.k8s.io":
      if (verb !== "get") return "can only get individual resources of this type";
      return lookup.volumeAttachment(name)?.spec.nodeName === node ? undefined : related(() => false);
    case "serviceaccounts":
      if (verb !== "create" || name === "") return "can only create tokens for individual service accounts";
      if (subresource !== "token") return "can only create token subresource of serviceaccount";
      return related((pod) => pod.spec?.serviceAccountName === name);
    case "leases.coordination.k8s.io":
      if (!["get", "create", "update", "patch", "delete"].includes(verb))
        return "can only get, create, update, patch, or delete a node lease";
      if (namespace !== "kube-node-lease") return 'can only access leases in the "kube-node-lease" system namespace';
      if (verb !== "create" && name !== node)
        return "can only access node lease with the same name as the requesting node";
      return undefined;
    case "csinodes.storage.k8s.io":
      if (verb !== "create" && name !== node)
        return "can only access CSINode with the same name as the requesting node";
      return undefined;
    case "resourceclaims.resource.k8s.io":
      if (verb !== "get") return "can only get individual resources of this type";
      if (subresource !== "") return "cannot get subresource";
      return related(({ spec, status }) =>
        [...(spec.resourceClaims ?? []), ...(status?.resourceClaimStatuses ?? [])].some(
          ({ resourceClaimName }) => resourceClaimName === name,
        ),
      );
    case "pods":
      if ((verb === "list" || verb === "watch") && !selects(fieldSelector, `spec.nodeName=${node}`))
        return "can only list/watch pods with spec.nodeName field selector";
      if (verb !== "get" || subresource !== "") return undefined;
      // That one is gone a node may hear: its own goes, too.
      return (lookup.nodeOf(namespace, name) ?? node) === node ? undefined : related(() => false);
    default:
      return undefined;
  }
}

const reads = new Set(["get", "list", "watch"]);

const selects = (fieldSelector: string, wanted: string) =>
  fieldSelector.replaceAll("==", "=").split(",").includes(wanted);

const prefix = "system:node:";

/** The node that this user is; undefined for all others. */
export function nodeName(user: User): string | undefined {
  return user.name.startsWith(prefix) && user.groups.includes("system:nodes")
    ? user.name.slice(prefix.length)
    : undefined;
}

export function claimsOf({ metadata, spec }: Pod): string[] {
  return (spec?.volumes ?? []).flatMap(({ name, persistentVolumeClaim, ephemeral }) =>
    persistentVolumeClaim ? [persistentVolumeClaim.claimName] : ephemeral ? [`${metadata.name}-${name}`] : [],
  );
}

const referenceFields: Record<string, ReadonlySet<string>> = {
  secrets: new Set(["secretRef", "secretKeyRef", "imagePullSecrets", "secret", "nodePublishSecretRef"]),
  configmaps: new Set(["configMapRef", "configMapKeyRef", "configMap"]),
};

/** True when a field that refers to such an object (env, envFrom, volumes, pull secrets) carries the name, or any. */
export function refersTo(pod: Pod, resource: "secrets" | "configmaps", name?: string): boolean {
  const fields = referenceFields[resource]!;
  const visit = (value: unknown, field: string): boolean => {
    if (typeof value !== "object" || value === null) return false;
    if (Array.isArray(value)) return value.some((item) => visit(item, field));
    const { name: own, secretName } = value as Record<string, unknown>;
    if (fields.has(field) && (name === undefined || own === name || secretName === name)) return true;
    return Object.entries(value).some(([key, part]) => visit(part, key));
  };
  return visit(pod.spec, "");
}
