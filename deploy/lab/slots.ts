import { createHash } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import { listenHere } from "../../base/outside.ts";
import { StartError } from "../../base/process.ts";
import { addressesOf, ports, slots } from "./addresses.ts";
import { readLabFile } from "./lab-file.ts";
import { labsHome } from "./paths.ts";

/**
 * Who may use a lab's folder and a slot's addresses. Both are held through abstract unix sockets: they belong to the
 * network of the machine like the addresses themselves, count across users, leave no file, and the kernel frees them
 * with the process.
 */
export interface Lock {
  release(): void;
}

/** Undefined when a supervisor already runs the lab in `dir`. */
export function lockDir(dir: string): Promise<Lock | undefined> {
  return lock(dirLock(dir));
}

/** Does a supervisor run the lab in `dir`? */
export function isLocked(dir: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = net.connect(address(dirLock(dir)));
    connection.once("connect", () => {
      connection.destroy();
      resolve(true);
    });
    connection.once("error", () => resolve(false));
  });
}

/** The slot that a lab was made with, or for a new lab (`fixed` undefined) the first whose addresses are free. */
export async function lockSlot(
  fixed: number | undefined,
  counts: { members: number },
): Promise<{ slot: number; lock: Lock }> {
  if (fixed !== undefined) {
    const held = await lock(`slot-${fixed}`);
    if (held === undefined) {
      throw new StartError(
        `the addresses of this lab (127.${100 + fixed}.0.0/24) are in use by another running lab: take that one down, or make a new lab with another --name`,
      );
    }
    try {
      await tryAddresses(fixed, counts);
    } catch (error) {
      held.release();
      throw new StartError(
        `${(error as Error).message}: another program has this lab's address; stop it, or make a new lab with another --name`,
      );
    }
    return { slot: fixed, lock: held };
  }
  const kept = slotsOfStoppedLabs();
  const candidates = Array.from({ length: slots }, (_, slot) => slot);
  candidates.sort((a, b) => Number(kept.has(a)) - Number(kept.has(b)) || a - b);
  for (const slot of candidates) {
    const held = await lock(`slot-${slot}`);
    if (held === undefined) continue;
    try {
      await tryAddresses(slot, counts);
      return { slot, lock: held };
    } catch {
      held.release();
    }
  }
  throw new StartError(`all ${slots} lab slots (127.100.0.0 to 127.${99 + slots}.0.0) are in use: take a lab down`);
}

/** Opens and closes what the lab will listen on from the start. */
async function tryAddresses(slot: number, { members }: { members: number }): Promise<void> {
  const { outside } = addressesOf({ mode: "netns", slot });
  const wanted: [string, number][] = [
    [outside.apiserver(1), ports.secure],
    [outside.apiserver(1), ports.grpc],
    [outside.balancer, ports.secure],
    ...Array.from({ length: members }, (_, i): [string, number] => [outside.member(i + 1), ports.client]),
  ];
  for (const [host, port] of wanted) (await listenHere(host, port)).close();
}

/** Other labs of this user keep their slot while they are down; a new one takes another where it can. */
function slotsOfStoppedLabs(): Set<number> {
  const home = labsHome();
  if (!existsSync(home)) return new Set();
  const kept = new Set<number>();
  for (const name of readdirSync(home)) {
    try {
      const lab = readLabFile(join(home, name));
      if (lab !== undefined) kept.add(lab.slot);
    } catch {} // of another version: its `up` will say so
  }
  return kept;
}

function lock(name: string): Promise<Lock | undefined> {
  return new Promise((resolve, reject) => {
    const server = net.createServer((socket) => socket.destroy());
    server.once("error", (error: NodeJS.ErrnoException) =>
      error.code === "EADDRINUSE" ? resolve(undefined) : reject(error),
    );
    server.listen(address(name), () => {
      server.unref();
      resolve({ release: () => server.close() });
    });
  });
}

function dirLock(dir: string): string {
  return `dir-${createHash("sha256").update(dir).digest("hex").slice(0, 32)}`;
}

function address(name: string): string {
  return `\0kubelab-${name}`;
}
