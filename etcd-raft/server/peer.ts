import net from "node:net";
import type { Cancel } from "../../base/clock.ts";
import { Code, GrpcError } from "../../net/grpc-error.ts";
import { dialTls, type TlsSource } from "../../net/tls-source.ts";
import { etcdError } from "../errors.ts";
import { addressOf, type ClusterMember, idText } from "./cluster.ts";
import { type FrameKind, frame, helloFrame, readFrames } from "./frames.ts";
import type { TransportOptions } from "./transport.ts";

/**
 * Our way to one peer: a connection that we dial, and dial again with back-off. Calls are numbered, and fail when the
 * connection does.
 */
export class Peer {
  readonly member: Pick<ClusterMember, "id" | "peerURLs">;
  readonly #options: TransportOptions;
  #socket: net.Socket | undefined;
  #cancelRedial: Cancel = () => {};
  #attempt = 0;
  since = 0; // when the connection was made
  #closed = false;
  #lastCall = 0;
  readonly #calls = new Map<number, { resolve(bytes: Buffer): void; reject(error: GrpcError): void }>();
  connected = false;

  constructor(member: Peer["member"], options: TransportOptions) {
    this.member = member;
    this.#options = options;
  }

  dial(): void {
    const { tls: source, clusterId, self, peerURLs, log, handlers, traffic } = this.#options;
    const urls = this.member.peerURLs;
    const { socket, up } = dial(urls[this.#attempt % urls.length]!, source);
    this.#socket = socket;
    traffic.add(socket, this.member.id.toString(16));
    socket.setNoDelay(true);
    socket.setTimeout(connectMs, () => socket.destroy(new Error("connect timed out")));
    socket.once(up, () => {
      socket.setTimeout(0);
      this.connected = true;
      this.since = this.#options.clock.monotonic();
      socket.write(helloFrame({ clusterId, from: self, to: this.member.id, peerURLs: [...peerURLs] }));
      log.info({ peer: idText(this.member.id) }, "Connected to peer");
      handlers.onConnected(this.member.id);
    });
    readFrames(socket, (_kind, payload) => this.#onAnswer(payload));
    let reason: Error | undefined;
    socket.on("error", (error) => {
      reason = error;
    });
    socket.once("close", () => this.#onClose(reason));
  }

  /** It has just dialled us, so it is back: no need to wait. */
  dialNow(): void {
    if (this.#socket !== undefined) return;
    this.#cancelRedial();
    this.dial();
  }

  get canSend(): boolean {
    return this.connected && this.#socket!.writableLength < maxQueuedBytes;
  }

  /** In one write: each costs as much as dozens of small messages. */
  write(batch: readonly Buffer[]): void {
    this.#socket!.write(batch.length === 1 ? batch[0]! : Buffer.concat(batch));
  }

  call(kind: FrameKind, request: Uint8Array, timeoutMs: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      if (!this.canSend) return reject(etcdError("timeoutConnectionLost"));
      this.#lastCall = (this.#lastCall % (2 ** 32 - 1)) + 1; // never 0
      const number = this.#lastCall;
      const cancel = this.#options.clock.after(timeoutMs, () => this.#calls.get(number)?.reject(etcdError("timeout")));
      const end = (settle: () => void) => {
        cancel();
        this.#calls.delete(number);
        settle();
      };
      this.#calls.set(number, {
        resolve: (bytes) => end(() => resolve(bytes)),
        reject: (error) => end(() => reject(error)),
      });
      const head = Buffer.alloc(4);
      head.writeUInt32BE(number, 0);
      this.write([frame(kind, head, request)]);
    });
  }

  close(): void {
    this.#closed = true;
    this.#cancelRedial();
    this.#socket?.destroy();
  }

  #onAnswer(payload: Buffer): void {
    const number = payload.readUInt32BE(0);
    if (number === 0) this.#options.handlers.onRemoved();
    const call = this.#calls.get(number);
    const code = payload[4] as Code;
    const body = Buffer.from(payload.subarray(5));
    if (code === Code.OK) call?.resolve(body);
    else call?.reject(new GrpcError(code, body.toString()));
  }

  #onClose(reason: Error | undefined): void {
    const { log, handlers, clock } = this.#options;
    const peer = idText(this.member.id);
    for (const call of [...this.#calls.values()]) call.reject(etcdError("timeoutConnectionLost"));
    const lost = this.connected;
    this.connected = false;
    this.#socket = undefined;
    if (this.#closed) return;
    if (lost && clock.monotonic() - this.since > stableMs) {
      // Dial again at once: only if that fails too, the peer counts as gone.
      log.warn({ peer, reason: reason?.message }, "Lost the connection to a peer");
      this.#attempt = 0;
      this.dial();
      return;
    }
    if (this.#attempt++ === 0) log.warn({ peer, reason: reason?.message }, "Peer cannot be reached");
    handlers.onUnreachable(this.member.id, reason?.message ?? "closed by the other side");
    this.#cancelRedial = clock.after(Math.min(redialMs * 2 ** Math.min(this.#attempt, 10), maxRedialMs), () =>
      this.dial(),
    );
  }
}

/** Asks whoever listens on this peer URL, on a connection of its own. Rejects when there is no answer in time. */
export function askAt(
  url: string,
  source: TlsSource | undefined,
  kind: FrameKind,
  request: Uint8Array,
  timeoutMs: number,
): Promise<Buffer> {
  const { socket, up } = dial(url, source);
  const limit = (ms: number) => socket.setTimeout(ms, () => socket.destroy(new Error(`${url} does not answer`)));
  limit(Math.min(timeoutMs, askConnectMs));
  socket.on(up, () => {
    limit(timeoutMs);
    socket.write(frame(kind, new Uint8Array(4), request));
  });
  return answerOn(socket, url).finally(() => socket.destroy());
}

/** The first answer that comes on a connection; rejects with what it refuses, or when there is none. */
export function answerOn(socket: net.Socket, from: string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    readFrames(socket, (_kind, payload) => {
      const body = Buffer.from(payload.subarray(5));
      if (payload[4] === Code.OK) resolve(body);
      else reject(new Error(`${from}: ${body}`));
    });
    socket.on("error", reject);
    socket.on("close", () => reject(new Error(`${from} closed the connection`)));
  });
}

/** To a peer URL. `up`: the event that says that it stands. */
export function dial(url: string, source: TlsSource | undefined) {
  const to = addressOf(url);
  if (!url.startsWith("https:")) return { socket: net.connect(to), up: "connect" };
  if (source !== undefined) return { socket: dialTls(source, to), up: "secureConnect" };
  // One like any that cannot be reached: the URL may be another member's.
  const missing = new Error(`${url}: --peer-cert-file and --peer-key-file are missing`);
  return { socket: new net.Socket().destroy(missing), up: "secureConnect" };
}

const redialMs = 10;
const maxRedialMs = 500;
const connectMs = 1000;
const askConnectMs = 5000;
const stableMs = 500; // A connection that ends sooner was refused
/** Beyond this a peer is too slow to be worth more: raft will probe it when it is back. */
const maxQueuedBytes = 64 * 1024 * 1024;
