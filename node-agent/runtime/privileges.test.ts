import assert from "node:assert/strict";
import { test } from "vitest";
import { Code, type GrpcError } from "../../net/grpc-error.ts";
import { LinuxContainerSecurityContext } from "../../proto/generated/runtime.v1.ts";
import type { Init } from "../../proto/wire.ts";
import { privilegeArgs } from "./privileges.ts";

const wholeMachine = "         0          0 4294967295\n";
const ordinaryUser = "         0       1000          1\n";
const args = (context: Init<LinuxContainerSecurityContext>, uidMap = wholeMachine) =>
  privilegeArgs(LinuxContainerSecurityContext.decode(LinuxContainerSecurityContext.encode(context)), uidMap).join(" ");

test("by default root of its own root, without what reaches the machine", () => {
  const kept = args({});
  assert.match(kept, /^--bounding-set=-all,.*\+net_bind_service/);
  assert.doesNotMatch(kept, /sys_admin|mknod|sys_ptrace|net_admin/);
});

test.each([
  [
    "drop ALL, add one",
    { capabilities: { dropCapabilities: ["ALL"], addCapabilities: ["CAP_NET_RAW"] } },
    "--bounding-set=-all,+net_raw --inh-caps=-all",
  ],
  ["add ALL", { capabilities: { addCapabilities: ["ALL"] } }, "--bounding-set=-all,+all --inh-caps=-all"],
  ["privileged keeps all", { privileged: true }, ""],
])("capabilities: %s", (_title, context, want) => {
  assert.equal(args(context), want);
});

test("another user, group and no new privileges", () => {
  const context = {
    runAsUser: { value: 1000 },
    runAsGroup: { value: 2000 },
    supplementalGroups: [3000],
    noNewPrivs: true,
  };
  assert.match(args(context), /^--reuid=1000 --regid=2000 --groups=3000 --no-new-privs /);
});

test("an ordinary user's namespace has no other user, and says so", () => {
  assert.throws(
    () => args({ runAsUser: { value: 1000 } }, ordinaryUser),
    (error: GrpcError) =>
      error.code === Code.FailedPrecondition && /cannot run as user or group 1000/.test(error.message),
  );
  assert.doesNotMatch(args({ runAsUser: { value: 0 } }, ordinaryUser), /reuid/);
});
