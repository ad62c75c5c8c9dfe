import { spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, realpathSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { StartError } from "../base/process.ts";
import { labPaths } from "../deploy/lab/paths.ts";
import { checkedRequest, flagOf, type LabFlags, labFlagNames } from "../deploy/lab/request.ts";
import { isLocked } from "../deploy/lab/slots.ts";
import type { LabEvent } from "../deploy/supervisor/events.ts";
import { lastLine } from "../deploy/supervisor/log-tail.ts";
import { applyDemo } from "./demo.ts";
import { defaultName, type LabOptions, labDir, nameFlag } from "./lab-ref.ts";
import { report } from "./report.ts";
import { SupervisorClient } from "./supervisor-client.ts";
import { timelineOf } from "./timeline.ts";

export interface UpOptions extends LabOptions, LabFlags {
  detach?: boolean;
  demo?: boolean;
  restart: boolean;
  rm?: boolean;
}

/**
 * Starts a lab and reports when it is up. In the foreground it then stays until Ctrl-C or `kubelab down`, and takes the
 * lab with it; with --detach the lab lives on. Throws StartError when the lab cannot be had; nothing is left running.
 */
export async function up(options: UpOptions, startedAt: number): Promise<void> {
  const name = options.name ?? defaultName;
  const dir = labDir(options);
  checkedRequest({ ...options, name });
  if (await isLocked(dir)) {
    console.log(`lab ${name} is already running: see it with \`kubelab status${nameFlag(options)}\``);
    return;
  }
  let supervisor: Awaited<ReturnType<typeof startSupervisor>> | undefined;
  const interrupted = new AbortController();
  const interrupt = () => {
    interrupted.abort();
    void supervisor?.client.stop().catch(() => {});
  };
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  try {
    supervisor = await startSupervisor(name, dir, options, startedAt);
    if (interrupted.signal.aborted) interrupt();
    const events = await awaitUp(supervisor.client, interrupted.signal);
    if (events === undefined) return;
    const status = await supervisor.client.status();
    const rows = timelineOf(events);
    const [demo] = options.demo ? await applyDemo(status, startedAt, rows, interrupted.signal) : [];
    console.log(report({ status, rows, demo, options }));
    if (options.detach) return;
    console.log(`\nCtrl-C stops everything${options.rm ? " and removes the lab's folder" : ""}.`);
    await followUntilEnd(supervisor.client);
    await supervisor.ended;
    const { exitCode, signalCode } = supervisor.child;
    if (exitCode !== 0)
      throw new StartError(`the supervisor ended with ${signalCode ?? exitCode}: see ${dir}/logs/supervisor.log`);
  } catch (error) {
    if (interrupted.signal.aborted) return;
    await supervisor?.client.stop().catch(() => {});
    throw error;
  } finally {
    process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
    if (options.detach && !interrupted.signal.aborted) supervisor?.child.unref();
    else await supervisor?.ended;
    if (interrupted.signal.aborted) console.log(`lab ${name} is down`);
  }
}

async function startSupervisor(name: string, dir: string, options: UpOptions, startedAt: number) {
  const isNew = !existsSync(dir);
  const { logs, labFile } = labPaths(dir);
  mkdirSync(logs, { recursive: true, mode: 0o700 });
  const logPath = join(logs, "supervisor.log");
  const log = openSync(logPath, "a", 0o600);
  const args = [
    join(dirname(realpathSync(process.argv[1]!)), "supervisor.mjs"),
    `--name=${name}`,
    `--dir=${dir}`,
    ...labFlagNames.flatMap((name) => (options[name] === undefined ? [] : [`--${flagOf(name)}=${options[name]}`])),
    `--restart=${options.restart}`,
    `--remove=${options.rm ?? false}`,
    `--foreground=${!options.detach}`,
    `--started-at=${startedAt}`,
    "--report-fd=3",
  ];
  // A session of its own: Ctrl-C reaches this process alone, which then takes the lab down in order.
  const stdio = [options.detach ? "ignore" : "pipe", log, log, "pipe"] as const;
  const child = spawn(process.execPath, args, { detached: true, stdio: [...stdio] });
  closeSync(log);
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.stdin?.on("error", () => {});
  const line = await readReport(child.stdio[3] as Readable);
  if (line.socket === undefined) {
    const error = line.error ?? lastLine(logPath) ?? "the supervisor ended without a word";
    await ended;
    if (isNew && !existsSync(labFile)) rmSync(dir, { recursive: true, force: true });
    throw new StartError(error);
  }
  return { child, client: new SupervisorClient(line.socket), ended };
}

async function readReport(from: Readable): Promise<{ socket?: string; error?: string }> {
  let text = "";
  for await (const chunk of from.setEncoding("utf8")) {
    text += chunk;
    if (text.includes("\n")) return JSON.parse(text) as { socket?: string; error?: string };
  }
  return {};
}

/** The events up to `Up`; undefined when the lab was told to stop before. */
async function awaitUp(client: SupervisorClient, interrupted: AbortSignal): Promise<LabEvent[] | undefined> {
  const events: LabEvent[] = [];
  for await (const event of client.events()) {
    events.push(event);
    if (event.type === "Up") return events;
    if (event.type === "Failed") throw new StartError(event.message);
  }
  if (interrupted.aborted) return undefined;
  throw new StartError("the lab went down before it was up");
}

/** Tells what happens to the processes until the lab goes down. */
async function followUntilEnd(client: SupervisorClient): Promise<void> {
  const told = new Set<LabEvent["type"]>(["Exited", "Restarting", "Killed"]);
  let live = false;
  for await (const { type, time, subject, message } of client.events()) {
    if (live && told.has(type))
      console.log(`${time}  ${subject}: ${type === "Restarting" ? "restarting " : ""}${message}`);
    if (type === "Up") live = true;
    if (type === "Stopping") live = false;
  }
}
