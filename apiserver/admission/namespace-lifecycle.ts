import type { Namespace } from "../../api/generated/core-v1.ts";
import { forbidden, notFound } from "../../apimachinery/status.ts";
import type { Plugin } from "./chain.ts";

/**
 * NamespaceLifecycle: nothing is created in a Namespace that does not exist or is being deleted, and the three that the
 * system needs are never deleted. Controllers look for the cause NamespaceTerminating.
 */
export const namespaceLifecycle: Plugin = ({ verb, resource, subresource, namespace, name, object }, lookup) => {
  if (resource.group === "" && resource.resource === "namespaces") {
    if (verb === "delete" && immortal.has(name)) throw forbidden(resource, name, "this namespace may not be deleted");
    return;
  }
  if (verb !== "create" || subresource !== "" || !resource.namespaced) return;
  const found = lookup.namespace(namespace) as Namespace | undefined;
  if (found === undefined) throw notFound({ group: "", resource: "namespaces" }, namespace);
  if (found.metadata.deletionTimestamp === undefined && found.status?.phase !== "Terminating") return;
  const message = `unable to create new content in namespace ${namespace} because it is being terminated`;
  const error = forbidden(resource, name || (object?.metadata.generateName ?? ""), message);
  error.status.details!.causes = [
    {
      reason: "NamespaceTerminating",
      message: `namespace ${namespace} is being terminated`,
      field: "metadata.namespace",
    },
  ];
  throw error;
};

const immortal = new Set(["default", "kube-system", "kube-public"]);
