import { podResources } from "../api/core/pod-resources.ts";
import type { Node, Pod } from "../api/generated/core-v1.ts";
import { parseQuantity } from "../apimachinery/quantity.ts";

/** A node and the Pods on it, those on the way included. */
export interface NodeInfo {
  node: Node;
  pods: readonly Pod[];
  /** By resource name; cpu in thousandths, all else in units. */
  allocatable: Amounts;
  requested: Amounts;
  /** The same, where Pods that ask for nothing count as asking for a little: else one node would get them all. */
  nonZeroRequested: Amounts;
}

export type Amounts = Readonly<Record<string, number>>;

/** What a Pod counts for in scores when it names no request (upstream's DefaultMilliCPURequest, DefaultMemoryRequest). */
const defaultRequests: Amounts = { cpu: 100, memory: 200 * 2 ** 20 };

export function nodeInfo(node: Node, pods: readonly Pod[]): NodeInfo {
  return {
    node,
    pods,
    allocatable: amounts(node.status?.allocatable),
    requested: pods.map(requestsOf).reduce(add, {}),
    nonZeroRequested: pods.map(nonZeroRequestsOf).reduce(add, {}),
  };
}

const known = new WeakMap<Pod, Amounts>();

/** What the Pod needs to be let in. */
export function requestsOf(pod: Pod): Amounts {
  const total = known.get(pod) ?? amounts(podResources(pod.spec, "requests"));
  known.set(pod, total);
  return total;
}

export function nonZeroRequestsOf(pod: Pod): Amounts {
  const defaults = pod.spec.containers.map(({ resources }) => ({
    cpu: resources?.requests?.["cpu"] === undefined ? defaultRequests["cpu"]! : 0,
    memory: resources?.requests?.["memory"] === undefined ? defaultRequests["memory"]! : 0,
  }));
  return defaults.reduce<Amounts>(add, requestsOf(pod));
}

function amounts(quantities: Record<string, string> | undefined): Amounts {
  return Object.fromEntries(
    Object.entries(quantities ?? {}).map(([name, text]) => {
      const { nano } = parseQuantity(text);
      const unit = name === "cpu" ? 1_000_000n : 1_000_000_000n;
      return [name, Number((nano + unit - 1n) / unit)];
    }),
  );
}

function add(a: Amounts, b: Amounts): Amounts {
  const result: Record<string, number> = { ...a };
  for (const [name, amount] of Object.entries(b)) result[name] = (result[name] ?? 0) + amount;
  return result;
}
