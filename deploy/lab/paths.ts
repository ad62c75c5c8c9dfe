import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { StartError } from "../../base/process.ts";

/** Where the files of one lab are. All below `dir`, except sockets, whose paths must be short. */
export interface LabPaths {
  dir: string;
  labFile: string;
  /** Leads to the sockets of the lab while it runs: where they are depends on who started it. */
  run: string;
  certs: string;
  kubeconfig: string;
  members: string;
  nodes: string;
  logs: string;
}

export function labPaths(dir: string): LabPaths {
  return {
    dir,
    labFile: join(dir, "lab.json"),
    run: join(dir, "run"),
    certs: join(dir, "certs"),
    kubeconfig: join(dir, "kubeconfig"),
    members: join(dir, "members"),
    nodes: join(dir, "nodes"),
    logs: join(dir, "logs"),
  };
}

/** `~/.kubelab`: one folder a lab, named after it. */
export function labsHome(): string {
  return join(homedir(), ".kubelab");
}

/** Sockets of the lab in slot L: gone with the machine's uptime, and private to the user. */
export function runtimeDir(slot: number): string {
  const uid = process.getuid?.() ?? 0;
  if (uid === 0) return `/run/kubelab/${slot}`;
  const own = process.env["XDG_RUNTIME_DIR"];
  if (own !== undefined && own !== "" && existsSync(own)) return checked(join(own, "kubelab", String(slot)));
  return `/tmp/kubelab-${uid}/${slot}`;
}

export function controlSocket(slot: number): string {
  return checked(join(runtimeDir(slot), "supervisor.sock"));
}

/** The CRI socket of a node's runtime. */
export function runtimeSocket(slot: number, node: string): string {
  return checked(join(runtimeDir(slot), `${node}.sock`));
}

/** Where a process of ours takes faults: `node-1/agent` -> `faults/node-1-agent`. */
export function faultSocket(slot: number, process: string): string {
  return checked(join(runtimeDir(slot), "faults", process.replace("/", "-")));
}

/** The kernel's `sun_path` holds 107 bytes and a zero; Node silently cuts longer paths, so they are refused here. */
export function checked(path: string): string {
  if (Buffer.byteLength(path) > 107) {
    throw new StartError(
      `unix socket path is longer than 107 bytes: ${path}; set XDG_RUNTIME_DIR to a shorter directory`,
    );
  }
  return path;
}

/** Where a node's runtime keeps its sandboxes and containers. */
export function runtimeRoot(paths: LabPaths, node: string): string {
  return join(paths.nodes, node, "runtime");
}

/** Log file of a process: `node-1/agent` -> `logs/node-1/agent.log`. */
export function logFile(paths: LabPaths, process: string): string {
  return join(paths.logs, `${process}.log`);
}
