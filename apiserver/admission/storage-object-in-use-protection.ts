import type { Plugin } from "./chain.ts";

/** Which finalizer keeps an object for as long as it is in use; `controllers/volumeprotection` takes it off. */
const finalizers: Record<string, string> = {
  "/persistentvolumes": "kubernetes.io/pv-protection",
  "/persistentvolumeclaims": "kubernetes.io/pvc-protection",
};

export const storageObjectInUseProtection: Plugin = {
  name: "StorageObjectInUseProtection",
  mutate({ operation, subresource, resource, object }) {
    const finalizer = finalizers[`${resource.group}/${resource.resource}`];
    if (operation !== "CREATE" || subresource !== "" || finalizer === undefined) return;
    const { metadata } = object!;
    if (!metadata.finalizers?.includes(finalizer)) metadata.finalizers = [...(metadata.finalizers ?? []), finalizer];
  },
};
