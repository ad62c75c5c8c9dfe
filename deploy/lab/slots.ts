import { createHash } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import { attempt } from "../../base/attempt.ts";
import { listenHere } from "../../base/outside.ts";
import { StartError } from "../../base/process.ts";
import { addressesOf, outsideCidr, ports, slots } from "./addresses.ts";
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
  const kept = slotsOfStoppedLabs();
  const inOrder = Array.from({ length: slots }, (_, slot) => slot);
  inOrder.sort((a, b) => Number(kept.has(a)) - Number(kept.has(b)) || a - b);
  for (const slot of fixed === undefined ? inOrder : [fixed]) {
    const held = await lock(`slot-${slot}`);
    if (held === undefined) continue;
    try {
      await tryAddresses(slot, counts);
      return { slot, lock: held };
    } catch (error) {
      held.release();
      if (fixed === undefined) continue;
      const { message } = error as Error;
      throw new StartError(`${message}: another program has this lab's address; stop it, or ${anotherLab}`);
    }
  }
  throw new StartError(
    fixed === undefined
      ? `all ${slots} lab slots (127.100.0.0 to 127.${99 + slots}.0.0) are in use: take a lab down`
      : `the addresses of this lab (${outsideCidr(fixed)}) are in use by another running lab: take that one down, or ${anotherLab}`,
  );
}

const anotherLab = "make a new lab with another --name";

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
    const lab = attempt(() => readLabFile(join(home, name))); // of another version: its `up` will say so
    if (lab !== undefined) kept.add(lab.slot);
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

const dirLock = (dir: string) => `dir-${createHash("sha256").update(dir).digest("hex").slice(0, 32)}`;
const address = (name: string) => `\0kubelab-${name}`;
