import type { Pod, PodTemplateSpec } from "../api/generated/core-v1.ts";
import type { KubernetesObject, OwnerReference } from "../apimachinery/object.ts";

/** A new Pod from a controller's template, named by the server. */
export function podFrom(template: PodTemplateSpec, { metadata }: KubernetesObject, owner: OwnerReference): Pod {
  const { labels, annotations, finalizers } = template.metadata ?? {};
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: "",
      generateName: `${metadata.name}-`,
      namespace: metadata.namespace!,
      ...(labels && { labels }),
      ...(annotations && { annotations }),
      ...(finalizers && { finalizers }),
      ownerReferences: [owner],
    },
    spec: template.spec!,
  };
}
