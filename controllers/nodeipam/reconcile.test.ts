import { describe, expect, test } from "vitest";
import { formatCidr, overlap, parseCidr } from "../../base/cidr.ts";
import { node } from "../testing.ts";
import { reconcile } from "./reconcile.ts";

function assign(names: Record<string, string | undefined>, options: { cluster?: string; reserved?: string[] } = {}) {
  const { cluster = "10.244.0.0/16", reserved = [] } = options;
  const nodes = Object.entries(names).map(([name, podCIDR]) => ({
    ...node(name),
    spec: { ...(podCIDR && { podCIDR }) },
  }));
  const state = { nodes, clusterCidr: parseCidr(cluster), nodeCidrMaskSize: 24, reserved: reserved.map(parseCidr) };
  return reconcile(state).map((action) =>
    action.type === "AssignCidr"
      ? `${action.node.metadata.name} ${action.cidr}`
      : `none for ${action.node.metadata.name}`,
  );
}

describe("Pod ranges of nodes", () => {
  test("new nodes get the lowest free ranges, in order of their names", () => {
    expect(assign({ b: undefined, a: undefined, c: "10.244.1.0/24" })).toEqual(["a 10.244.0.0/24", "b 10.244.2.0/24"]);
  });

  test("a range that lies in a reserved one, or around it, is never given", () => {
    expect(assign({ a: undefined }, { reserved: ["10.244.0.0/23", "10.244.2.128/32"] })).toEqual(["a 10.244.3.0/24"]);
  });

  test("a node that has one keeps it", () => {
    expect(assign({ a: "10.244.7.0/24" })).toEqual([]);
  });

  test("a range of IPv6 that somebody gave a node is in nobody's way", () => {
    expect(assign({ a: undefined, b: "fd00:1::/64" })).toEqual(["a 10.244.0.0/24"]);
  });

  test("when none is left, that is said", () => {
    expect(assign({ a: undefined, b: undefined, c: undefined }, { cluster: "10.0.0.0/23" })).toEqual([
      "a 10.0.0.0/24",
      "b 10.0.1.0/24",
      "none for c",
    ]);
  });
});

describe("CIDR", () => {
  test.each(["0.0.0.0/0", "10.244.3.0/24", "255.255.255.255/32", "192.168.77.128/25"])(
    "%s reads as it prints",
    (text) => {
      expect(formatCidr(parseCidr(text))).toBe(text);
    },
  );

  test.each(["10.0.0.0", "10.0.0/8", "256.0.0.0/8", "10.0.0.0/33", "::/0", ""])("%j is refused", (text) => {
    expect(() => parseCidr(text)).toThrow(`invalid CIDR address: ${text}`);
  });

  test("ranges overlap when one holds the other, and only then", () => {
    const [whole, part, next] = ["10.0.0.0/23", "10.0.1.0/24", "10.0.2.0/24"].map(parseCidr);
    expect([overlap(whole!, part!), overlap(part!, whole!), overlap(whole!, next!)]).toEqual([true, true, false]);
  });
});
