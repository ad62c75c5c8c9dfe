import { readdirSync } from "node:fs";
import { attempt } from "../../base/attempt.ts";
import { readText } from "../../base/read-text.ts";

/**
 * Processes we did not spawn ourselves, by what cannot be mistaken: pid and start time (proc(5), /proc/PID/stat). A pid
 * alone may be reused, and a killed process stays visible as a zombie until somebody reaps it; so a process lives when its
 * start time is the recorded one and its state is neither Z nor X.
 */
export interface ProcessIdentity {
  pid: number;
  /** Clock ticks since boot. */
  startTime: number;
}

export function isAlive(identity: ProcessIdentity): boolean {
  const now = parseStat(readText(`/proc/${identity.pid}/stat`));
  return now !== undefined && now.startTime === identity.startTime && now.state !== "Z" && now.state !== "X";
}

/** Signals the process if it still is the same one. False when it is gone. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  return isAlive(identity) && kill(identity.pid, signal);
}

/** Signals the whole process group that the process leads. */
export function signalGroup(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  return isAlive(identity) && kill(-identity.pid, signal);
}

/** `12 (a name) S 1 ...`: the name may hold spaces and parentheses. Undefined for a text that is cut short. */
export function parseStat(text: string): (ProcessIdentity & { state: string }) | undefined {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const pid = Number.parseInt(text, 10);
  const startTime = Number(fields[19]);
  if (!Number.isInteger(pid) || !Number.isInteger(startTime) || !text.endsWith("\n")) return undefined;
  return { pid, startTime, state: fields[0]! };
}

/** Kills every process whose environment holds `marker`; how host mode finds those that left their process group. */
export function killMarked(marker: string): void {
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    if (readText(`/proc/${name}/environ`).split("\0").includes(marker)) kill(Number(name), "SIGKILL");
  }
}

const kill = (pid: number, signal: NodeJS.Signals) => attempt(() => process.kill(pid, signal)) ?? false;
