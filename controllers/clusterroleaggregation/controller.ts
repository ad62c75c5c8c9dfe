import { ClusterRoles } from "../../api/generated/resources.ts";
import type { ControllerContext } from "../context.ts";
import type { Runner } from "../runner.ts";
import { type Action, reconcile, type State } from "./reconcile.ts";

export function clusterRoleAggregationController(context: ControllerContext): Runner<State, Action> {
  const { client } = context;
  const clusterRoles = context.informer(ClusterRoles);
  const all = () => clusterRoles.store.list();
  const runner = context.runner<State, Action>({
    name: "clusterrole-aggregation",
    gather(key) {
      const clusterRole = clusterRoles.store.get(key);
      if (clusterRole?.aggregationRule === undefined) return undefined;
      return { clusterRole, others: all().sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1)) };
    },
    reconcile,
    async execute({ rules }, { clusterRole }, signal) {
      await client.update(ClusterRoles, { ...clusterRole, rules }, { signal });
    },
  });
  clusterRoles.on(() => {
    for (const { metadata, aggregationRule } of all()) if (aggregationRule) runner.queue.add(metadata.name);
  });
  return runner;
}
