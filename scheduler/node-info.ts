import type { Container, Node, Pod } from "../api/generated/core-v1.ts";
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

/**
 * What the Pod needs to be let in: its containers run together; each init container runs alone, before them but beside
 * the sidecars (init containers that restart always) started ahead of it.
 */
export function requestsOf(pod: Pod): Amounts {
  const cached = known.get(pod);
  if (cached !== undefined) return cached;
  const { containers, initContainers = [], overhead } = pod.spec;
  let running = containers.map(containerRequests).reduce(add, {});
  let sidecars: Amounts = {};
  let starting: Amounts = {};
  for (const container of initContainers) {
    const requests = containerRequests(container);
    if (container.restartPolicy === "Always") {
      running = add(running, requests);
      sidecars = add(sidecars, requests);
      starting = max(starting, sidecars);
    } else {
      starting = max(starting, add(sidecars, requests));
    }
  }
  const total = add(max(running, starting), amounts(overhead));
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

function containerRequests({ resources }: Container): Amounts {
  return amounts(resources?.requests);
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
  return merge(a, b, (x, y) => x + y);
}

function max(a: Amounts, b: Amounts): Amounts {
  return merge(a, b, Math.max);
}

function merge(a: Amounts, b: Amounts, with_: (x: number, y: number) => number): Amounts {
  const result: Record<string, number> = { ...a };
  for (const [name, amount] of Object.entries(b)) result[name] = with_(result[name] ?? 0, amount);
  return result;
}
