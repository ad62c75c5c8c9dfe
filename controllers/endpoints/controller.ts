import { Endpoints, Services } from "../../api/generated/resources.ts";
import { OwnWrites } from "../../client/own-writes.ts";
import { keyOf } from "../../client/store.ts";
import { writeOwn } from "../batch.ts";
import type { ControllerContext } from "../context.ts";
import { Runner } from "../runner.ts";
import { watchServices } from "../service-pods.ts";
import { type Action, managedBy, managedByLabel, reconcile, type State } from "./reconcile.ts";

export function endpointsController(context: ControllerContext): Runner<State, Action> {
  const services = context.informer(Services);
  const endpoints = context.informer(Endpoints);
  const writes = new OwnWrites();
  const own = { client: context.client, type: Endpoints, informer: endpoints, writes };

  const runner = new Runner<State, Action>(
    {
      name: "endpoints",
      writes,
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
    },
    context,
  );
  const { queue } = runner;
  const podsOf = watchServices(context, (key) => queue.add(key));
  endpoints.on({
    onAdd: (object) => queue.add(keyOf(object)), // may be left over from a Service deleted while nobody watched
    onUpdate: (_, object) => queue.add(keyOf(object)),
    onDelete: (object) => queue.add(keyOf(object)),
  });
  return runner;
}
