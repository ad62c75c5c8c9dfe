import assert from "node:assert/strict";
import { test } from "vitest";
import { LinuxContainerResources } from "../../proto/generated/runtime.v1.ts";
import { findHierarchies, limitFiles } from "./cgroup.ts";
import { parseMountinfo } from "./mountinfo.ts";

const resources = LinuxContainerResources.decode(
  LinuxContainerResources.encode({ cpuQuota: 50_000, cpuPeriod: 100_000, cpuShares: 512, memoryLimitInBytes: 2 ** 26 }),
);
const none = LinuxContainerResources.decode(new Uint8Array());

test.each([
  [
    "unified",
    resources,
    { "memory.max": "67108864", "memory.swap.max": "0", "cpu.max": "50000 100000", "cpu.weight": "20" },
  ],
  ["memory", resources, { "memory.limit_in_bytes": "67108864" }],
  ["cpu", resources, { "cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "50000", "cpu.shares": "512" }],
  ["unified", none, {}],
  ["memory", none, {}],
  ["cpu", none, {}],
] as const)("limits in hierarchy %s", (hierarchy, limits, want) => {
  assert.deepEqual(limitFiles(hierarchy, limits), want);
});

test.each([
  ["pure v2", "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", { unified: "/sys/fs/cgroup" }],
  [
    "v1 beside a unified hierarchy",
    "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
    { cpu: "/sys/fs/cgroup/cpu", memory: "/sys/fs/cgroup/memory", unified: "/sys/fs/cgroup/unified" },
  ],
  ["none", "1 1 0:1 / / rw - ext4 /dev/vda rw\n", {}],
])("hierarchies: %s", (_title, mountinfo, want) => {
  assert.deepEqual(findHierarchies(parseMountinfo(mountinfo)), want);
});
