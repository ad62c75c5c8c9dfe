import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { StartError } from "../../base/process.ts";

/** Where the files of one lab are. All below `dir`, except sockets, whose paths must be short. */
export const labPaths = (dir: string) => ({
  dir,
  labFile: join(dir, "lab.json"),
  /** Leads to the sockets of the lab while it runs: where they are depends on who started it. */
  run: join(dir, "run"),
  certs: join(dir, "certs"),
  kubeconfig: join(dir, "kubeconfig"),
  members: join(dir, "members"),
  nodes: join(dir, "nodes"),
  logs: join(dir, "logs"),
});
export type LabPaths = ReturnType<typeof labPaths>;

/** `~/.kubelab`: one folder a lab, named after it. */
export const labsHome = (): string => join(homedir(), ".kubelab");

/** Sockets of the lab in slot L: gone with the machine's uptime, and private to the user. */
export function runtimeDir(slot: number): string {
  const uid = process.getuid?.() ?? 0;
  if (uid === 0) return `/run/kubelab/${slot}`;
  const own = process.env["XDG_RUNTIME_DIR"];
  if (own !== undefined && own !== "" && existsSync(own)) return checked(join(own, "kubelab", String(slot)));
  return `/tmp/kubelab-${uid}/${slot}`;
}

const socket = (slot: number, name: string) => checked(join(runtimeDir(slot), name));
export const controlSocket = (slot: number): string => socket(slot, "supervisor.sock");
/** The CRI socket of a node's runtime. */
export const runtimeSocket = (slot: number, node: string): string => socket(slot, `${node}.sock`);
/** Where a process of ours takes faults: `node-1/agent` -> `faults/node-1-agent`. */
export const faultSocket = (slot: number, process: string): string =>
  socket(slot, `faults/${process.replace("/", "-")}`);

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
export const runtimeRoot = (paths: LabPaths, node: string): string => join(paths.nodes, node, "runtime");

/** Log file of a process: `node-1/agent` -> `logs/node-1/agent.log`. */
export const logFile = (paths: LabPaths, process: string): string => join(paths.logs, `${process}.log`);
