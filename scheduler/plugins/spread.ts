import { isDeepStrictEqual } from "node:util";
import type { Pod } from "../../api/generated/core-v1.ts";
import { normalize, type ScorePlugin } from "../plugin.ts";

/**
 * Replicas of one workload on different nodes: the fewer siblings, the better. Siblings have the same controller, or, of
 * Pods without one, the same labels.
 * Differs: upstream's default topology spread takes the selectors of the Pod's Services and ReplicaSet, which come out as
 * the same set for all but unusual selectors; the controller's uid needs no look at either.
 */
export const spread: ScorePlugin = {
  weight: 2,
  score(pod, nodes) {
    return normalize(
      nodes.map(({ pods }) => pods.filter((other) => areSiblings(pod, other)).length),
      true,
    );
  },
};

function areSiblings(a: Pod, b: Pod): boolean {
  if (a.metadata.namespace !== b.metadata.namespace || b.metadata.deletionTimestamp !== undefined) return false;
  const owner = controllerUid(a);
  if (owner !== undefined) return owner === controllerUid(b);
  return a.metadata.labels !== undefined && isDeepStrictEqual(a.metadata.labels, b.metadata.labels);
}

function controllerUid({ metadata }: Pod): string | undefined {
  return metadata.ownerReferences?.find(({ controller }) => controller)?.uid;
}
