import type { ConfigMap, Namespace, ServiceAccount } from "../../api/generated/core-v1.ts";

export interface State {
  namespace: Namespace;
  /** Its `default` account. */
  serviceAccount: ServiceAccount | undefined;
  configMap: ConfigMap | undefined;
  /** The cluster's authority, PEM. */
  rootCa: string;
}

export type Action =
  | { type: "CreateServiceAccount"; serviceAccount: ServiceAccount }
  | { type: "CreateConfigMap" | "UpdateConfigMap"; configMap: ConfigMap };

export const serviceAccountName = "default";
export const configMapName = "kube-root-ca.crt";

/** What Pods of every namespace find there: an account to run as, and the authority to check the apiserver by. */
export function reconcile({ namespace, serviceAccount, configMap, rootCa }: State): Action[] {
  if (namespace.metadata.deletionTimestamp !== undefined) return [];
  const actions: Action[] = [];
  const metadata = (name: string) => ({ name, namespace: namespace.metadata.name });
  if (serviceAccount === undefined) {
    const created = { apiVersion: "v1", kind: "ServiceAccount", metadata: metadata(serviceAccountName) };
    actions.push({ type: "CreateServiceAccount", serviceAccount: created });
  }
  const data = { "ca.crt": rootCa };
  if (configMap === undefined) {
    const named = { ...metadata(configMapName), annotations: { "kubernetes.io/description": description } };
    const created = { apiVersion: "v1", kind: "ConfigMap", metadata: named, data };
    actions.push({ type: "CreateConfigMap", configMap: created });
  } else if (configMap.data?.["ca.crt"] !== rootCa) {
    actions.push({ type: "UpdateConfigMap", configMap: { ...configMap, data } });
  }
  return actions;
}

/** Differs: upstream's sentence names the same use in other words. */
const description = "Authority of the apiserver's certificate, for Pods that connect to it by its internal names.";
