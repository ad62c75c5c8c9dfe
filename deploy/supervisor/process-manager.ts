import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { dirname, join } from "node:path";
import { attempt } from "../../base/attempt.ts";
import { type Cancel, type Clock, sleep } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import type { OutsideRequest } from "../../base/outside.ts";
import { readText } from "../../base/read-text.ts";
import { parseStat } from "../../node-agent/runtime/proc.ts";
import type { ProcessSpec } from "../lab/processes.ts";
import { childOf, type World } from "../lab/world.ts";
import type { EventLog } from "./events.ts";
import { lastLine } from "./log-tail.ts";
import { serveOutsideRequests } from "./outside-listeners.ts";
import { afterEnd } from "./restart.ts";

/** What people and programs see of a process. */
export interface ProcessStatus {
  name: string;
  /** As numbered outside the lab; null when it does not run. */
  pid: number | null;
  /** `Waiting`: it died and comes back after a delay. `Down`: it stays so until `start`. */
  state: "Running" | "Stopped" | "Waiting" | "Down";
  restarts: number;
  /** How it ended last: `exit code 1`, `SIGKILL`. */
  lastExit: string | null;
  log: string;
}

export interface ProcessManagerOptions {
  world: World;
  dist: string;
  logFile: (process: string) => string;
  /** May a process listen on, or connect to, this outside address? */
  allowed: (type: OutsideRequest["type"], host: string, port: number) => boolean;
  restart: boolean;
  clock: Clock;
  events: EventLog;
  log: Logger;
  /** A process refused its flags or its surroundings (exit code 2): starting it again changes nothing. */
  onRefused: (process: string, message: string) => void;
}

interface Managed {
  spec: ProcessSpec;
  wanted: boolean;
  child: ChildProcess | undefined;
  startedAt: number;
  lastDelayMs: number;
  restarts: number;
  lastExit: string | null;
  cancelRestart: Cancel;
  /** Told when it has ended. */
  onEnd: (() => void)[];
}

/** Starts the processes of a lab, brings back those that die, and does what it is told to the others. */
export class ProcessManager {
  readonly #options: ProcessManagerOptions;
  readonly #processes = new Map<string, Managed>();

  constructor(options: ProcessManagerOptions) {
    this.#options = options;
  }

