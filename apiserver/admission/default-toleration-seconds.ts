import type { Pod, Toleration } from "../../api/generated/core-v1.ts";
import { isFor, type Plugin } from "./chain.ts";

/**
 * DefaultTolerationSeconds: a Pod that says nothing about nodes that are not ready or unreachable stays on one for so
 * many seconds before it is evicted.
 */
export function defaultTolerationSeconds(seconds: { notReady: number; unreachable: number }): Plugin {
  const defaults: [string, number][] = [
    ["node.kubernetes.io/not-ready", seconds.notReady],
    ["node.kubernetes.io/unreachable", seconds.unreachable],
  ];
  return {
    name: "DefaultTolerationSeconds",
    mutate(attributes) {
      const { operation, object } = attributes;
      if (!isFor(attributes, "pods") || (operation !== "CREATE" && operation !== "UPDATE")) return false;
      const { spec } = object as Pod;
      if (spec === undefined) return false;
      const given = spec.tolerations ?? [];
      const added = defaults
        .filter(([key]) => !given.some((toleration) => covers(toleration, key)))
        .map(([key, tolerationSeconds]): Toleration => {
          return { key, operator: "Exists", effect: "NoExecute", tolerationSeconds };
        });
      if (added.length > 0) spec.tolerations = [...given, ...added];
      return false; // nothing hangs on tolerations
    },
  };
}

function covers({ key, effect }: Toleration, taint: string): boolean {
  return (!key || key === taint) && (!effect || effect === "NoExecute");
}
