import { ConfigMaps, Namespaces, ServiceAccounts } from "../../api/generated/resources.ts";
import { ignoring, isAlreadyExists } from "../../apimachinery/status.ts";
import type { ControllerContext } from "../context.ts";
import type { Runner } from "../runner.ts";
import { type Action, configMapName, reconcile, type State, serviceAccountName } from "./reconcile.ts";

export function serviceAccountController(context: ControllerContext, rootCa: string): Runner<State, Action> {
  const { client } = context;
  const namespaces = context.informer(Namespaces);
  const serviceAccounts = context.informer(ServiceAccounts);
  const configMaps = context.informer(ConfigMaps);

  const runner = context.runner<State, Action>({
    name: "serviceaccount",
    gather(key) {
      const namespace = namespaces.store.get(key);
      return (
        namespace && {
          namespace,
          serviceAccount: serviceAccounts.store.get(`${key}/${serviceAccountName}`),
          configMap: configMaps.store.get(`${key}/${configMapName}`),
          rootCa,
        }
      );
    },
    reconcile,
    async execute(action, _state, signal) {
      if (action.type === "CreateServiceAccount")
        await client.create(ServiceAccounts, action.serviceAccount, { signal }).catch(ignoring(isAlreadyExists));
      else if (action.type === "CreateConfigMap")
        await client.create(ConfigMaps, action.configMap, { signal }).catch(ignoring(isAlreadyExists));
      else await client.update(ConfigMaps, action.configMap, { signal });
    },
  });
  const { queue } = runner;
  namespaces.on(({ metadata }) => queue.add(metadata.name));
  serviceAccounts.on({
    onDelete: ({ metadata }) => metadata.name === serviceAccountName && queue.add(metadata.namespace!),
  });
  configMaps.on({
    onUpdate: (_, { metadata }) => metadata.name === configMapName && queue.add(metadata.namespace!),
    onDelete: ({ metadata }) => metadata.name === configMapName && queue.add(metadata.namespace!),
  });
  return runner;
}
