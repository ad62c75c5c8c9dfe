import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";
import { closeSync, existsSync, type FSWatcher, openSync, statSync, watch } from "node:fs";
import { attempt } from "../../base/attempt.ts";
import type { Clock } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import { readText } from "../../base/read-text.ts";
import { ContainerState } from "../../proto/generated/runtime.v1.ts";
import type { Cgroups } from "./cgroup.ts";
import { readJson, removeTree, writeJson } from "./fs.ts";
import { LogFile, LogPump } from "./log-pump.ts";
import { isAlive, killMarked, type ProcessIdentity, parseStat, signalGroup, signalProcess } from "./proc.ts";
import type { ContainerRecord, ContainerResult } from "./records.ts";
import { toolPath } from "./run.ts";

export interface ContainerContext {
  clock: Clock;
  log: Logger;
  cgroups: Cgroups;
  hostMode: boolean;
  /** The container has come to its end: logs are whole, `result` is set. */
  onStopped(container: Container): void;
}

/**
 * One container: its directory, its processes (seen through files that they write themselves, see `scripts.ts`) and its
 * log. Whether this runtime started it or found it makes no difference.
 */
export class Container {
  readonly record: ContainerRecord;
  readonly dir: string;
  result: ContainerResult | undefined;
  /** Resolves when `result` is set. */
  readonly stopped: Promise<void>;
  #resolveStopped!: () => void;
  readonly #context: ContainerContext;
  #log: LogFile | undefined;
  #pumps: LogPump[] = [];
  #watcher: FSWatcher | undefined;
  #shim: ProcessIdentity | undefined;
  #init: ProcessIdentity | undefined;
  #finishing = false;
  #child: ChildProcess | undefined;
  #watched = false;
  #onStatus: (() => void) | undefined;

  constructor(record: ContainerRecord, dir: string, context: ContainerContext) {
    this.record = record;
    this.dir = dir;
    this.#context = context;
    this.stopped = new Promise((resolve) => {
      this.#resolveStopped = resolve;
    });
    this.result = readJson<ContainerResult>(`${dir}/result.json`);
    if (this.result) this.#resolveStopped();
  }

  get id(): string {
    return this.record.id;
  }

  get state(): ContainerState {
    if (this.result !== undefined) return ContainerState.CONTAINER_EXITED;
    return this.shim === undefined ? ContainerState.CONTAINER_CREATED : ContainerState.CONTAINER_RUNNING;
  }

  get startedAtMs(): number {
    return this.result?.startedAtMs ?? (existsSync(`${this.dir}/init`) ? statSync(`${this.dir}/init`).mtimeMs : 0);
  }

  get shim(): ProcessIdentity | undefined {
    this.#shim ??= parseStat(readText(`${this.dir}/shim`));
    return this.#shim;
  }

  get init(): ProcessIdentity | undefined {
    this.#init ??= parseStat(readText(`${this.dir}/init`));
    return this.#init;
  }

  /** Runs the shim; resolves when the program runs, or with why it could not be started. */
  async start(): Promise<string | undefined> {
    const { dir } = this;
    const started = new Promise<void>((resolve) => {
      this.#onStatus = resolve;
    });
    // Open at both ends: whoever writes is never stopped by our death, and end of file comes only with the last writer.
    const [stdout, stderr] = [openSync(`${dir}/io/stdout`, "r+"), openSync(`${dir}/io/stderr`, "r+")];
    let child: ChildProcess;
    try {
      this.#attach();
      const stdio: StdioOptions = ["ignore", stdout, stderr];
      const env = { PATH: toolPath, HOME: dir }; // HOME tells whose it is, also of the sleep that the shim ends as
      child = spawn("sh", [`${dir}/shim.sh`], { cwd: "/", env, detached: true, stdio });
    } finally {
      closeSync(stdout);
      closeSync(stderr);
    }
    this.#child = child;
    child.on("exit", () => this.check());
    child.on("error", () => this.check());
    await Promise.race([started, this.stopped]);
    this.#onStatus = undefined;
    return this.#startProblem();
  }

  /** It cannot be started: ended before it began. */
  fail(message: string): void {
    this.detach();
    const now = this.#context.clock.now();
    this.#settle({ exitCode: 128, reason: "StartError", message, startedAtMs: 0, finishedAtMs: now });
  }

  /** Takes up a container of an earlier runtime. */
  adopt(): void {
    if (this.result !== undefined || this.shim === undefined) return;
    this.#attach();
    this.check();
  }

