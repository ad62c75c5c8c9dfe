import net from "node:net";
import tls from "node:tls";
import { type Cancel, sleep, systemClock } from "../base/clock.ts";
import type { Faults } from "../base/faults.ts";
import { underFaults } from "./faulty-link.ts";
import { Code, GrpcError } from "./grpc-error.ts";
import { ClientConnection } from "./http2/client-connection.ts";
import type { TlsMaterial } from "./tls.ts";

/** Who the server must be signed by; a certificate of one's own is not always asked for. */
export type ClientTls = Pick<TlsMaterial, "ca"> & Partial<TlsMaterial>;

export interface ChannelOptions {
  tls?: ClientTls;
  /** The name to look for in the server's certificate, when it is not the host of the target. */
  serverName?: string;
  /** A server that is silent for so long while calls run is asked for a sign of life; "none": never. */
  keepaliveMs?: number | "none";
  /** After one failed attempt the next waits 50 ms, then twice as long each time, up to this: in a lab, peers come back soon. */
  maxBackoffMs?: number;
  /** What its connections suffer on request, by the host of the server. */
  faults?: Faults | undefined;
}

/** A connection that is up. */
export interface Live {
  http2: ClientConnection;
  authority: string;
  secure: boolean;
}

/**
 * One connection at a time to one of several addresses, made when it is needed: the address that works is kept until it
 * fails, then the next ones are tried in order. As gRPC's `pick_first` without its lists of addresses by name.
 */
export class Channel {
  readonly #addresses: Address[];
  readonly #options: ChannelOptions;
  readonly #context: tls.SecureContext | undefined;
  #next = 0;
  #live: Live | undefined;
  #connecting: Promise<Live> | undefined;
  readonly #sockets = new Set<net.Socket>();
  #backoffMs = firstBackoffMs;
  #retryAt = Number.NEGATIVE_INFINITY;
  #lastError = new GrpcError(Code.Unavailable, "not connected");
  #closed = false;

  constructor(target: string, options: ChannelOptions) {
    this.#addresses = addressesOf(target);
    this.#options = options;
    this.#context = options.tls && tls.createSecureContext(options.tls);
  }

  /** If it is up now. */
  get live(): Live | undefined {
    return this.#live;
  }

