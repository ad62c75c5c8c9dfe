import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { type PodRoute, routeCommands } from "./routes.ts";

/** Marks our routes, so that a restarted agent finds those of the last run (rtnetlink: values above 4 are free). */
const protocol = 112;

/** Makes the kernel's routes to Pods in this network namespace what `wanted` says. One caller at a time. */
export async function applyRoutes(wanted: readonly PodRoute[]): Promise<string[]> {
  const commands = routeCommands(await listRoutes(), wanted, protocol);
  if (commands.length > 0) await ipBatch(commands);
  return commands;
}

export async function listRoutes(): Promise<PodRoute[]> {
  const { stdout } = await promisify(execFile)("ip", ["-j", "route", "show", "proto", String(protocol)]);
  const routes = JSON.parse(stdout || "[]") as { type?: string; dst: string; gateway?: string }[];
  return routes.map(({ dst, gateway }) => ({ range: dst, ...(gateway !== undefined && { via: gateway }) }));
}

async function ipBatch(commands: readonly string[]): Promise<void> {
  const batch = promisify(execFile)("ip", ["-force", "-batch", "-"]);
  batch.child.stdin!.end(`${commands.join("\n")}\n`);
  await batch.catch(({ stderr, message }: Error & { stderr?: string }) => {
    throw new Error(`ip -batch: ${stderr?.trim() || message}`);
  });
}
