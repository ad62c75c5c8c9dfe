import type { EndpointSlice } from "../../api/generated/discovery-v1.ts";
import { EndpointSlices, Nodes, Services } from "../../api/generated/resources.ts";
import { keyOf } from "../../client/store.ts";
import { writeOwn } from "../batch.ts";
import type { ControllerContext } from "../context.ts";
import type { Runner } from "../runner.ts";
import { watchServices } from "../service-pods.ts";
import { type Action, managedBy, managedByLabel, reconcile, type State, serviceNameLabel } from "./reconcile.ts";

const zoneLabel = "topology.kubernetes.io/zone";

/** Lists the Pods of each Service. Slices of a deleted Service go by garbage collection. */
export function endpointSliceController(context: ControllerContext): Runner<State, Action> {
  const services = context.informer(Services);
  const slices = context.informer(EndpointSlices);
  const nodes = context.informer(Nodes);
  const slicesOf = slices.store.index((slice) => (isOurs(slice) ? [serviceKey(slice)] : []));

  const runner: Runner<State, Action> = context.runner({
    name: "endpointslice",
    gather(key) {
      const service = services.store.get(key);
      if (service === undefined || service.metadata.deletionTimestamp !== undefined) return undefined;
      if (service.spec?.selector === undefined && slicesOf(key).length === 0) return undefined;
      const pods = podsOf(service);
      const zones = pods.flatMap(({ spec: { nodeName = "" } }): [string, string][] => {
        const zone = nodes.store.get(nodeName)?.metadata.labels?.[zoneLabel];
        return zone === undefined ? [] : [[nodeName, zone]];
      });
      return { service, pods, slices: slicesOf(key), zones: new Map(zones) };
    },
    reconcile,
    execute: ({ type, slice }, { service }, signal) => writeOwn(type, own, keyOf(service), slice, signal),
  });
  const { queue, writes } = runner;
  const own = { client: context.client, informer: slices, writes };
  const podsOf = watchServices(context, (key) => queue.add(key));
  // Also undoes what others do to our slices.
  slices.on((slice) => isOurs(slice) && queue.add(serviceKey(slice)));
  return runner;
}

function isOurs({ metadata }: EndpointSlice): boolean {
  return metadata.labels?.[managedByLabel] === managedBy && metadata.labels[serviceNameLabel] !== undefined;
}

function serviceKey({ metadata }: EndpointSlice): string {
  return `${metadata.namespace}/${metadata.labels![serviceNameLabel]}`;
}
