import type { TokenRequest } from "../../api/generated/authentication-v1.ts";
import type { Node, Pod } from "../../api/generated/core-v1.ts";
import { Pods } from "../../api/generated/resources.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { forbidden, notFound } from "../../apimachinery/status.ts";
import { nodeName } from "../authz/node.ts";
import type { Attributes, Plugin } from "./chain.ts";
import type { Cluster } from "./cluster.ts";

/**
 * NodeRestriction: of what the Node authorizer lets a node write, only its own: the Node and Lease of its name, and the
 * status of, and the end of, Pods that are bound to it. Its taints are others' to set, and labels that steer Pods.
 */
export const nodeRestriction: Plugin = {
  name: "NodeRestriction",
  mutate({ operation, resource, subresource, namespace, name, user, object, oldObject }, cluster) {
    const node = nodeName(user);
    if (node === undefined) return;
    const refuse = (message: string) => forbidden(resource, name, message);
    const who = `node ${JSON.stringify(node)}`;
    if (resource.resource === "nodes" && operation !== "CONNECT" && (name || object!.metadata.name) !== node)
      throw refuse(`${who} is not allowed to modify node ${JSON.stringify(name || object!.metadata.name)}`);
    if (resource.resource === "nodes" && operation === "UPDATE" && !sameJson(taintsOf(object), taintsOf(oldObject)))
      throw refuse(`${who} is not allowed to modify taints`);
    if (resource.resource === "nodes" && (operation === "CREATE" || operation === "UPDATE")) {
      const labels = forbiddenLabels(object!.metadata.labels, oldObject?.metadata.labels).join(", ");
      const what = operation === "CREATE" ? "set the following labels" : "modify labels";
      if (labels !== "") throw refuse(`is not allowed to ${what}: ${labels}`);
    }
    if (resource.resource === "leases" && operation === "CREATE" && object!.metadata.name !== node)
      throw refuse("can only access node lease with the same name as the requesting node");
    if (resource.group !== "" || resource.resource !== "pods") return;
    if (operation === "CREATE" && subresource === "" && !object!.metadata.annotations?.["kubernetes.io/config.mirror"])
      throw refuse(`pod does not have "kubernetes.io/config.mirror" annotation, ${who} can only create mirror pods`);
    const isSelf = (pod: unknown) => (pod as Pod | undefined)?.spec?.nodeName === node;
    if (operation === "CREATE" && subresource === "" && !isSelf(object))
      throw refuse(`${who} can only create pods with spec.nodeName set to itself`);
    if (operation === "CREATE" && subresource === "eviction" && !isSelf(cluster.get(Pods, { namespace, name })))
      throw refuse(`${who} can only evict pods with spec.nodeName set to itself`);
    const bound = isSelf(oldObject);
    if (operation === "DELETE" && !bound) throw refuse(`${who} can only delete pods with spec.nodeName set to itself`);
    if (subresource === "status" && !bound)
      throw refuse(`${who} can only update pod status for pods with spec.nodeName set to itself`);
  },
  validate(attributes, cluster) {
    const node = nodeName(attributes.user);
    if (node === undefined || attributes.resource.resource !== "serviceaccounts" || attributes.subresource !== "token")
      return;
    return checkToken(attributes, node, cluster);
  },
};

const taintsOf = (node: unknown) => (node as Node).spec?.taints ?? [];

/** What changed of Kubernetes' own labels but those that kubelets set; and all that are kept for isolating nodes. */
function forbiddenLabels(labels: Record<string, string> = {}, old: Record<string, string> = {}): string[] {
  const changed = Object.keys({ ...labels, ...old }).filter((key) => labels[key] !== old[key]);
  return changed
    .filter((key) => {
      const domain = key.includes("/") ? key.slice(0, key.indexOf("/")) : "";
      if (/(^|\.)node-restriction\.kubernetes\.io$/.test(domain)) return true;
      if (!/(^|\.)(kubernetes|k8s)\.io$/.test(domain)) return false;
      return !/(^|\.)(kubelet|node)\.kubernetes\.io$/.test(domain) && !kubeletLabels.test(key);
    })
    .sort();
}

const kubeletLabels =
  /^(kubernetes\.io\/(hostname|os|arch)|beta\.kubernetes\.io\/(os|arch|instance-type)|topology\.kubernetes\.io\/(zone|region)|failure-domain\.beta\.kubernetes\.io\/(zone|region))$/;

/** A node may have tokens for its Pods, each for one of them. */
async function checkToken({ resource, namespace, name, object }: Attributes, node: string, cluster: Cluster) {
  const refuse = (message: string) => forbidden(resource, name, message);
  const { kind, apiVersion, name: pod = "", uid } = (object as TokenRequest).spec?.boundObjectRef ?? {};
  if (kind !== "Pod" || apiVersion !== "v1" || pod === "") throw refuse("node requested token not bound to a pod");
  if (!uid) throw refuse("node requested token with a pod binding without a uid");
  const found: Pod | undefined = await cluster.live(Pods, { namespace, name: pod });
  if (found === undefined) throw notFound(Pods, pod);
  if (found.metadata.uid === uid && found.spec?.nodeName !== node)
    throw refuse("node requested token bound to a pod scheduled on a different node");
}
