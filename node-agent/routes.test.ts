import assert from "node:assert/strict";
import { describe, test } from "vitest";
import type { Node } from "../api/generated/core-v1.ts";
import { type PodRoute, podRoutes, routeCommands } from "./routes.ts";

const node = (name: string, podCIDR?: string, address?: string): Node => ({
  metadata: { name },
  spec: { ...(podCIDR && { podCIDR, podCIDRs: [podCIDR] }) },
  status: { ...(address && { addresses: [{ type: "InternalIP" as const, address }] }) },
});

test("the other nodes' ranges lie behind their addresses, the own one is a blackhole", () => {
  const nodes = [
    node("n1", "10.244.1.0/24", "192.168.77.1"),
    node("n2", "10.244.2.0/24", "192.168.77.2"),
    node("no-range-yet", undefined, "192.168.77.3"),
    node("no-address-yet", "10.244.4.0/24"),
    node("hostile", "10.244.5.0/24", "192.168.77.5\nlink del eth0"),
    node("other-family", "10.244.6.0/24", "fd00::6"),
  ];
  assert.deepEqual(podRoutes(nodes, "n1"), [
    { range: "10.244.1.0/24" },
    { range: "10.244.2.0/24", via: "192.168.77.2" },
  ]);
});

describe("routeCommands", () => {
  const own: PodRoute = { range: "10.244.1.0/24" };
  const other: PodRoute = { range: "10.244.2.0/24", via: "192.168.77.2" };
  const rows: [string, PodRoute[], PodRoute[], string[]][] = [
    ["a new node's route is added", [own], [own, other], ["route replace 10.244.2.0/24 via 192.168.77.2 proto 112"]],
    ["a route that is there is left alone", [own, other], [own, other], []],
    [
      "a node that is gone takes its route along",
      [own, other],
      [own],
      ["route del 10.244.2.0/24 via 192.168.77.2 proto 112"],
    ],
    [
      "a range that changes from another node's to ours",
      [{ range: "10.244.1.0/24", via: "192.168.77.9" }],
      [own],
      ["route del 10.244.1.0/24 via 192.168.77.9 proto 112", "route replace blackhole 10.244.1.0/24 proto 112"],
    ],
  ];
  test.each(rows)("%s", (_, there, wanted, expected) => {
    assert.deepEqual(routeCommands(there, wanted, 112), expected);
  });
});
