import type { PersistentVolumeClaim } from "../../api/generated/core-v1.ts";
import type { Ingress } from "../../api/generated/networking-v1.ts";
import { IngressClasses, StorageClasses } from "../../api/generated/resources.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { quantityToNumber } from "../../apimachinery/quantity.ts";
import { forbidden } from "../../apimachinery/status.ts";
import { isFor, type Plugin } from "./chain.ts";

/** DefaultStorageClass: a claim that names no class gets the default one, of several the newest. */
export const defaultStorageClass: Plugin = {
  name: "DefaultStorageClass",
  mutate(attributes, cluster) {
    if (attributes.operation !== "CREATE" || !isFor(attributes, "persistentvolumeclaims")) return;
    const { spec, metadata } = attributes.object as PersistentVolumeClaim;
    if (spec === undefined || spec.storageClassName !== undefined) return;
    if (metadata.annotations?.["volume.beta.kubernetes.io/storage-class"] !== undefined) return;
    const found = newestDefault(cluster.list(StorageClasses), "storageclass.kubernetes.io/is-default-class");
    if (found !== undefined) spec.storageClassName = found;
  },
};

/** DefaultIngressClass: the same for Ingresses. */
export const defaultIngressClass: Plugin = {
  name: "DefaultIngressClass",
  mutate(attributes, cluster) {
    if (attributes.operation !== "CREATE" || !isFor(attributes, "ingresses", "networking.k8s.io")) return;
    const ingress = attributes.object as Ingress;
    if (ingress.spec?.ingressClassName !== undefined) return;
    if (ingress.metadata.annotations?.["kubernetes.io/ingress.class"] !== undefined) return;
    const found = newestDefault(cluster.list(IngressClasses), "ingressclass.kubernetes.io/is-default-class");
    if (found !== undefined) ingress.spec = { ...ingress.spec, ingressClassName: found };
  },
};

function newestDefault(classes: KubernetesObject[], annotation: string): string | undefined {
  const time = ({ metadata }: KubernetesObject) => metadata.creationTimestamp ?? "";
  const isDefault = ({ metadata }: KubernetesObject) => metadata.annotations?.[annotation] === "true";
  return classes.filter(isDefault).sort((a, b) => (time(a) < time(b) ? 1 : time(a) > time(b) ? -1 : 0))[0]?.metadata
    .name;
}

/** PersistentVolumeClaimResize: a claim grows only when its class says that it may. */
export const persistentVolumeClaimResize: Plugin = {
  name: "PersistentVolumeClaimResize",
  validate(attributes, cluster) {
    if (attributes.operation !== "UPDATE" || !isFor(attributes, "persistentvolumeclaims")) return;
    const [next, old] = [attributes.object, attributes.oldObject] as PersistentVolumeClaim[];
    const size = (claim: PersistentVolumeClaim) =>
      quantityToNumber(claim.spec?.resources?.requests?.["storage"] ?? "0");
    if (old!.status?.phase !== "Bound" || size(next!) <= size(old!)) return;
    const name = next!.spec?.storageClassName ?? "";
    if (name !== "" && cluster.get(StorageClasses, { name })?.allowVolumeExpansion) return;
    const text =
      "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
    throw forbidden(attributes.resource, attributes.name, text);
  },
};