  add(spec: ProcessSpec): void {
    this.#processes.set(spec.name, {
      spec,
      wanted: false,
      child: undefined,
      startedAt: 0,
      lastDelayMs: 0,
      restarts: 0,
      lastExit: null,
      cancelRestart() {},
      onEnd: [],
    });
  }

  /** From its next start on. */
  addArgs(name: string, args: string[]): void {
    const managed = this.#processes.get(name)!;
    managed.spec = { ...managed.spec, args: [...managed.spec.args, ...args] };
  }

  /** Which network each process lives in. */
  places(): [process: string, place: string][] {
    return [...this.#processes.values()].map(({ spec }) => [spec.name, spec.place]);
  }

  status(): ProcessStatus[] {
    return [...this.#processes.values()].map((managed) => {
      const pid = this.#pidOf(managed);
      return {
        name: managed.spec.name,
        pid: pid ?? null,
        state: managed.child ? (pid && isStopped(pid) ? "Stopped" : "Running") : managed.wanted ? "Waiting" : "Down",
        restarts: managed.restarts,
        lastExit: managed.lastExit,
        log: this.#options.logFile(managed.spec.name),
      };
    });
  }

  /** Starts a process that is down or waiting; wakes a stopped one. */
  async start(name: string): Promise<void> {
    const managed = this.#processes.get(name)!;
    managed.wanted = true;
    if (managed.child) return this.#wake(managed);
    managed.cancelRestart();
    managed.lastDelayMs = 0;
    await this.#spawn(managed);
  }

  /** Sends a signal. One that ends the process keeps it down until `start`. Resolves when it has ended, or for others at once. */
  async kill(name: string, signal: NodeJS.Signals): Promise<void> {
    const managed = this.#processes.get(name)!;
    if (signal === "SIGCONT") return this.#wake(managed);
    if (!harmless.has(signal)) {
      managed.wanted = false;
      managed.cancelRestart();
    }
    const { child } = managed;
    const pid = await this.#untilForked(managed);
    if (pid === undefined || managed.child !== child) return;
    const ended = new Promise<void>((resolve) => managed.onEnd.push(resolve));
    tryKill(pid, signal);
    this.#options.events.add("Killed", name, `${signal} sent`);
    if (signal === "SIGKILL") await ended;
  }

  /** SIGTERM to all of these, SIGKILL to those that have not ended within `graceMs`. */
  async stop(names: string[], graceMs: number): Promise<void> {
    const { clock } = this.#options;
    await Promise.all(
      names.map(async (name) => {
        const managed = this.#processes.get(name)!;
        managed.wanted = false;
        managed.cancelRestart();
        if (managed.child === undefined) return;
        const ended = new Promise<void>((resolve) => managed.onEnd.push(resolve));
        tryKill(await this.#untilForked(managed), "SIGTERM");
        await this.#wake(managed);
        const cancel = clock.after(graceMs, () => tryKill(this.#pidOf(managed), "SIGKILL"));
        await ended;
        cancel();
      }),
    );
  }

  names(): string[] {
    return [...this.#processes.keys()];
  }

  async #spawn(managed: Managed): Promise<void> {
    const { world, dist, logFile, allowed, clock, events } = this.#options;
    const { name, place, program, args, foreign } = managed.spec;
    managed.startedAt = clock.monotonic();
    let prefix: string[];
    try {
      prefix = await world.enter(place);
    } catch (err) {
      this.#options.log.error({ err, process: name }, "Cannot make its place");
      return this.#again(managed, (err as Error).message);
    }
    if (!managed.wanted || managed.child) return;
    const path = logFile(name);
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const log = openSync(path, "a", 0o600);
    const run = foreign ? [program] : [process.execPath, join(dist, `${program}.mjs`)];
    const command = [...prefix, ...run, ...args];
    const child = spawn(command[0]!, command.slice(1), { cwd: "/", stdio: ["ignore", log, log, "ipc"] });
    closeSync(log);
    managed.child = child;
    managed.startedAt = clock.monotonic();
    events.add("Spawned", name, program);
    serveOutsideRequests(child, allowed, (host, port) => events.add("Listening", name, `${host}:${port}`));
    child.on("error", (err) => this.#options.log.error({ err, process: name }, "Cannot be started or talked to"));
    const ended = (exit: string, code: number | null) => {
      if (managed.child !== child) return;
      managed.child = undefined;
      this.#ended(managed, exit, code);
    };
    child.once("exit", (code, signal) => ended(signal ?? `exit code ${code}`, code));
    if (child.pid === undefined) ended("could not be started", null);
  }

  #ended(managed: Managed, exit: string, code: number | null): void {
    const { events, logFile, onRefused } = this.#options;
    const { name } = managed.spec;
    managed.lastExit = exit;
    for (const tell of managed.onEnd.splice(0)) tell();
    const said = managed.wanted ? lastLine(logFile(name)) : undefined;
    events.add("Exited", name, said === undefined ? exit : `${exit}: ${said}`);
    if (managed.wanted && code === 2) onRefused(name, said ?? exit);
    this.#again(managed, exit);
  }

  #again(managed: Managed, why: string): void {
    const { clock, restart, events } = this.#options;
    const afterMs = afterEnd({ ...managed, restart, livedMs: clock.monotonic() - managed.startedAt });
    managed.wanted = afterMs !== undefined;
    if (afterMs === undefined) return;
    managed.lastDelayMs = afterMs;
    managed.cancelRestart = clock.after(afterMs, () => {
      managed.restarts++;
      events.add("Restarting", managed.spec.name, `after ${why}`);
      void this.#spawn(managed);
    });
  }

  #pidOf({ child }: Managed): number | undefined {
    if (child?.pid === undefined) return undefined;
    return this.#options.world.wrapped ? childOf(child.pid) : child.pid;
  }

  /** A wrapped process is there a moment after its wrapper. */
  async #untilForked(managed: Managed): Promise<number | undefined> {
    for (let tries = 0; tries < 200 && managed.child; tries++) {
      const pid = this.#pidOf(managed);
      if (pid !== undefined) return pid;
      await sleep(this.#options.clock, 5);
    }
    return undefined;
  }

  /** `nsenter` stops itself when its child is stopped, and would then never tell that it ended: wake both. */
  async #wake(managed: Managed): Promise<void> {
    tryKill(this.#pidOf(managed), "SIGCONT");
    if (this.#options.world.wrapped) tryKill(managed.child?.pid, "SIGCONT");
  }
}

/** Signals that do not end a process of ours. */
const harmless = new Set<NodeJS.Signals>(["SIGSTOP", "SIGTSTP", "SIGCONT", "SIGWINCH", "SIGURG", "SIGCHLD"]);

function tryKill(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid !== undefined) attempt(() => process.kill(pid, signal)); // it may have ended meanwhile
}

const isStopped = (pid: number) => parseStat(readText(`/proc/${pid}/stat`))?.state === "T";
