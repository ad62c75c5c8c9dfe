import type { ConfigMap, Secret } from "../api/generated/core-v1.ts";
import { ConfigMaps, Secrets } from "../api/generated/resources.ts";
import type { KubernetesObject, ResourceType } from "../apimachinery/object.ts";
import { ignoring, isNotFound } from "../apimachinery/status.ts";
import type { Client } from "../client/types.ts";

/** Names of ConfigMaps and Secrets in a Pod's namespace, each once. */
export interface References {
  configMaps: string[];
  secrets: string[];
}

export function namesOf(pairs: readonly (string | undefined)[][]): References {
  const [configMaps = [], secrets = []] = [0, 1].map((i) => [...new Set(pairs.flatMap((pair) => pair[i] || []))]);
  return { configMaps, secrets };
}

/** The ConfigMaps and Secrets of a namespace by name; those that do not exist are absent. */
export async function fetchReferences(
  client: Client,
  namespace: string,
  { configMaps, secrets }: References,
): Promise<{ configMaps: Map<string, ConfigMap>; secrets: Map<string, Secret> }> {
  const [maps, privates] = await Promise.all([
    fetchAll(client, ConfigMaps, namespace, configMaps),
    fetchAll(client, Secrets, namespace, secrets),
  ]);
  return { configMaps: maps, secrets: privates };
}

async function fetchAll<T extends KubernetesObject>(
  client: Client,
  type: ResourceType<T>,
  namespace: string,
  names: readonly string[],
): Promise<Map<string, T>> {
  const found = new Map<string, T>();
  await Promise.all(
    names.map(async (name) => {
      const object = await client.get(type, { namespace, name }).catch(ignoring(isNotFound));
      if (object) found.set(name, object);
    }),
  );
  return found;
}
