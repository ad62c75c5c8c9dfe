import { tolerates } from "../../api/core/taints.ts";
import type { Pod, Taint } from "../../api/generated/core-v1.ts";
import { type FilterPlugin, normalize, type ScorePlugin } from "../plugin.ts";

/** Nodes that are not ready, out of memory, or set apart carry taints; so this is also the filter on readiness. */
export const taintToleration: FilterPlugin = (pod, { node }) => {
  const repels = ({ effect }: Taint) => effect === "NoSchedule" || effect === "NoExecute";
  const taint = node.spec?.taints?.find((candidate) => repels(candidate) && !isTolerated(pod, candidate));
  if (taint === undefined) return undefined;
  return { reasons: [`node(s) had untolerated taint {${taint.key}: ${taint.value ?? ""}}`], unresolvable: true };
};

/** Fewer untolerated PreferNoSchedule taints are better. */
export const preferNoSchedule: ScorePlugin = {
  weight: 3,
  score(pod, nodes) {
    const counts = nodes.map(({ node }) => {
      const taints = (node.spec?.taints ?? []).filter(({ effect }) => effect === "PreferNoSchedule");
      return taints.filter((taint) => !isTolerated(pod, taint)).length;
    });
    return normalize(counts, true);
  },
};

function isTolerated({ spec }: Pod, taint: Taint): boolean {
  return spec.tolerations?.some((toleration) => tolerates(toleration, taint)) ?? false;
}
