import { Leases, Nodes } from "../../api/generated/resources.ts";
import type { KubernetesObject, ResourceType } from "../../apimachinery/object.ts";
import { type Clock, sleep } from "../../base/clock.ts";
import type { Client } from "../../client/types.ts";

export interface NodesWatch {
  /** Its Ready condition is True, and its agent has renewed its Lease since this lab was started. */
  ready(name: string): boolean;
  /** True while the watch is up: what `ready` says is current. */
  readonly connected: boolean;
}

export interface NodesObserver {
  onConnected(): void;
  onReady(name: string, ready: boolean): void;
  /** The node's Pods live there. Told once, and again when it changes. */
  onPodCidr(name: string, cidr: string): void;
}

/**
 * Follows all nodes from `begin` until `signal` aborts; starts again whenever the apiserver is gone. The Lease counts,
 * because after a restart of the whole lab the store still says Ready of nodes that are only about to be.
 */
export function watchNodes(
  client: Client,
  clock: Clock,
  signal: AbortSignal,
  observer: NodesObserver,
  begin: Promise<unknown>,
): NodesWatch {
  const startedAt = clock.now();
  const conditions = new Map<string, boolean>();
  const renewed = new Set<string>();
  const told = new Map<string, boolean>();
  const cidrs = new Map<string, string>();
  const ready = (name: string) => (conditions.get(name) ?? false) && renewed.has(name);
  const tell = (name: string) => {
    if ((told.get(name) ?? false) === ready(name)) return;
    told.set(name, ready(name));
    observer.onReady(name, ready(name));
  };
  let connected = false;

  const follow = async <T extends KubernetesObject>(
    type: ResourceType<T>,
    scope: { namespace?: string },
    see: (object: T, deleted: boolean) => void,
    onConnected = () => {},
  ) => {
    await begin;
    while (!signal.aborted) {
      try {
        const { items, resourceVersion } = await client.list(type, { ...scope, signal, timeoutMs: 2000 });
        for (const object of items) see(object, false);
        onConnected();
        for await (const events of client.watch(type, { ...scope, resourceVersion, signal })) {
          for (const event of events) if (event.type !== "BOOKMARK") see(event.object, event.type === "DELETED");
        }
      } catch {} // not up yet, or gone: try again
      if (type.kind === Nodes.kind) connected = false;
      await sleep(clock, retryMs, signal);
    }
  };

  void follow(Leases, { namespace: "kube-node-lease" }, ({ metadata, spec }) => {
    if (Date.parse(spec?.renewTime ?? "") >= startedAt) renewed.add(metadata.name);
    tell(metadata.name);
  });
  const onConnected = () => {
    connected = true;
    observer.onConnected();
  };
  void follow(
    Nodes,
    {},
    ({ metadata: { name }, spec, status }, deleted) => {
      const condition = status?.conditions?.find(({ type }) => type === "Ready");
      conditions.set(name, !deleted && condition?.status === "True");
      tell(name);
      if (!spec?.podCIDR || cidrs.get(name) === spec.podCIDR) return;
      cidrs.set(name, spec.podCIDR);
      observer.onPodCidr(name, spec.podCIDR);
    },
    onConnected,
  );

  return {
    ready,
    get connected() {
      return connected;
    },
  };
}

const retryMs = 100;
