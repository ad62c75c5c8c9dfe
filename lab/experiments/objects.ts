import { ConfigMaps, Deployments, Nodes, Pods, ReplicaSets } from "../../api/generated/resources.ts";
import type { KubernetesObject, ResourceType } from "../../apimachinery/object.ts";
import { type Clock, sleep } from "../../base/clock.ts";
import type { Client } from "../../client/types.ts";
import { isRollingUpdate, maxSurge, maxUnavailable } from "../../controllers/deployment/sizes.ts";
import type { ObjectEvent, SeenObject } from "./run.ts";

/** Follows what the checkers of Kubernetes' promises and the steps of a node's failover need; each watch begins with a list. */
export class ObjectWatches {
  readonly events: ObjectEvent[] = [];
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>[] = [];
  readonly #begun: Promise<void>[] = [];

  constructor(client: Client, clock: Clock) {
    this.#client = client;
    this.#clock = clock;
  }

  /** Resolves when each has its first list. */
  async followWorkloads(): Promise<void> {
    for (const type of [Deployments, ReplicaSets, Nodes, Pods])
      this.#follow(type as ResourceType<KubernetesObject>, type.resource, undefined);
    await Promise.all(this.#begun);
  }

  /** `count` watches of one namespace's ConfigMaps, which clients write. */
  followConfigMaps(namespace: string, count: number): void {
    for (let i = 1; i <= count; i++) this.#follow(ConfigMaps, `configmaps#${i}`, namespace);
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#running);
  }

  #follow<T extends KubernetesObject>(type: ResourceType<T>, watch: string, namespace: string | undefined): void {
    this.#begun.push(
      new Promise((begun) => this.#running.push(this.#run(type, watch, namespace ? { namespace } : {}, begun))),
    );
  }

  async #run<T extends KubernetesObject>(
    type: ResourceType<T>,
    watch: string,
    scope: { namespace?: string },
    begun: () => void,
  ): Promise<void> {
    const { signal } = this.#stop;
    let resourceVersion: string | undefined;
    const note = (what: ObjectEvent["type"], version: string, object?: KubernetesObject) => {
      const atMs = this.#clock.monotonic();
      const event: ObjectEvent = { atMs, watch, type: what, resourceVersion: Number(version) };
      this.events.push(object ? { ...event, object: seen(type.kind, object) } : event);
      if (what !== "listed") resourceVersion = version;
    };
    while (!signal.aborted) {
      try {
        if (resourceVersion === undefined) {
          const list = await this.#client.list(type, { ...scope, signal, timeoutMs: 2000 });
          for (const object of list.items) note("listed", object.metadata.resourceVersion!, object);
          note("open", list.resourceVersion);
          begun();
        }
        for await (const events of this.#client.watch(type, { ...scope, resourceVersion: resourceVersion!, signal }))
          for (const event of events) {
            if (event.type === "BOOKMARK") note("BOOKMARK", event.resourceVersion);
            else note(event.type, event.object.metadata.resourceVersion!, event.object);
          }
      } catch (error) {
        if ((error as { code?: number }).code === 410) resourceVersion = undefined; // too old: from a new list
      }
      await sleep(this.#clock, retryMs, signal);
    }
  }
}

const retryMs = 50;

interface Loose {
  spec?: { nodeName?: string; replicas?: number };
  status?: { phase?: string; conditions?: { type: string; status: string }[] };
}

export function seen(kind: string, object: KubernetesObject): SeenObject {
  const { namespace, name, uid, ownerReferences, deletionTimestamp } = object.metadata;
  const { spec, status } = object as Loose;
  const owner = ownerReferences?.find(({ controller }) => controller)?.uid;
  const ready = status?.conditions?.find(({ type }) => type === "Ready")?.status === "True";
  const deployment = object as Parameters<typeof maxSurge>[0];
  return {
    kind,
    name: namespace ? `${namespace}/${name}` : name,
    uid: uid!,
    ...(owner && { owner }),
    ...(deletionTimestamp && { terminating: true }),
    ...((kind === "Pod" || kind === "Node") && { ready }),
    ...(kind === "Pod" && spec?.nodeName && { node: spec.nodeName }),
    ...(kind === "Pod" && status?.phase && { phase: status.phase }),
    ...(kind === "ReplicaSet" && { replicas: spec?.replicas ?? 1 }),
    ...(kind === "Deployment" && {
      replicas: spec?.replicas ?? 1,
      surge: maxSurge(deployment),
      unavailable: isRollingUpdate(deployment) ? maxUnavailable(deployment) : (spec?.replicas ?? 1),
    }),
  };
}
