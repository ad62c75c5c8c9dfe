import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join, resolve } from "node:path";
import { sleep, systemClock } from "../base/clock.ts";

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

export interface Usage {
  pssMb: number;
  cpuSeconds: number;
}

/** A process whose output goes to the end of `logFile`. That it does not start is seen as one that has ended. */
export class Child {
  readonly #child: ChildProcess;
  readonly #logFile: string;

  constructor([program, ...args]: readonly string[], logFile: string) {
    const log = openSync(logFile, "a");
    this.#child = spawn(program!, args, { stdio: ["ignore", log, log] });
    this.#logFile = logFile;
    closeSync(log);
    this.#child.on("error", () => {});
    this.#child.once("exit", () => children.delete(this.#child));
    children.add(this.#child);
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** Throws with the end of its log when it has ended by itself. */
  check(): void {
    if (this.#hasEnded) throw new Error(`a process has ended: ${readFileSync(this.#logFile, "utf8").slice(-1500)}`);
  }

  usage(): Usage {
    this.check();
    return usageOf(this.pid);
  }

  kill(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Resolves when it is gone; SIGKILL follows when it does not go within 20 s. */
  async end(name: NodeJS.Signals): Promise<void> {
    if (this.#hasEnded) return;
    const over = new Promise((done) => this.#child.once("exit", done));
    this.kill(name);
    const cancel = systemClock.after(20_000, () => this.kill("SIGKILL"));
    await over;
    cancel();
  }

  get #hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }
}

/** Ticks are hundredths of a second on every Linux that Node runs on. */
const ticksPerSecond = 100;

export function usageOf(pid: number): Usage {
  const pss = /^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1];
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /s, "");
  const [user, system] = stat.split(" ").slice(11).map(Number);
  return { pssMb: Number(pss) / 1024, cpuSeconds: (user! + system!) / ticksPerSecond };
}

/** Looks until `test` holds; the ms that took. Throws when that is longer than `limitMs`. */
export async function until(
  what: string,
  { limitMs, everyMs = 10, signal }: { limitMs: number; everyMs?: number; signal: AbortSignal },
  test: () => boolean | Promise<boolean>,
): Promise<number> {
  const began = systemClock.monotonic();
  while (!(await test())) {
    signal.throwIfAborted();
    if (systemClock.monotonic() - began > limitMs) throw new Error(`${what} did not happen within ${limitMs} ms`);
    await sleep(systemClock, everyMs, signal);
  }
  return systemClock.monotonic() - began;
}

/** Ports of 127.0.0.1 that were free a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => new Promise((done) => server.once("listening", done))));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}
