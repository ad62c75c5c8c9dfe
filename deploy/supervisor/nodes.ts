import type { KubernetesObject, ResourceType } from "../../apimachinery/object.ts";
import { type Clock, sleep } from "../../base/clock.ts";
import type { Client } from "../../client/types.ts";

interface Node extends KubernetesObject {
  spec?: { podCIDR?: string };
  status?: { conditions?: { type: string; status: string }[] };
}

/** Only what is looked at here. */
const nodes: ResourceType<Node> = { group: "", version: "v1", resource: "nodes", kind: "Node", namespaced: false };

export interface NodesWatch {
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

/** Follows the Ready condition and the Pod range of all nodes until `signal` aborts; begins again whenever the apiserver is gone. */
export function watchNodes(client: Client, clock: Clock, signal: AbortSignal, observer: NodesObserver): NodesWatch {
  const ready = new Map<string, boolean>();
  let connected = false;
  const cidrs = new Map<string, string>();
  const see = ({ metadata: { name }, spec, status }: Node) => {
    set(name, isReady(status));
    if (spec?.podCIDR && cidrs.get(name) !== spec.podCIDR) {
      cidrs.set(name, spec.podCIDR);
      observer.onPodCidr(name, spec.podCIDR);
    }
  };
  const set = (name: string, is: boolean) => {
    const was = ready.get(name) ?? false;
    ready.set(name, is);
    if (was !== is) observer.onReady(name, is);
  };
  const follow = async () => {
    const list = await client.list(nodes, { signal, timeoutMs: 2000 });
    connected = true;
    observer.onConnected();
    const present = new Set(list.items.map(({ metadata }) => metadata.name));
    for (const name of ready.keys()) if (!present.has(name)) set(name, false);
    for (const node of list.items) see(node);
    for await (const events of client.watch(nodes, { resourceVersion: list.resourceVersion, signal })) {
      for (const event of events) {
        if (event.type === "DELETED") set(event.object.metadata.name, false);
        else if (event.type !== "BOOKMARK") see(event.object);
      }
    }
  };
  const run = async () => {
    while (!signal.aborted) {
      await follow().catch(() => {}); // not up yet, or gone: try again
      connected = false;
      await sleep(clock, retryMs, signal);
    }
  };
  void run();
  return {
    ready: (name) => ready.get(name) ?? false,
    get connected() {
      return connected;
    },
  };
}

const retryMs = 50;

function isReady(status: Node["status"]): boolean {
  return status?.conditions?.some((condition) => condition.type === "Ready" && condition.status === "True") ?? false;
}
