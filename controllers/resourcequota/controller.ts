import { isPodTerminal } from "../../api/core/pod-status.ts";
import { countsFor } from "../../api/core/quota-usage.ts";
import type { Pod } from "../../api/generated/core-v1.ts";
import { Pods, ResourceQuotas } from "../../api/generated/resources.ts";
import type { KubernetesObject, ResourceType } from "../../apimachinery/object.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { ignoring, isConflict } from "../../apimachinery/status.ts";
import { keyOf } from "../../client/store.ts";
import type { ControllerContext } from "../context.ts";
import { collectable } from "../kinds.ts";
import type { Runner } from "../runner.ts";
import { type Action, reconcile, type State } from "./reconcile.ts";

/** Counts what the controllers follow anyway. */
export function resourceQuotaController(context: ControllerContext): Runner<State, Action> {
  const { client, clock } = context;
  const quotas = context.informer(ResourceQuotas);
  const quotasIn = quotas.store.index(({ metadata }) => [metadata.namespace!]);
  const followed = collectable.filter(({ namespaced }) => namespaced);
  const kinds = followed.map((kind) => {
    const informer = context.informer(kind);
    return { kind, informer, within: informer.store.index(({ metadata }) => [metadata.namespace ?? ""]) };
  });

  const runner = context.runner<State, Action>({
    name: "resourcequota",
    gather(key) {
      const quota = quotas.store.get(key);
      if (quota === undefined) return undefined;
      const names = Object.keys(quota.spec?.hard ?? {});
      const counted = kinds.filter(({ kind }) => names.some((name) => countsFor(kind, name)));
      const objects = counted.flatMap(({ kind, within }) =>
        Array.from(within(quota.metadata.namespace!), (object) => ({ kind, object })),
      );
      return { quota, objects, nowMs: clock.now() };
    },
    reconcile,
    async execute({ status }, { quota }, signal) {
      const update = client.update(ResourceQuotas, { ...quota, status }, { subresource: "status", signal });
      // In conflict: admission has reserved something since. What it was for may not be in our caches yet.
      if (!(await update.catch(ignoring(isConflict)))) queue.addAfter(keyOf(quota), settleMs);
    },
  });
  const { queue } = runner;

  /** Something may have become free. What is added was reserved when it was admitted. */
  function released(kind: ResourceType<KubernetesObject>, { metadata }: KubernetesObject): void {
    for (const quota of quotasIn(metadata.namespace ?? ""))
      if (Object.keys(quota.spec?.hard ?? {}).some((name) => countsFor(kind, name))) queue.add(keyOf(quota));
  }

  quotas.on({
    onAdd: (quota) => queue.add(keyOf(quota)),
    onUpdate: (old, quota) => !sameJson(old.spec, quota.spec) && queue.add(keyOf(quota)),
  });
  for (const { kind, informer } of kinds) {
    informer.on({ onDelete: (object) => released(kind, object) });
    if (kind.group === "" && kind.resource === Pods.resource)
      informer.on({
        onUpdate(old, pod) {
          if (isPodTerminal(pod as Pod) && !isPodTerminal(old as Pod)) released(kind, pod);
        },
      });
    else if (kind.group === "" && /^(services|persistentvolumeclaims)$/.test(kind.resource))
      informer.on({ onUpdate: (_, object) => released(kind, object) });
  }
  return runner;
}

const settleMs = 1000;
