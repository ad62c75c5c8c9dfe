import type { Resource } from "../../api/resource.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { fromStored } from "../registry/versions.ts";
import type { Attributes } from "./chain.ts";

/** A request as webhooks and expressions see it (admission.k8s.io), without its objects. */
export function admissionRequest(attributes: Attributes, version: Resource) {
  const { operation, kind, resource, requested = resource, subresource, name, namespace, user } = attributes;
  const gvk = (row: Resource) => {
    const { group, version, kind: name } = kind.kind === resource.kind ? row : kind;
    return { group, version, kind: name };
  };
  const gvr = ({ group, version, resource: name }: Resource) => ({ group, version, resource: name });
  return {
    kind: gvk(version),
    resource: gvr(version),
    ...(subresource && { subResource: subresource, requestSubResource: subresource }),
    requestKind: gvk(requested),
    requestResource: gvr(requested),
    ...(name && { name }),
    ...(namespace && { namespace }),
    operation,
    userInfo: {
      username: user.name,
      ...(user.uid && { uid: user.uid }),
      groups: user.groups,
      ...(user.extra && { extra: user.extra }),
    },
    dryRun: attributes.dryRun,
    options: attributes.options ?? null,
  };
}

/** An object as a version shows it; what is not of the resource's own kind (a Scale) as it is. Throws what a conversion does. */
export async function shown({ kind, resource }: Attributes, version: Resource, object: KubernetesObject | undefined) {
  if (object === undefined) return null;
  if (kind.kind !== resource.kind) return withKind(kind, object);
  return withKind(version, await inVersionOf(version, resource, object));
}

/** Versions of custom resources may be made by a webhook; a face is made of the stored kind. */
export async function inVersionOf(version: Resource, from: Resource, object: KubernetesObject) {
  if (!version.custom || version.version === from.version) return fromStored(version, object);
  return (await version.custom.fromStored([structuredClone(object)]))[0]!;
}

function withKind(
  { group, version, kind }: { group: string; version: string; kind: string },
  object: KubernetesObject,
) {
  return { ...object, apiVersion: group ? `${group}/${version}` : version, kind };
}
