import { type Amounts, addAmounts, countsFor, quotaIsFor, takesQuota, usageOf } from "../../api/core/quota-usage.ts";
import type { ResourceQuota } from "../../api/generated/core-v1.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import type { RequeueAfter } from "../runner.ts";

export interface State {
  quota: ResourceQuota;
  /** The Namespace's objects, of the kinds that the quota counts. */
  objects: readonly { kind: { group: string; resource: string }; object: KubernetesObject }[];
  nowMs: number;
}

export type Action = { type: "UpdateStatus"; status: NonNullable<ResourceQuota["status"]> };

/** Counts anew what a quota's objects take (pkg/controller/resourcequota); admission only ever adds. */
export function reconcile({ quota, objects, nowMs }: State): (Action | RequeueAfter)[] {
  const hard = quota.spec?.hard ?? {};
  const names = Object.keys(hard);
  let used: Amounts = Object.fromEntries(names.map((name) => [name, "0"]));
  for (const { kind, object } of objects) {
    if (!takesQuota(kind, object, nowMs) || !quotaIsFor({ ...quota, status: { hard } }, kind, object)) continue;
    const usage = Object.entries(usageOf(kind, object));
    used = addAmounts(
      used,
      Object.fromEntries(usage.filter(([name]) => hard[name] !== undefined && countsFor(kind, name))),
    );
  }
  const status = { hard, used };
  const again: RequeueAfter = { type: "RequeueAfter", ms: resyncMs };
  return sameJson(status, quota.status) ? [again] : [{ type: "UpdateStatus", status }, again];
}

/** As upstream's --resource-quota-sync-period: what nobody told of is found sooner or later. */
const resyncMs = 300_000;
