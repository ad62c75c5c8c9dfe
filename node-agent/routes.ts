import { isIP } from "node:net";
import type { Node } from "../api/generated/core-v1.ts";

/** A route of this node's kernel to a range of Pods; without `via` packets are dropped. */
export interface PodRoute {
  range: string;
  via?: string;
}

/**
 * Host-gw routing: the range of every other node lies behind that node's address. The own range is a blackhole: each
 * Pod has a more precise route, and packets to Pods that are gone must not wander between nodes. Pure.
 */
export function podRoutes(nodes: readonly Node[], self: string): PodRoute[] {
  const routes: PodRoute[] = [];
  for (const { metadata, spec, status } of nodes) {
    const via = status?.addresses?.find(({ type }) => type === "InternalIP")?.address;
    for (const range of spec?.podCIDRs ?? (spec?.podCIDR ? [spec.podCIDR] : [])) {
      if (metadata.name === self) routes.push({ range });
      // A node tells its address itself: what is none is no word to the others' `ip`.
      else if (via !== undefined && isIP(via) > 0 && isIP(via) === isIP(range.split("/")[0]!))
        routes.push({ range, via });
    }
  }
  return routes;
}

/** What has to be said to `ip -batch` so that the routes `there` become `wanted`. */
export function routeCommands(there: readonly PodRoute[], wanted: readonly PodRoute[], protocol: number): string[] {
  const same = (a: PodRoute, b: PodRoute) => a.range === b.range && a.via === b.via;
  const target = ({ range, via }: PodRoute) => (via === undefined ? `blackhole ${range}` : `${range} via ${via}`);
  // The kernel keeps a blackhole and a unicast route to one range side by side: old ones go first, by exact type.
  const gone = there.filter((route) => !wanted.some((other) => same(route, other)));
  const fresh = wanted.filter((route) => !there.some((other) => same(route, other)));
  return [
    ...gone.map((route) => `route del ${target(route)} proto ${protocol}`),
    ...fresh.map((route) => `route replace ${target(route)} proto ${protocol}`),
  ];
}
