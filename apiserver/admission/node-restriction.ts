import type { Pod } from "../../api/generated/core-v1.ts";
import { forbidden } from "../../apimachinery/status.ts";
import { nodeName } from "../authz/node.ts";
import type { Plugin } from "./chain.ts";

/**
 * NodeRestriction: of what the Node authorizer lets a node write, only its own: the Node and Lease of its name, and the
 * status of, and the end of, Pods that are bound to it.
 */
export const nodeRestriction: Plugin = {
  name: "NodeRestriction",
  mutate({ operation, resource, subresource, name, user, object, oldObject }) {
    const node = nodeName(user);
    if (node === undefined) return;
    const refuse = (message: string) => forbidden(resource, name, message);
    const who = `node ${JSON.stringify(node)}`;
    if (resource.resource === "nodes" && operation !== "CONNECT" && (name || object!.metadata.name) !== node)
      throw refuse(`${who} is not allowed to modify node ${JSON.stringify(name || object!.metadata.name)}`);
    if (resource.resource === "leases" && operation === "CREATE" && object!.metadata.name !== node)
      throw refuse("can only access node lease with the same name as the requesting node");
    if (resource.group !== "" || resource.resource !== "pods") return;
    if (operation === "CREATE" && subresource === "" && !object!.metadata.annotations?.["kubernetes.io/config.mirror"])
      throw refuse(`pod does not have "kubernetes.io/config.mirror" annotation, ${who} can only create mirror pods`);
    const bound = (oldObject as Pod | undefined)?.spec?.nodeName === node;
    if (operation === "DELETE" && !bound) throw refuse(`${who} can only delete pods with spec.nodeName set to itself`);
    if (subresource === "status" && !bound)
      throw refuse(`${who} can only update pod status for pods with spec.nodeName set to itself`);
  },
};
