import type { Node } from "../../api/generated/core-v1.ts";
import { type Cidr, formatCidr, overlap, readCidr } from "../../base/cidr.ts";

export interface State {
  nodes: Node[];
  clusterCidr: Cidr;
  nodeCidrMaskSize: number;
  /** Never given to a node: other use of the network lies there. */
  reserved: readonly Cidr[];
}

export type Action = { type: "AssignCidr"; node: Node; cidr: string } | { type: "ReportExhausted"; node: Node };

/** Gives each node without a Pod range the lowest free one of the cluster's range, in order of the nodes' names. */
export function reconcile({ nodes, clusterCidr, nodeCidrMaskSize, reserved }: State): Action[] {
  // A range that is no IPv4 one was given by somebody else, and takes nothing of ours.
  const taken = [...reserved, ...nodes.flatMap(({ spec }) => readCidr(spec?.podCIDR ?? "") ?? [])];
  const size = 2 ** (32 - nodeCidrMaskSize);
  const end = clusterCidr.first + clusterCidr.size;
  let first = clusterCidr.first;
  const actions: Action[] = [];
  const waiting = nodes.filter(({ metadata, spec }) => !spec?.podCIDR && metadata.deletionTimestamp === undefined);
  for (const node of waiting.sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))) {
    while (first + size <= end && taken.some((other) => overlap(other, { first, size }))) first += size;
    if (first + size > end) {
      actions.push({ type: "ReportExhausted", node });
      continue;
    }
    actions.push({ type: "AssignCidr", node, cidr: formatCidr({ first, size }) });
    first += size;
  }
  return actions;
}
