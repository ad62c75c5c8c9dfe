import * as kinds from "../api/generated/resources.ts";
import type { KubernetesObject, ResourceType } from "../apimachinery/object.ts";

const served: readonly ResourceType<KubernetesObject>[] = [
  kinds.Pods,
  kinds.Services,
  kinds.Endpoints,
  kinds.EndpointSlices,
  kinds.Nodes,
  kinds.Namespaces,
  kinds.ConfigMaps,
  kinds.Secrets,
  kinds.ServiceAccounts,
  kinds.Leases,
  kinds.Deployments,
  kinds.ReplicaSets,
  kinds.Events,
];

/** What garbage collection follows. Events are not: they are many, own nothing, and their time ends anyway. */
export const collectable = served.filter(({ resource }) => resource !== "events");

/** What goes with a namespace. */
export const namespacedContents = served.filter(({ namespaced }) => namespaced);
