import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { join, resolve } from "node:path";
import { assert } from "../base/assert.ts";
import { systemClock } from "../base/clock.ts";

/** What a bench starts and leaves on disk: gone with this process, however it ends, unless by SIGKILL. */
export const scratch = resolve(".cache/bench");
const children = new Set<ChildProcess>();
const folders = new Set<string>();
process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
  for (const dir of folders) dropFolder(dir);
});

export function freshFolder(name: string): string {
  mkdirSync(scratch, { recursive: true });
  const dir = mkdtempSync(join(scratch, `${name.replaceAll(/\W+/g, "-")}-`));
  folders.add(dir);
  return dir;
}

/** Only those that `freshFolder` made. */
export function dropFolder(dir: string): void {
  if (folders.delete(dir)) rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
}

/** Output goes to the end of `logFile`. That it does not start is seen as a process that does not run. */
export function startProcess([program, ...args]: readonly string[], logFile: string): ChildProcess {
  const log = openSync(logFile, "a");
  const child = spawn(program!, args, { stdio: ["ignore", log, log] });
  closeSync(log);
  child.on("error", () => {});
  child.once("exit", () => children.delete(child));
  children.add(child);
  return child;
}

export function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}

/** Resolves when the process is gone; SIGKILL follows when it does not go within 20 s. */
export async function endProcess(child: ChildProcess, name: NodeJS.Signals): Promise<void> {
  if (hasEnded(child)) return;
  const over = new Promise((done) => child.once("exit", done));
  child.kill(name);
  const cancel = systemClock.after(20_000, () => child.kill("SIGKILL"));
  await over;
  cancel();
}

export function logTail(file: string): string {
  return existsSync(file) ? readFileSync(file, "utf8").slice(-1500) : "";
}

export interface Usage {
  pssMb: number;
  rssMb: number;
  cpuSeconds: number;
}

/** Ticks are hundredths of a second on every Linux that Node runs on. */
const ticksPerSecond = 100;

export function usageOf(pid: number): Usage {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const mb = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(rollup)?.[1]) / 1024;
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ");
  return { pssMb: mb("Pss"), rssMb: mb("Rss"), cpuSeconds: (Number(stat[11]) + Number(stat[12])) / ticksPerSecond };
}

/** Ports of 127.0.0.1 that were free a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => new Promise((done) => server.once("listening", done))));
  const ports = servers.map((server) => {
    const address = server.address();
    assert(address !== null && typeof address === "object", "a TCP server has a port");
    return address.port;
  });
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}
