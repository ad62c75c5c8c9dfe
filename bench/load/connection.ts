import net from "node:net";
import tls from "node:tls";
import { systemClock } from "../../base/clock.ts";
import { framedMessage } from "../../net/grpc-framing.ts";
import { ClientConnection } from "../../net/http2/client-connection.ts";
import { type Abort, bytesOf, type Http2Stream, type StreamEvents } from "../../net/http2/connection.ts";
import { type Header, headerOf } from "../../net/http2/hpack.ts";
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

const noBytes = Buffer.alloc(0);

export class LoadConnection {
  readonly #socket: net.Socket;
  readonly #http2: ClientConnection;
  readonly #headers: RequestHeaders;
  readonly #rest: boolean;
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
    const output = { write: (bytes: Buffer) => void socket.write(bytes), end: () => void socket.end() };
    const onLeaving = (message: string) => this.close(message);
    this.#http2 = new ClientConnection(output, { onReady, onLeaving, onBusy() {} });
    socket.on("error", () => {}); // "close" follows
    socket.on("close", () => this.#http2.closed(this.#failure));
    socket.on("data", (chunk: Buffer) => this.#http2.receive(chunk));
  }

  /** A call with its only message. */
  unary(path: string, body: Buffer, call: Call): void {
    const headers = this.#headers.block(path);
    const events = new Events(call, this.#rest);
    if (body.length === 0 && this.#rest) this.#http2.open(headers, events, true);
    else this.#http2.request(headers, this.#rest ? body : framedMessage(body), events);
  }

  /** Begins a call to which messages are sent later. */
  open(path: string, call: Call): Http2Stream {
    return this.#http2.open(this.#headers.block(path), new Events(call, this.#rest));
  }

  message(stream: Http2Stream, body: Buffer): void {
    this.#http2.sendData(stream, bytesOf(framedMessage(body)));
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
    if (this.#status === undefined && (this.#rest || endStream)) this.#status = headerOf(headers, ":status");
    if (!endStream) return this.#rest ? this.#call.onHeaders?.() : undefined;
    const code = headerOf(headers, "grpc-status");
    if (code === undefined) this.#end(noBytes);
    else this.#call.onEnd(Number(code), code === "0" ? "" : (headerOf(headers, "grpc-message") ?? ""));
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
