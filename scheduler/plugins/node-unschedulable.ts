import { tolerates } from "../../api/core/taints.ts";
import type { FilterPlugin } from "../plugin.ts";

/** Cordoned nodes. A Pod may tolerate that by the taint of the same meaning. */
export const nodeUnschedulable: FilterPlugin = ({ spec }, { node }) => {
  if (!node.spec?.unschedulable) return undefined;
  const taint = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" } as const;
  if (spec.tolerations?.some((toleration) => tolerates(toleration, taint))) return undefined;
  return { reasons: ["node(s) were unschedulable"], unresolvable: true };
};
