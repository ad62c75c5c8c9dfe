import type { Pod } from "../api/generated/core-v1.ts";
import type { Informer } from "../client/informer.ts";
import { controllerOf } from "./ownership.ts";

export interface PodsByController {
  controlledBy(uid: string): Pod[];
  /** Of one namespace; these may be adopted. */
  withoutController(namespace: string): Pod[];
}

export function podsByController(pods: Informer<Pod>): PodsByController {
  const index = pods.store.index((pod) => [controllerOf(pod)?.uid ?? orphansOf(pod.metadata.namespace!)]);
  return { controlledBy: index, withoutController: (namespace) => index(orphansOf(namespace)) };
}

/** No uid has a slash. */
function orphansOf(namespace: string): string {
  return `${namespace}/`;
}
