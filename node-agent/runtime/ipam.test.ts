import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { allocate, parsePodCidr } from "./ipam.ts";

describe("allocate", () => {
  const cidr = parsePodCidr("10.244.3.0/29")!; // .2 to .6
  const all = [2, 3, 4, 5, 6].map((n) => `10.244.3.${n}`);
  const rows: [title: string, used: string[], previous: string | undefined, want: string | undefined][] = [
    ["begins behind the network address and the first one", [], undefined, "10.244.3.2"],
    ["goes on behind the latest, also when lower ones are free again", [], "10.244.3.3", "10.244.3.4"],
    ["goes round behind the last one", ["10.244.3.2"], "10.244.3.6", "10.244.3.3"],
    ["skips what is used", ["10.244.3.4", "10.244.3.5"], "10.244.3.3", "10.244.3.6"],
    [
      "gives the latest again when it is the only one free",
      all.filter((ip) => !ip.endsWith(".4")),
      "10.244.3.4",
      "10.244.3.4",
    ],
    ["begins anew when the latest is of another range", [], "10.244.9.77", "10.244.3.2"],
    ["has nothing when all are used", all, "10.244.3.4", undefined],
  ];
  test.each(rows)("%s", (_title, used, previous, want) => {
    assert.equal(allocate(cidr, new Set(used), previous), want);
  });

  test("a /24 has 253 addresses: not .0, .1 and .255", () => {
    const wide = parsePodCidr("127.100.1.0/24")!;
    const used = new Set<string>();
    let latest: string | undefined;
    for (;;) {
      const ip = allocate(wide, used, latest);
      if (ip === undefined) break;
      used.add(ip);
      latest = ip;
    }
    assert.equal(used.size, 253);
    for (const last of [0, 1, 255]) assert.ok(!used.has(`127.100.1.${last}`));
  });
});

test.each([
  ["10.244.1.77/24", "10.244.1.0/24"],
  ["10.244.0.0/16", "10.244.0.0/16"],
  ["10.244.1.0", undefined],
  ["10.244.1.0/30", undefined],
  ["10.244.256.0/24", undefined],
  ["10.244.1/24", undefined],
  ["10.244.1.0/24/8", undefined],
  ["fd00::/64", undefined],
  ["", undefined],
])("parsePodCidr(%s) is %s", (text, want) => {
  assert.equal(parsePodCidr(text)?.text, want);
});
