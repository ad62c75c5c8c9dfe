import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { attempt } from "../../base/attempt.ts";
import { aborted, StartError } from "../../base/process.ts";
import { readText } from "../../base/read-text.ts";
import { addressesOf } from "./addresses.ts";
import type { LabFile } from "./lab-file.ts";
import { unshareFlags } from "./mode.ts";
import { labScript, nodeScript, type Place, placesOf } from "./network.ts";
import { runtimeDir } from "./paths.ts";

/** Where processes of a lab live: nowhere special (`host`), or in namespaces of the lab's own. */
export interface World {
  /** What to put before a command so that it runs in `place`; makes the place when it is not there. */
  enter(place: string): Promise<string[]>;
  /** True when such a command runs below a waiting `nsenter`, which is then what we are the parent of. */
  readonly wrapped: boolean;
  /** Ends a node with all that runs on it, as pulling its plug would. */
  endPlace(place: string): Promise<void>;
  /** Sends what is for this Pod range to that node, from wherever in the lab. */
  route(podCidr: string, node: string): Promise<void>;
  /** Resolves when the world is gone, by `end` or by itself. */
  readonly ended: Promise<void>;
  end(): void;
}

export const hostWorld = (): World => {
  const over = new AbortController();
  const [ended, end] = [aborted(over.signal), () => over.abort()];
  return { enter: async () => [], wrapped: false, async endPlace() {}, async route() {}, ended, end };
};

/**
 * One `unshare` holds the lab; each node is a machine within it (network, mounts, processes), every other process has a
 * network of its own, pinned as a file that only the lab's mount namespace shows. All of it ends with the first process
 * of the lab, and that one ends when its stdin does: whatever happens to the supervisor, nothing outlives it.
 */
export async function createNetnsWorld(lab: LabFile): Promise<World> {
  const addresses = addressesOf(lab);
  const pins = join(runtimeDir(lab.slot), "net");
  mkdirSync(pins, { recursive: true, mode: 0o700 });
  const whole = await boot(["unshare", ...unshareFlags()], labScript(placesOf(lab, addresses), addresses, pins), 1);
  const nodes = new Map<string, Promise<Machine>>();

  const addressOf = (name: string) => addresses.inside.node(Number(name.slice("node-".length)));
  const node = (name: string): Promise<Machine> => {
    const known = nodes.get(name);
    if (known !== undefined) return known;
    const place: Place = { name, ip: addressOf(name) };
    const unshare = ["unshare", "-n", "-m", "-p", "-f", "--kill-child", "--mount-proc"];
    const machine = boot([...nsenter(whole, "-m", "-n", "-p"), ...unshare], nodeScript(place, pins), 2);
    nodes.set(name, machine);
    const forget = () => nodes.delete(name);
    machine.then(({ ended }) => ended.then(forget), forget);
    return machine;
  };

  return {
    wrapped: true,
    ended: whole.ended,
    end: whole.end,
    async route(podCidr, name) {
      const [program, ...args] = [...nsenter(whole, "-n"), "ip", "route", "replace", podCidr, "via", addressOf(name)];
      await promisify(execFile)(program!, args);
    },
    async endPlace(place) {
      const machine = await nodes.get(place);
      machine?.end();
      await machine?.ended;
    },
    async enter(place) {
      if (place.startsWith("node-")) return nsenter(await node(place), "-m", "-n", "-p");
      return [...nsenter(whole, "-m", "-p"), "nsenter", `--net=${join(pins, place)}`, "--"];
    },
  };
}

interface Machine {
  /** Its first process, as numbered outside. */
  initPid: number;
  ended: Promise<void>;
  end(): void;
}

/** `depth`: how many waiting programs stand between us and the machine's first process. */
async function boot(command: string[], script: string, depth: number): Promise<Machine> {
  const child = spawn(command[0]!, [...command.slice(1), "sh", "-c", script], { stdio: ["pipe", "pipe", "pipe"] });
  child.stdin.on("error", () => {}); // it ended; `ended` tells
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  await untilReady(child);
  let initPid = child.pid!;
  for (let i = 0; i < depth; i++) initPid = childOf(initPid)!;
  return { initPid, ended, end: () => void attempt(() => process.kill(initPid, "SIGKILL")) }; // if it is not gone
}

function untilReady(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = "";
    child.stderr!.on("data", (bytes: Buffer) => (said += bytes));
    child.stdout!.on("data", (bytes: Buffer) => bytes.toString().includes("ready") && resolve());
    child.once("error", reject);
    child.once("close", (code) => reject(new StartError(`cannot make the lab's namespaces: ${said.trim() || code}`)));
  });
}

function nsenter({ initPid }: Machine, ...namespaces: string[]): string[] {
  const user = process.getuid?.() === 0 ? [] : ["-U", "--preserve-credentials"];
  return ["nsenter", "-t", String(initPid), ...user, ...namespaces, "--"];
}

/** The only child of a waiting `unshare` or `nsenter`; undefined before it has forked, or when it is gone. */
export function childOf(pid: number): number | undefined {
  return Number(readText(`/proc/${pid}/task/${pid}/children`).split(" ")[0]) || undefined;
}
