import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import net from "node:net";

/**
 * A TCP relay before each member's peer port, the same for every store: members advertise the relays, so all that they
 * say to each other passes here. Cutting a member off stops what it sends and what is sent to it without closing
 * anything, as a network that loses packets does; new connections hang. Healing lets the bytes go on, as TCP does.
 *
 * Who dialled is not said in any protocol that both stores speak, so the relay asks the kernel: /proc/net/tcp has the
 * socket's inode, /proc/PID/fd has its owner.
 */
interface Link {
  from: number;
  to: number;
  inbound: net.Socket;
  outbound: net.Socket;
}

export class PeerRelays {
  readonly #servers: net.Server[] = [];
  readonly #pids: number[] = [];
  readonly #links = new Set<Link>();
  readonly #targets: readonly number[];
  #cut: number | undefined;

  /** Relay i listens on `ports[i]` and leads to `targets[i]`. */
  static async start(ports: readonly number[], targets: readonly number[]): Promise<PeerRelays> {
    const relays = new PeerRelays(targets);
    await Promise.all(
      ports.map(async (port, i) => {
        // Paused: who is cut off is decided before the first byte.
        const server = net.createServer({ pauseOnConnect: true, noDelay: true }, (socket) => relays.#accept(socket, i));
        relays.#servers.push(server);
        await new Promise<void>((resolve, reject) => {
          server.once("error", reject);
          server.listen(port, "127.0.0.1", resolve);
        });
      }),
    );
    return relays;
  }

  private constructor(targets: readonly number[]) {
    this.#targets = targets;
  }

  setMember(i: number, pid: number): void {
    this.#pids[i] = pid;
  }

  /** Without a member: heals. */
  cutOff(member?: number): void {
    this.#cut = member;
    for (const link of this.#links) this.#apply(link);
  }

  close(): void {
    for (const server of this.#servers) server.close();
    for (const { inbound } of this.#links) inbound.destroy(); // the other end follows
  }

  #accept(inbound: net.Socket, to: number): void {
    const from = this.#pids.findIndex((pid) => ownsSocket(pid, inbound.remotePort!, inbound.localPort!));
    const outbound = net.connect({ host: "127.0.0.1", port: this.#targets[to]!, noDelay: true });
    outbound.pause();
    const link: Link = { from, to, inbound, outbound };
    this.#links.add(link);
    for (const [one, other] of [
      [inbound, outbound],
      [outbound, inbound],
    ] as const) {
      one.on("data", (chunk) => {
        if (other.write(chunk)) return;
        one.pause();
        other.once("drain", () => this.#apply(link));
      });
      one.on("end", () => other.end());
      one.on("error", () => {});
      one.on("close", () => {
        other.destroy();
        this.#links.delete(link);
      });
    }
    this.#apply(link);
  }

  #apply({ from, to, inbound, outbound }: Link): void {
    for (const socket of [inbound, outbound]) {
      if (this.#cut !== undefined && (from === this.#cut || to === this.#cut)) socket.pause();
      else socket.resume();
    }
  }
}

/** Whether the process has the end `localPort` of the TCP connection over 127.0.0.1 to `remotePort`. */
export function ownsSocket(pid: number, localPort: number, remotePort: number): boolean {
  const hex = (port: number) => port.toString(16).toUpperCase().padStart(4, "0");
  const row = new RegExp(`:${hex(localPort)} [0-9A-F]+:${hex(remotePort)} .*`).exec(
    readFileSync("/proc/net/tcp", "utf8"),
  );
  const inode = row?.[0].split(/\s+/)[8];
  if (inode === undefined) return false;
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${fd}`) === `socket:[${inode}]`;
      } catch {
        return false; // closed meanwhile
      }
    });
  } catch {
    return false; // the process has ended
  }
}
