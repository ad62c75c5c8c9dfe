import net from "node:net";
import tls from "node:tls";
import { systemClock } from "../../base/clock.ts";
import { ClientConnection } from "../../net/http2/client-connection.ts";
import type { Abort, Http2Stream, StreamEvents } from "../../net/http2/connection.ts";
import type { Header } from "../../net/http2/hpack.ts";
import type { Rest } from "./job.ts";
import { RequestHeaders } from "./request-headers.ts";

/**
 * One connection of the load process, lean enough that the store and not its client is measured: no promise and no decoding
 * for each call. gRPC without TLS; or REST over TLS, where an answer's code is its status (0: 2xx) and bodies have no prefix.
 */
export interface Call {
  /** Octets of the length-prefixed answers; a view, to be copied by who keeps it. */
  onData(payload: Buffer): void;
  /** REST: the answer begins. */
  onHeaders?(): void;
  /** Once: gRPC's code and message. `connectionLost` when the connection ends first. */
  onEnd(status: number, message: string): void;
}

export const connectionLost = -1;

const grpcPrefixBytes = 5;
const noBytes = Buffer.alloc(0);

export class LoadConnection {
  readonly #socket: net.Socket;
  readonly #http2: ClientConnection;
  readonly #headers: RequestHeaders;
  readonly #rest: boolean;
  readonly #body: Body;
  #failure = "connection lost";

  /** Resolves with the server's first SETTINGS; rejects when there is no connection by then. */
  static connect(host: string, port: number, rest?: Rest, timeoutMs = 5000): Promise<LoadConnection> {
    return new Promise((resolve, reject) => {
      const socket = rest
        ? tls.connect({ host, port, ALPNProtocols: ["h2"], ...rest.tls }).setNoDelay(true)
        : net.connect({ host, port, noDelay: true });
      const cancel = systemClock.after(timeoutMs, () => {
        socket.destroy();
        reject(new Error(`no HTTP/2 from ${host}:${port} within ${timeoutMs} ms`));
      });
      const connection = new LoadConnection(socket, `${host}:${port}`, rest, () => {
        cancel();
        resolve(connection);
      });
      socket.once("close", () => {
        cancel();
        reject(new Error(`connection to ${host}:${port} closed`));
      });
    });
  }

  private constructor(socket: net.Socket, authority: string, rest: Rest | undefined, onReady: () => void) {
    this.#socket = socket;
    this.#headers = new RequestHeaders(authority, rest);
    this.#rest = rest !== undefined;
    this.#body = new Body(this.#rest ? 0 : grpcPrefixBytes);
    const output = { write: (bytes: Buffer) => void socket.write(bytes), end: () => void socket.end() };
    const onLeaving = (message: string) => this.close(message);
    this.#http2 = new ClientConnection(output, { onReady, onLeaving, onBusy() {} });
    socket.on("error", () => {}); // "close" follows
    socket.on("close", () => this.#http2.closed(this.#failure));
    socket.on("data", (chunk: Buffer) => this.#http2.receive(chunk));
  }

  /** A call with its only message. */
  unary(path: string, body: Uint8Array, call: Call): void {
    const headers = this.#headers.block(path);
    const events = new Events(call, this.#rest);
    if (body.length === 0 && this.#rest) this.#http2.open(headers, events, true);
    else this.#http2.request(headers, this.#body.of(body), events);
  }

  /** Begins a call to which messages are sent later. */
  open(path: string, call: Call): Http2Stream {
    return this.#http2.open(this.#headers.block(path), new Events(call, this.#rest));
  }

  message(stream: Http2Stream, body: Uint8Array): void {
    const payload = this.#body.of(body);
    const bytes = Buffer.allocUnsafe(payload.length);
    payload.copy(bytes, 0, 0, payload.length);
    this.#http2.sendData(stream, bytes);
  }

  /** At once; open calls hear `connectionLost`. */
  close(why = this.#failure): void {
    this.#failure = why;
    this.#socket.destroy();
    this.#http2.closed(why);
  }
}

/** What the generator hears of a stream. */
class Events implements StreamEvents {
  readonly #call: Call;
  readonly #rest: boolean;
  #status: string | undefined;

  constructor(call: Call, rest: boolean) {
    this.#call = call;
    this.#rest = rest;
  }

  onHeaders(headers: readonly Header[], endStream: boolean): void {
    const value = (wanted: string) => headers.find(([name]) => name === wanted)?.[1];
    if (this.#status === undefined && (this.#rest || endStream)) this.#status = value(":status");
    if (!endStream) return this.#rest ? this.#call.onHeaders?.() : undefined;
    const code = value("grpc-status");
    if (code === undefined) this.#end(noBytes);
    else this.#call.onEnd(Number(code), code === "0" ? "" : (value("grpc-message") ?? ""));
  }

  onData(payload: Buffer, endStream: boolean): void {
    this.#call.onData(payload);
    if (endStream) this.#end(payload);
  }

  onAbort({ code, message }: Abort): void {
    this.#call.onEnd(code === undefined ? connectionLost : 13, message);
  }

  /** Without trailers. */
  #end(body: Buffer): void {
    const status = this.#status;
    if (!this.#rest) this.#call.onEnd(2, status === undefined ? "no trailers" : `HTTP ${status}`);
    else if (status?.startsWith("2")) this.#call.onEnd(0, "");
    else this.#call.onEnd(Number(status ?? 2), `HTTP ${status} ${body.toString("utf8").slice(0, 300)}`);
  }
}

/** A body behind gRPC's prefix or none, copied from where it is. */
class Body {
  readonly #prefixBytes: number;
  #bytes: Uint8Array = noBytes;

  constructor(prefixBytes: number) {
    this.#prefixBytes = prefixBytes;
  }

  of(bytes: Uint8Array): this {
    this.#bytes = bytes;
    return this;
  }

  get length(): number {
    return this.#prefixBytes + this.#bytes.length;
  }

  copy(into: Buffer, at: number, from: number, to: number): void {
    const skipped = this.#prefixBytes;
    if (from === 0 && skipped > 0) {
      into[at] = 0; // not compressed
      into.writeUInt32BE(this.#bytes.length, at + 1);
    }
    const begin = Math.max(from, skipped);
    into.set(this.#bytes.subarray(begin - skipped, to - skipped), at + begin - from);
  }
}
