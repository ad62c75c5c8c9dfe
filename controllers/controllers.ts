import { setMaxListeners } from "node:events";
import { certificatesController, type SigningOptions } from "./certificates/controller.ts";
import { clusterRoleAggregationController } from "./clusterroleaggregation/controller.ts";
import type { ControllerContext } from "./context.ts";
import { deploymentController } from "./deployment/controller.ts";
import { endpointsController } from "./endpoints/controller.ts";
import { endpointSliceController } from "./endpointslice/controller.ts";
import { garbageCollector } from "./garbagecollector/controller.ts";
import { namespaceController } from "./namespace/controller.ts";
import { type NodeIpamOptions, nodeIpamController } from "./nodeipam/controller.ts";
import { type NodeLifecycleOptions, nodeLifecycleController } from "./nodelifecycle/controller.ts";
import { podGcController } from "./podgc/controller.ts";
import { replicaSetController } from "./replicaset/controller.ts";
import { resourceQuotaController } from "./resourcequota/controller.ts";
import { serviceAccountController } from "./serviceaccount/controller.ts";
import { taintEvictionController } from "./tainteviction/controller.ts";
import { volumeProtectionControllers } from "./volumeprotection/controller.ts";

export interface ControllerOptions extends NodeIpamOptions, NodeLifecycleOptions, SigningOptions {
  rootCa: string;
}

/** Runs all controllers until `signal` aborts. A row here is all that a new one needs. */
export async function startControllers(
  context: ControllerContext,
  options: ControllerOptions,
  signal: AbortSignal,
  onSynced: () => void = () => {},
): Promise<void> {
  setMaxListeners(0, signal); // each informer, queue and call listens
  const nodeLifecycle = nodeLifecycleController(context, options);
  const controllers = [
    replicaSetController(context),
    deploymentController(context),
    endpointSliceController(context),
    endpointsController(context),
    nodeIpamController(context, options),
    nodeLifecycle,
    taintEvictionController(context),
    podGcController(context),
    namespaceController(context),
    resourceQuotaController(context),
    serviceAccountController(context, options.rootCa),
    clusterRoleAggregationController(context),
    certificatesController(context, options),
    ...volumeProtectionControllers(context),
    garbageCollector(context),
  ];
  const { synced, ended } = context.startInformers(signal);
  const aborted = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  await Promise.race([synced, ended, aborted]);
  if (!signal.aborted) onSynced();
  nodeLifecycle.monitor(signal);
  await Promise.all([ended, ...controllers.map((controller) => controller.run(signal))]);
}
