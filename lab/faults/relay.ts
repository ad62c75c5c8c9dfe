import { once } from "node:events";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import net from "node:net";
import { attempt } from "../../base/attempt.ts";
import { Faults } from "../../base/faults.ts";
import { underFaults } from "../../net/faulty-link.ts";

type Address = { host: string; port: number };

/** Who may be at the other end, as faults name them. */
export type Diallers = () => Iterable<readonly [name: string, pid: number]>;

/**
 * A TCP relay before a process that has no hooks of its own, or is to be hurt the same way as one that has none: the
 * others are told its address instead. What is cut stays connected and is kept, as by a network that loses packets; new
 * connections hang; healing lets the bytes go on, as TCP does. `in` is what the dialler says.
 */
export class Relay {
  readonly faults = new Faults();
  readonly #target: Address;
  readonly #diallers: Diallers;
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();

  /** Throws what `listen` throws. */
  static async start(at: Address, target: Address, diallers: Diallers): Promise<Relay> {
    const relay = new Relay(target, diallers);
    await once(relay.#server.listen({ ...at }), "listening");
    return relay;
  }

  private constructor(target: Address, diallers: Diallers) {
    this.#target = target;
    this.#diallers = diallers;
    // Paused: who it is decides what passes, from the first byte on.
    this.#server = net.createServer({ ...options, pauseOnConnect: true }, (socket) => this.#accept(socket));
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #accept(inbound: net.Socket): void {
    const names = [...this.#diallers()].filter(([, pid]) => ownsSocket(pid, inbound)).map(([name]) => name);
    const outbound = net.connect({ ...this.#target, ...options });
    for (const [from, to] of [
      [underFaults(inbound, this.faults, names), outbound],
      [outbound, inbound],
    ] as const) {
      this.#sockets.add(from);
      from.pipe(to);
      from.on("error", () => {});
      from.on("close", () => {
        this.#sockets.delete(from);
        to.destroy();
      });
    }
  }
}

const options = { noDelay: true, allowHalfOpen: true };

/**
 * Whether the process has the other end of this connection over the loopback. Who dialled is not said in any protocol
 * that all stores speak; /proc/net/tcp has the socket's inode, /proc/PID/fd has its owner.
 */
export function ownsSocket(pid: number, here: Pick<net.Socket, `${"local" | "remote"}${"Address" | "Port"}`>): boolean {
  const [mine, theirs] = [hex(here.remoteAddress!, here.remotePort!), hex(here.localAddress!, here.localPort!)];
  const row = readFileSync("/proc/net/tcp", "utf8")
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .find(([, local, remote]) => local === mine && remote === theirs);
  const inode = row?.[9];
  if (inode === undefined) return false;
  const files = attempt(() => readdirSync(`/proc/${pid}/fd`)) ?? []; // the process may have ended, a file be closed meanwhile
  return files.some((fd) => attempt(() => readlinkSync(`/proc/${pid}/fd/${fd}`)) === `socket:[${inode}]`);
}

/** As /proc/net/tcp has it: the address in the machine's (little-endian) order. */
function hex(address: string, port: number): string {
  const bytes = address.split(".").map((part) => Number(part).toString(16).padStart(2, "0"));
  return `${bytes.reverse().join("")}:${port.toString(16).padStart(4, "0")}`.toUpperCase();
}
