import type { Node } from "../../api/generated/core-v1.ts";
import { isFor, type Plugin } from "./chain.ts";

/** TaintNodesByCondition: a new Node takes no Pods until the node controller has seen it ready. */
export const taintNodesByCondition: Plugin = {
  name: "TaintNodesByCondition",
  mutate(attributes) {
    if (attributes.operation !== "CREATE" || !isFor(attributes, "nodes")) return;
    const node = attributes.object as Node;
    node.spec ??= {};
    node.spec.taints ??= [];
    const { taints } = node.spec;
    if (!taints.some((taint) => taint.key === notReady && taint.effect === "NoSchedule"))
      taints.push({ key: notReady, effect: "NoSchedule" });
  },
};

const notReady = "node.kubernetes.io/not-ready";
