import { expect, test } from "vitest";
import { explain } from "./mode.ts";

const apparmor = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";
const clone = "/proc/sys/kernel/unprivileged_userns_clone";
const max = "/proc/sys/user/max_user_namespaces";
const denied = { message: "RTNETLINK answers: Operation not permitted" };

test.each([
  [
    "a missing program names its package",
    { missing: "ip", message: "sh: 1: ip: not found" },
    {},
    "install the package iproute2",
  ],
  [
    "AppArmor, as on Ubuntu 24.04",
    denied,
    { [apparmor]: "1", [clone]: "1" },
    "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
  ],
  ["an old Debian", denied, { [apparmor]: "0", [clone]: "0" }, "sysctl -w kernel.unprivileged_userns_clone=1"],
  ["an old Red Hat", denied, { [max]: "0" }, "sysctl -w user.max_user_namespaces=15000"],
  ["a container", denied, { [max]: "1000" }, "seccomp"],
])("why there are no namespaces: %s", (_, failure, switches: Record<string, string>, cure) => {
  expect(explain(failure, (path) => switches[path])).toContain(cure);
});
