import { APIServices, CustomResourceDefinitions, Namespaces, Pods } from "../../api/generated/resources.ts";
import type { KubernetesObject, ResourceType } from "../../apimachinery/object.ts";
import { ignoring, isConflict, isNotFound, StatusError } from "../../apimachinery/status.ts";
import { keyOf } from "../../client/store.ts";
import type { ControllerContext } from "../context.ts";
import { customType, namespacedContents } from "../kinds.ts";
import type { Runner } from "../runner.ts";
import { type Action, type Remaining, reconcile, type State } from "./reconcile.ts";

export function namespaceController(context: ControllerContext): Runner<State, Action> {
  const { client, clock } = context;
  const namespaces = context.informer(Namespaces);
  const pods = context.informer(Pods);
  const remaining = new Map<string, Remaining>();
  const fresh = new Set<string>();

  const runner = context.runner<State, Action>({
    name: "namespace",
    gather(key) {
      const namespace = namespaces.store.get(key);
      if (namespace?.metadata.deletionTimestamp === undefined) {
        remaining.delete(key);
        return undefined;
      }
      return { namespace, remaining: remaining.get(key), isFresh: fresh.delete(key), nowMs: clock.now() };
    },
    reconcile,
    async execute(action, { namespace }, signal) {
      const { name } = namespace.metadata;
      switch (action.type) {
        case "DeleteContents":
          remaining.set(name, await deleteContents(name, signal));
          fresh.add(name);
          queue.add(name);
          return;
        case "UpdateConditions": {
          const updated = { ...namespace, status: { ...namespace.status, conditions: action.conditions } };
          writes.wrote(name, namespaces, await client.update(Namespaces, updated, { subresource: "status", signal }));
          fresh.add(name); // its event brings the key back
          return;
        }
        case "Finalize": {
          const updated = { ...namespace, spec: { ...namespace.spec, finalizers: action.finalizers } };
          await client.update(Namespaces, updated, { subresource: "finalize", signal });
          return;
        }
      }
    },
  });
  const { queue, writes } = runner;

  /** What is defined now, asked for each time: namespaces seldom go. */
  async function customTypes(signal: AbortSignal): Promise<ResourceType<KubernetesObject>[]> {
    const { items } = await client.list(CustomResourceDefinitions, { signal });
    return items.map(customType).filter((type) => type?.namespaced) as ResourceType<KubernetesObject>[];
  }

  /** Of what other servers serve. Those that cannot be asked hold the namespace, as upstream: nobody knows what is there. */
  async function remoteTypes(signal: AbortSignal, failed: string[]): Promise<ResourceType<KubernetesObject>[]> {
    const { items } = await client.list(APIServices, { signal });
    const remote = items.filter(({ spec }) => spec.service);
    const lists = remote.map(async ({ spec: { group = "", version = "" } }) => {
      const discovery = { group, version, resource: "", kind: "APIResourceList", namespaced: false };
      try {
        const { resources } = (await client.get(discovery, { name: "" }, { signal })) as never as APIResourceList;
        return resources
          .filter(({ name, namespaced, verbs }) => namespaced && !name.includes("/") && verbs.includes("delete"))
          .map(({ name, kind }) => ({ group, version, resource: name, kind, namespaced: true }));
      } catch (error) {
        if (signal.aborted) throw error; // else whatever it is: what another server says may be anything
        failed.push(`${group}/${version}`);
        return [];
      }
    });
    return (await Promise.all(lists)).flat();
  }

  async function deleteContents(namespace: string, signal: AbortSignal): Promise<Remaining> {
    const left = {
      resources: new Map<string, number>(),
      finalizers: new Map<string, number>(),
      errors: [] as string[],
      undiscovered: [] as string[],
    };
    // Pods take longest, and go on their own: what would make new ones goes first.
    const all = [
      ...namespacedContents,
      ...(await customTypes(signal)),
      ...(await remoteTypes(signal, left.undiscovered)),
    ];
    const ordered = all.sort((a, b) => Number(a.resource === "pods") - Number(b.resource === "pods"));
    for (const type of ordered) {
      const name = `${type.resource}.${type.group}`;
      try {
        const { items } = await client.list(type, { namespace, signal });
        await Promise.all(items.map((item) => deleteOne(type, item, signal)));
        if (items.length === 0) continue;
        const after = (await client.list(type, { namespace, signal })).items;
        if (after.length > 0) left.resources.set(name, after.length);
        for (const finalizer of after.flatMap(({ metadata }) => metadata.finalizers ?? []))
          left.finalizers.set(finalizer, (left.finalizers.get(finalizer) ?? 0) + 1);
      } catch (error) {
        if (!(error instanceof StatusError) || error.code >= 500) throw error;
        left.errors.push(`${name}: ${error.message}`);
      }
    }
    return left;
  }

  async function deleteOne(
    type: ResourceType<KubernetesObject>,
    { metadata }: KubernetesObject,
    signal: AbortSignal,
  ): Promise<void> {
    if (metadata.deletionTimestamp !== undefined) return;
    const options = { propagationPolicy: "Background", preconditions: { uid: metadata.uid! }, signal } as const;
    await client.delete(type, metadata, options).catch(ignoring(isNotFound, isConflict));
  }

  namespaces.on((namespace) => queue.add(keyOf(namespace)));
  pods.on({
    onDelete({ metadata }) {
      if (namespaces.store.get(metadata.namespace!)?.metadata.deletionTimestamp !== undefined)
        queue.add(metadata.namespace!);
    },
  });
  return runner;
}

interface APIResourceList {
  resources: { name: string; kind: string; namespaced: boolean; verbs: string[] }[];
}
