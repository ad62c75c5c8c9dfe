import type { Node } from "../../api/generated/core-v1.ts";
import type { Plugin } from "./chain.ts";

/** TaintNodesByCondition: a new Node takes no Pods until the node controller has seen it ready. */
export const taintNodesByCondition: Plugin = ({ verb, resource, subresource, object }) => {
  if (verb !== "create" || resource.group !== "" || resource.resource !== "nodes" || subresource !== "") return;
  const node = object as Node;
  node.spec ??= {};
  node.spec.taints ??= [];
  const { taints } = node.spec;
  if (!taints.some((taint) => taint.key === notReady && taint.effect === "NoSchedule"))
    taints.push({ key: notReady, effect: "NoSchedule" });
};

const notReady = "node.kubernetes.io/not-ready";
