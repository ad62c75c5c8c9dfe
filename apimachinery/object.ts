import type { ManagedFieldsEntry, OwnerReference } from "./generated/meta-v1.ts";

/** What every Kubernetes object has (API conventions, "Objects"), and resources as values. */
export interface ObjectMeta {
  name: string;
  generateName?: string;
  namespace?: string;
  uid?: string;
  resourceVersion?: string;
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  deletionGracePeriodSeconds?: number;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: OwnerReference[];
  finalizers?: string[];
  /** Who set which fields (server-side apply). */
  managedFields?: ManagedFieldsEntry[];
}

export type { ManagedFieldsEntry, OwnerReference };

export interface KubernetesObject {
  apiVersion?: string;
  kind?: string;
  metadata: ObjectMeta;
}

/** A resource and its kind, as a value: `Pods`, `Deployments`, ... are generated into api/generated/resources.ts. */
export interface ResourceType<T extends KubernetesObject> {
  group: string;
  version: string;
  resource: string;
  kind: string;
  namespaced: boolean;
  /** Carries the type only; always undefined. */
  readonly object?: T;
}

/** `v1`, `apps/v1` */
export function apiVersionOf({ group, version }: Pick<ResourceType<KubernetesObject>, "group" | "version">): string {
  return group === "" ? version : `${group}/${version}`;
}

export interface ObjectKey {
  namespace?: string | undefined;
  name: string;
}
