import { StartError } from "../../base/process.ts";
import { oneLine, run } from "./run.ts";

/**
 * What this machine lets us do, found out by doing it once at start. Mode `netns` needs namespaces, mounts and veths;
 * without one of them it refuses to start and says which. The rest is optional, with one log line each.
 */
export interface Abilities {
  /** setpriv(1) is there: users and capabilities can be set. */
  setpriv: boolean;
  missing: string[];
}

export async function probeAbilities(mode: "netns" | "host"): Promise<Abilities> {
  if (mode === "host") return { setpriv: false, missing: ["isolation (mode host)", "volumes (mode host)"] };
  const isolate = ["--fork", "--pid", "--mount", "--uts", "--ipc", "--net", "--propagation", "private", "--kill-child"];
  const needed = Object.entries(required).map(async ([name, script]) => {
    const { ok, problem } = await run("unshare", [...isolate, "sh", "-c", script]);
    if (!ok)
      throw new StartError(
        `--mode=netns needs ${name}, which this process may not have: ${oneLine(problem)}. Start it as root, in a user namespace with its own network (unshare -Urnm), or with --mode=host.`,
      );
  });
  const [{ ok, problem }] = await Promise.all([run("setpriv", ["--bounding-set=-all", "true"]), ...needed]);
  return { setpriv: ok, missing: ok ? [] : [`users and capabilities of containers (${problem})`] };
}

const required: Record<string, string> = {
  "PID and mount namespaces": "mount -t proc proc /proc && mount -t tmpfs tmpfs /tmp && command -v pivot_root",
  "network namespaces and veth devices (iproute2)": "ip link add probe0 type veth peer name probe1",
};

/** Docker's default capabilities. Differs: no MKNOD, since no device cgroup guards what it could open. */
export const defaultCapabilities: readonly string[] = [
  ...["audit_write", "chown", "dac_override", "fowner", "fsetid", "kill", "net_bind_service", "net_raw"],
  ...["setfcap", "setgid", "setpcap", "setuid", "sys_chroot"],
];
