import type { Namespace } from "../../api/generated/core-v1.ts";
import { Namespaces } from "../../api/generated/resources.ts";
import { forbidden, notFound } from "../../apimachinery/status.ts";
import type { Attributes, Plugin } from "./chain.ts";

/**
 * NamespaceLifecycle: nothing is created in a Namespace that does not exist or is being deleted, and the three that the
 * system needs are never deleted. Controllers look for the cause NamespaceTerminating.
 */
export const namespaceLifecycle: Plugin = {
  name: "NamespaceLifecycle",
  mutate(attributes, cluster) {
    const { operation, resource, subresource, namespace, name } = attributes;
    if (resource.group === "" && resource.resource === "namespaces") {
      if (operation === "DELETE" && immortal.has(name))
        throw forbidden(resource, name, "this namespace may not be deleted");
      return false;
    }
    if (operation !== "CREATE" || subresource !== "" || !resource.namespaced || isAccessReview(attributes))
      return false;
    const found = cluster.get(Namespaces, { name: namespace });
    if (found !== undefined) return check(attributes, found);
    // It may have been made a moment ago.
    return cluster.live(Namespaces, { name: namespace }).then((live) => check(attributes, live));
  },
};

function check({ resource, namespace, name, object }: Attributes, found: Namespace | undefined): false {
  if (found === undefined) throw notFound(Namespaces, namespace);
  if (found.metadata.deletionTimestamp === undefined && found.status?.phase !== "Terminating") return false;
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
}

/** A question about what may be done in a Namespace needs none to be there. */
const isAccessReview = ({ resource }: Attributes) =>
  resource.group === "authorization.k8s.io" && resource.resource === "localsubjectaccessreviews";

const immortal = new Set(["default", "kube-system", "kube-public"]);
