import { Nodes } from "../../api/generated/resources.ts";
import type { Cidr } from "../../base/cidr.ts";
import type { ControllerContext } from "../context.ts";
import type { Runner } from "../runner.ts";
import { type Action, reconcile, type State } from "./reconcile.ts";

export interface NodeIpamOptions {
  clusterCidr: Cidr;
  nodeCidrMaskSize: number;
  reserved: readonly Cidr[];
}

/** All nodes are one key: two decided on at the same time could get the same range. */
const key = "nodes";

export function nodeIpamController(context: ControllerContext, options: NodeIpamOptions): Runner<State, Action> {
  const { client } = context;
  const nodes = context.informer(Nodes);
  const events = context.recorder("cidrAllocator");

  const runner = context.runner<State, Action>({
    name: "nodeipam",
    gather: () => ({ nodes: nodes.store.list(), ...options }),
    reconcile,
    async execute(action, _state, signal) {
      const { metadata } = action.node;
      if (action.type === "ReportExhausted") {
        const text = `Node ${metadata.name} status is now: CIDRNotAvailable`;
        return events.event(Nodes, action.node, "Normal", "CIDRNotAvailable", text);
      }
      const { uid } = metadata;
      const body = { metadata: { uid }, spec: { podCIDR: action.cidr, podCIDRs: [action.cidr] } };
      writes.wrote(key, nodes, await client.patch(Nodes, metadata, { type: "merge", body }, { signal }));
    },
  });
  const { queue, writes } = runner;
  nodes.on({
    onAdd: () => queue.add(key),
    onUpdate(old, node) {
      // Our own patch brings the key back, so that nodes which came meanwhile are seen.
      if (!node.spec?.podCIDR || old.spec?.podCIDR !== node.spec.podCIDR) queue.add(key);
    },
    onDelete: () => queue.add(key),
  });
  return runner;
}
