import { Endpoints, Services } from "../../api/generated/resources.ts";
import { keyOf } from "../../client/store.ts";
import { writeOwn } from "../batch.ts";
import type { ControllerContext } from "../context.ts";
import type { Runner } from "../runner.ts";
import { watchServices } from "../service-pods.ts";
import { type Action, managedBy, managedByLabel, reconcile, type State } from "./reconcile.ts";

export function endpointsController(context: ControllerContext): Runner<State, Action> {
  const services = context.informer(Services);
  const endpoints = context.informer(Endpoints);
  const runner: Runner<State, Action> = context.runner({
    name: "endpoints",
    gather(key) {
      const service = services.store.get(key);
      const existing = endpoints.store.get(key);
      if (service === undefined) {
        // What others have made is not ours to delete.
        const isOurs = existing?.metadata.labels?.[managedByLabel] === managedBy;
        return isOurs ? { service, pods: [], endpoints: existing } : undefined;
      }
      if (service.spec?.selector === undefined) return undefined;
      return { service, pods: podsOf(service), endpoints: existing };
    },
    reconcile,
    execute: ({ type, endpoints: object }, _state, signal) => writeOwn(type, own, keyOf(object), object, signal),
  });
  const { queue, writes } = runner;
  const own = { client: context.client, informer: endpoints, writes };
  const podsOf = watchServices(context, (key) => queue.add(key));
  endpoints.on((object) => queue.add(keyOf(object))); // may be left over from a Service deleted while nobody watched
  return runner;
}
