import type { Pod, Toleration } from "../../api/generated/core-v1.ts";
import type { Plugin } from "./chain.ts";

/**
 * DefaultTolerationSeconds: a Pod that says nothing about nodes that are not ready or unreachable stays on one for so
 * many seconds before it is evicted.
 */
export function defaultTolerationSeconds(seconds: { notReady: number; unreachable: number }): Plugin {
  const defaults: [string, number][] = [
    ["node.kubernetes.io/not-ready", seconds.notReady],
    ["node.kubernetes.io/unreachable", seconds.unreachable],
  ];
  return ({ verb, resource, subresource, object }) => {
    if (resource.group !== "" || resource.resource !== "pods" || subresource !== "") return;
    if (verb !== "create" && verb !== "update") return;
    const { spec } = object as Pod;
    if (spec === undefined) return;
    const given = spec.tolerations ?? [];
    const added = defaults
      .filter(([key]) => !given.some((toleration) => covers(toleration, key)))
      .map(
        ([key, tolerationSeconds]): Toleration => ({ key, operator: "Exists", effect: "NoExecute", tolerationSeconds }),
      );
    if (added.length > 0) spec.tolerations = [...given, ...added];
  };
}

function covers({ key, effect }: Toleration, taint: string): boolean {
  return (!key || key === taint) && (!effect || effect === "NoExecute");
}