  /** Throws Unavailable when no address takes us, at once while the next attempt is not due. */
  connect(): Promise<Live> {
    if (this.#closed) return Promise.reject(new GrpcError(Code.Canceled, closedText));
    if (this.#live) return Promise.resolve(this.#live);
    if (this.#connecting) return this.#connecting;
    if (systemClock.monotonic() < this.#retryAt) return Promise.reject(this.#lastError);
    this.#connecting = this.#attempt().finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  /** Tries again and again. Throws Unavailable after `timeoutMs`. */
  async ready(timeoutMs: number): Promise<void> {
    if (this.#live) return;
    const deadline = new AbortController();
    const cancel = systemClock.after(timeoutMs, () => deadline.abort());
    const late = new Promise<undefined>((resolve) =>
      deadline.signal.addEventListener("abort", () => resolve(undefined)),
    );
    try {
      while (!this.#live && !deadline.signal.aborted) {
        try {
          await Promise.race([this.connect(), late]);
        } catch (error) {
          if (this.#closed) throw error;
          await sleep(systemClock, this.#retryAt - systemClock.monotonic(), deadline.signal);
        }
      }
    } finally {
      cancel();
    }
    if (this.#live) return;
    const text = `Failed to connect before the deadline: ${this.#lastError.message}`;
    throw new GrpcError(Code.Unavailable, text, { cause: this.#lastError });
  }

  /** Calls that run fail. */
  close(): void {
    this.#closed = true;
    this.#live?.http2.closed(closedText);
    this.#live = undefined;
    for (const socket of this.#sockets) socket.destroy();
  }

  async #attempt(): Promise<Live> {
    for (let tried = 1; ; tried++) {
      const address = this.#addresses[this.#next]!;
      try {
        const live = await this.#dial(address);
        this.#backoffMs = firstBackoffMs;
        return live;
      } catch (error) {
        this.#next = (this.#next + 1) % this.#addresses.length;
        this.#lastError = new GrpcError(Code.Unavailable, (error as Error).message, { cause: error });
        if (this.#closed) throw new GrpcError(Code.Canceled, closedText);
        if (tried < this.#addresses.length) continue;
        this.#retryAt = systemClock.monotonic() + this.#backoffMs;
        this.#backoffMs = Math.min(2 * this.#backoffMs, this.#options.maxBackoffMs ?? maxBackoffMs);
        throw this.#lastError;
      }
    }
  }

  #dial(address: Address): Promise<Live> {
    return new Promise((resolve, reject) => {
      const { name } = address;
      const socket = underFaults(this.#socket(address), this.#options.faults, [address.host ?? ""]);
      this.#sockets.add(socket);
      socket.on("error", reject);
      const patienceMs = this.#addresses.length > 1 ? patienceAmongSeveralMs : connectPatienceMs;
      const cancel = systemClock.after(patienceMs, () => {
        reject(new Error(`no HTTP/2 from ${name} within ${patienceMs} ms`));
        socket.destroy();
      });
      let stopPings: Cancel = () => {};
      // While no call runs, a connection keeps no process alive.
      const onBusy = (busy: boolean) => {
        stopPings();
        stopPings = busy ? this.#keepAlive(http2, socket, name) : () => {};
        if (busy) socket.ref();
        else socket.unref();
      };
      const output = {
        write: (bytes: Buffer) => void socket.write(bytes),
        end: () => socket.destroySoon(),
      };
      const http2: ClientConnection = new ClientConnection(output, {
        onReady: () => {
          cancel();
          if (!this.#closed) this.#live = live;
          socket.unref();
          resolve(live);
        },
        onLeaving: (message) => {
          this.#gone(live, message);
          reject(new Error(message));
        },
        onBusy,
      });
      const authority = this.#options.serverName ?? address.authority;
      const live: Live = { http2, authority, secure: this.#context !== undefined };
      socket.on("data", (chunk: Buffer) => http2.receive(chunk));
      socket.on("close", () => {
        cancel();
        stopPings();
        this.#sockets.delete(socket);
        const text = `the connection to ${name} is lost`;
        this.#gone(live, text);
        reject(new Error(text));
        http2.closed(text);
      });
    });
  }

  #socket({ host, port, path }: Address): net.Socket {
    const { serverName } = this.#options;
    if (path !== undefined) return net.connect({ path });
    const to = { host: host!, port: port! };
    if (this.#context === undefined) return net.connect({ ...to, noDelay: true });
    const name = serverName ?? host!;
    const sni = net.isIP(name) === 0 ? { servername: name } : {};
    return tls.connect({ ...to, ...sni, secureContext: this.#context, ALPNProtocols: ["h2"] }).setNoDelay(true);
  }

  /**
   * A stopped machine answers nothing, and under heavy load Node was seen to miss that a connection had ended: without pings
   * both would look alive for minutes. etcd allows one each 5 s, and counts those that jitter made come sooner; other servers in Go (containerd) one each 5 min.
   */
  #keepAlive(http2: ClientConnection, socket: net.Socket, name: string): Cancel {
    const everyMs = this.#options.keepaliveMs ?? keepaliveMs;
    if (everyMs === "none") return () => {};
    let cancelWait: Cancel = () => {};
    let asked = false;
    http2.heard();
    const cancel = systemClock.every(everyMs, () => {
      if (asked || http2.heard()) return;
      asked = true;
      http2.ping();
      cancelWait = systemClock.after(keepaliveTimeoutMs, () => {
        asked = false;
        if (http2.heard()) return;
        http2.closed(`no answer from ${name} to a ping`);
        socket.destroy();
      });
    });
    return () => {
      cancel();
      cancelWait();
    };
  }

  #gone(live: Live, message: string): void {
    if (this.#live !== live) return;
    this.#live = undefined;
    this.#next = (this.#next + 1) % this.#addresses.length;
    this.#lastError = new GrpcError(Code.Unavailable, message);
  }
}

interface Address {
  name: string;
  authority: string;
  host?: string;
  port?: number;
  path?: string;
}

/** `host:port`, `ipv4:a:p,b:p` or `unix:/path`, as gRPC names targets. */
function addressesOf(target: string): Address[] {
  if (target.startsWith("unix:")) return [{ name: target, authority: "localhost", path: target.slice("unix:".length) }];
  return target
    .replace(/^(ipv4|dns):(\/\/\/)?/, "")
    .split(",")
    .map((name) => {
      const colon = name.lastIndexOf(":");
      const host = name.slice(0, colon).replace(/^\[(.*)\]$/, "$1");
      return { name, authority: name, host, port: Number(name.slice(colon + 1)) };
    });
}

const firstBackoffMs = 50;
const maxBackoffMs = 1000;
const connectPatienceMs = 10_000;
const patienceAmongSeveralMs = 2000;
const keepaliveMs = 5500;
const keepaliveTimeoutMs = 2000;
const closedText = "grpc: the client connection is closing";
