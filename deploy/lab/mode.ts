import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { attempt } from "../../base/attempt.ts";
import { StartError } from "../../base/process.ts";
import type { Mode } from "./lab-file.ts";

/**
 * What this machine allows, found out by doing it once: an own user (unless root), network, mount and process namespace
 * with a bridge and a veth pair inside. Reading switches first would lie: Ubuntu lets a bare `unshare -U` succeed and
 * then denies everything in it.
 */
export interface ModeChoice {
  mode: Mode;
  /** One line for people: why this mode, and for `host` how to get the better one. */
  reason: string;
}

/** The arguments of `unshare` that make a lab's namespaces: one code path for root and everyone else. */
export function unshareFlags(): string[] {
  const user = process.getuid?.() === 0 ? [] : ["-U", "-r"];
  return [...user, "-n", "-m", "--propagation", "private", "-p", "-f", "--kill-child", "--mount-proc"];
}

export async function chooseMode(asked: Mode | undefined): Promise<ModeChoice> {
  if (process.platform !== "linux") throw new StartError(`kubelab runs on Linux; this is ${process.platform}`);
  if (asked === "host") return { mode: "host", reason: "as asked with --mode host" };
  const failure = await probe();
  if (failure === undefined) {
    const who = process.getuid?.() === 0 ? "as root" : "in a user namespace";
    return { mode: "netns", reason: `network and process namespaces of its own, ${who}` };
  }
  const reason = explain(failure, readSwitch);
  if (asked === "netns") throw new StartError(`mode netns is not possible here: ${reason}`);
  return { mode: "host", reason };
}

export interface ProbeFailure {
  /** The program that is not installed, or else what the attempt said. */
  missing?: string;
  message: string;
}

const trial = "ip link add t0 type veth peer name t1 && ip link add b0 type bridge && nsenter -V && mount -V";

function probe(): Promise<ProbeFailure | undefined> {
  return new Promise((resolve) => {
    const child = spawn("unshare", [...unshareFlags(), "sh", "-c", trial], { stdio: ["ignore", "ignore", "pipe"] });
    let said = "";
    child.stderr.on("data", (bytes: Buffer) => (said += bytes));
    child.on("error", () => resolve({ missing: "unshare", message: "unshare: not found" }));
    child.on("close", (code) => {
      const missing = /(\w+): (?:command )?not found/.exec(said)?.[1];
      const message = said.trim().split("\n").at(-1) || `unshare ended with ${code}`;
      resolve(code === 0 ? undefined : { ...(missing && { missing }), message });
    });
  });
}

const packages: Record<string, string> = {
  ip: "iproute2",
  unshare: "util-linux",
  nsenter: "util-linux",
  mount: "mount",
};

/** Switches below /proc/sys that forbid it, and what cures that; in the order in which distributions use them. */
const switches: [path: string, off: string, reason: string][] = [
  [
    "kernel/apparmor_restrict_unprivileged_userns",
    "1",
    "AppArmor denies user namespaces to ordinary users: run with sudo, or `sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`",
  ],
  [
    "kernel/unprivileged_userns_clone",
    "0",
    "user namespaces are off for ordinary users: run with sudo, or `sudo sysctl -w kernel.unprivileged_userns_clone=1`",
  ],
  ["user/max_user_namespaces", "0", "user namespaces are off: `sudo sysctl -w user.max_user_namespaces=15000`"],
];

/** Why the attempt failed and what cures it. */
export function explain(failure: ProbeFailure, read: (path: string) => string | undefined): string {
  if (failure.missing) {
    return `\`${failure.missing}\` is missing: install the package ${packages[failure.missing] ?? failure.missing}`;
  }
  const found = switches.find(([path, off]) => read(`/proc/sys/${path}`) === off);
  if (found) return found[2];
  return (
    `namespaces are denied (${failure.message}); inside a container, ` +
    "allow them with `--privileged` or a seccomp profile that permits unshare"
  );
}

const readSwitch = (path: string) => attempt(() => readFileSync(path, "utf8").trim());
