import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "vitest";

/** Everything happens in a network namespace of its own; the machine's routes are never touched. */
const unshare = ["-Urn", "--kill-child", "-f"];
const possible = spawnSync("unshare", [...unshare, "ip", "link", "add", "t0", "type", "veth"]).status === 0;

test.skipIf(!possible)("routes follow the nodes, also those that an earlier agent left", () => {
  const script = `
    import { applyRoutes } from ${JSON.stringify(join(import.meta.dirname, "kernel-routes.ts"))};
    const steps = [
      [{ range: "10.244.1.0/24" }, { range: "10.244.2.0/24", via: "192.168.77.2" }],
      [{ range: "10.244.1.0/24" }, { range: "10.244.3.0/24", via: "192.168.77.3" }],
      [{ range: "10.244.1.0/24" }, { range: "10.244.3.0/24", via: "192.168.77.3" }],
      [{ range: "10.244.3.0/24" }],
    ];
    const said = [];
    for (const wanted of steps) said.push(await applyRoutes(wanted));
    console.log(JSON.stringify(said));
  `;
  const setUp = "ip link set lo up; ip link add eth0 type veth peer name sw; ip addr add 192.168.77.1/24 dev eth0;";
  const both = "ip link set eth0 up; ip link set sw up; ip route add 10.9.0.0/16 via 192.168.77.9;";
  const run = `${setUp} ${both} node --import tsx --input-type=module -e '${script}'; ip route show`;
  const output = execFileSync("unshare", [...unshare, "sh", "-ec", run], { encoding: "utf8" });
  const [said, ...routes] = output.trim().split("\n");
  assert.deepEqual(JSON.parse(said!), [
    ["route replace blackhole 10.244.1.0/24 proto 112", "route replace 10.244.2.0/24 via 192.168.77.2 proto 112"],
    ["route del 10.244.2.0/24 via 192.168.77.2 proto 112", "route replace 10.244.3.0/24 via 192.168.77.3 proto 112"],
    [],
    [
      "route del blackhole 10.244.1.0/24 proto 112",
      "route del 10.244.3.0/24 via 192.168.77.3 proto 112",
      "route replace blackhole 10.244.3.0/24 proto 112",
    ],
  ]);
  assert.deepEqual(
    routes
      .map((route) => route.trim())
      .filter((route) => route.includes("10."))
      .sort(),
    ["10.9.0.0/16 via 192.168.77.9 dev eth0", "blackhole 10.244.3.0/24 proto 112"],
    "other routes are left alone",
  );
});