  /** Looks whether something has happened. Cheap; called on file events, child exits and, for adopted ones, by a timer. */
  check(): void {
    if (this.result !== undefined || this.#finishing || !this.#watched) return;
    if (this.#onStatus !== undefined && hasStarted(readText(`${this.dir}/status`))) this.#onStatus();
    const exit = readText(`${this.dir}/exit`);
    if (exit.endsWith("\n")) void this.#finish(Number(exit));
    else if (!this.#shimLives()) {
      // Between our two looks the shim may have ended well.
      const late = readText(`${this.dir}/exit`);
      void this.#finish(late.endsWith("\n") ? Number(late) : undefined);
    }
  }

  /** Nobody tells us when its shim ends: `check` must be called now and then. */
  get needsPolling(): boolean {
    return this.#watched && !this.#childLives();
  }

  #shimLives(): boolean {
    return this.shim === undefined ? this.#childLives() : isAlive(this.shim); // it may not have recorded itself yet
  }

  #childLives(): boolean {
    const child = this.#child;
    return child?.pid !== undefined && child.exitCode === null && child.signalCode === null;
  }

  /** To the container's first process, as the stop signal is. */
  signal(signal: NodeJS.Signals): void {
    if (this.init !== undefined) signalProcess(this.init, signal);
  }

  /** Ends all of its processes for certain. */
  kill(): void {
    if (this.result !== undefined || this.shim === undefined) return;
    const { init, shim } = this;
    this.#context.cgroups.kill(this.id);
    if (init !== undefined)
      signalProcess(init, "SIGKILL"); // with it its whole PID namespace
    else signalGroup(shim, "SIGKILL"); // still on the way there
    if (this.#context.hostMode) killMarked(hostMarker(this.id).join("="));
  }

  reopenLog(): void {
    this.#log?.reopen();
  }

  /** Forgets it. Its processes must have ended. */
  async remove(): Promise<void> {
    this.detach();
    await this.#context.cgroups.remove(this.id);
    removeTree(`${this.dir}/container.json`); // first: half of a directory is no container
    removeTree(this.dir);
  }

  detach(): void {
    this.#watched = false;
    this.#watcher?.close();
    for (const pump of this.#pumps) pump.stop();
    this.#pumps = [];
    this.#log?.close();
    this.#log = undefined;
  }

  #attach(): void {
    const { clock } = this.#context;
    this.#log = new LogFile(this.record.logPath || "/dev/null");
    for (const stream of ["stdout", "stderr"] as const)
      this.#pumps.push(new LogPump(`${this.dir}/io/${stream}`, stream, this.#log, clock));
    this.#watched = true;
    this.#watcher = watch(this.dir, () => this.check());
    this.#watcher.on("error", () => {});
  }

  /** `code` undefined: the shim was killed, nobody knows. */
  async #finish(code: number | undefined): Promise<void> {
    this.#finishing = true;
    const { clock, cgroups, hostMode } = this.#context;
    const { shim, init } = this;
    if (init !== undefined) signalProcess(init, "SIGKILL");
    if (hostMode) killMarked(hostMarker(this.id).join("="));
    if (shim !== undefined) signalGroup(shim, "SIGKILL"); // lets go of the FIFOs, which ends the pumps
    const drained = Promise.all(this.#pumps.map((pump) => pump.ended));
    await Promise.race([drained, new Promise<void>((resolve) => clock.after(drainMs, resolve))]);
    const startedAtMs = this.startedAtMs;
    const problem = this.#startProblem();
    const exit = statSync(`${this.dir}/exit`, { throwIfNoEntry: false });
    const oom = code === 137 && cgroups.oomKills(this.id) > 0;
    const ending =
      problem !== undefined && code !== undefined
        ? { exitCode: 128, reason: "StartError", message: problem }
        : code === undefined
          ? { exitCode: 255, reason: "Unknown", message: "" }
          : { exitCode: code, reason: oom ? "OOMKilled" : code === 0 ? "Completed" : "Error", message: "" };
    const result = { ...ending, startedAtMs, finishedAtMs: exit?.mtimeMs ?? clock.now() };
    this.detach();
    await cgroups.remove(this.id);
    this.#settle(result);
  }

  #settle(result: ContainerResult): void {
    attempt(() => writeJson(`${this.dir}/result.json`, result)); // on a full disk the next runtime finds it out anew
    this.result = result;
    const { exitCode, reason, message } = result;
    this.#context.log.info({ containerId: this.id, exitCode, reason, message }, "Container stopped");
    this.#resolveStopped();
    this.#context.onStopped(this);
  }

  /** Undefined when the program was started. */
  #startProblem(): string | undefined {
    const status = readText(`${this.dir}/status`);
    if (hasStarted(status)) return undefined;
    return status.trim().replaceAll("\n", "; ") || "the container's processes ended before the program was started";
  }
}

const hasStarted = (status: string): boolean => status.startsWith("ok\n") || status.includes("\nok\n");

/** How long a log may take to come to its end once the processes are gone: some may have escaped with the FIFO open. */
const drainMs = 2000;

/** A variable that host mode gives every process of a container, to find those that leave its process group. */
export const hostMarker = (id: string): [string, string] => ["KUBELAB_CONTAINER", id];
