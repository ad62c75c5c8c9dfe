import type { Server as NetServer, Socket } from "node:net";
import type tls from "node:tls";
import { type Cancel, type Clock, sleep, systemClock } from "../base/clock.ts";
import { type AnyMethod, Call, type CallCounts, FrontContext, type Route } from "./grpc-call.ts";
import { Code, GrpcError } from "./grpc-error.ts";
import type { CallContext, Handlers } from "./grpc-server.ts";
import type { Http2Stream } from "./http2/connection.ts";
import { encodeHeaders, type Header, headerOf } from "./http2/hpack.ts";
import { ServerConnection } from "./http2/server-connection.ts";
import type { TlsMaterial } from "./tls.ts";
import { fixedTls, type TlsSource, tlsAcceptor } from "./tls-source.ts";

/**
 * The gRPC server, on our own HTTP/2 front. A unary call costs one decode, one handler and one buffer of answer; answers
 * of one turn of the event loop leave in one write a connection.
 * Source: "gRPC over HTTP2" (grpc.io), RFC 9113. Absent: message compression.
 */
export interface GrpcFrontOptions {
  tls?: TlsMaterial | TlsSource;
  /** "require", unless said otherwise. */
  clientCertificates?: "require" | "request" | "none";
  /** Streams that one connection may have open at a time. */
  maxStreams?: number;
  keepalive?: Keepalive;
  /** A handshake failed, or its certificate is not allowed. */
  onRefused?: (socket: Socket, reason: string) => void;
  /** Largest message accepted, bytes; default 2 MiB + 512 KiB as etcd's transport. */
  maxMessageBytes?: number;
  /** Of requests on one connection that have not come to their end; default: without limit. */
  maxUnfinishedBytes?: number;
  /** Gets the connections that do not begin as HTTP/2; their first bytes are still to be read. */
  http1?: (socket: Socket) => void;
}

/** As gRPC servers in Go have it. */
export interface Keepalive {
  /** Between two pings of a client; who pings more often is cut off. */
  minTimeMs: number;
  /** A client that was silent for so long is pinged (at the latest after twice that); 0: never. */
  intervalMs: number;
  /** And cut off if it stays silent for so long. */
  timeoutMs: number;
  clock: Clock;
}

const maxTimerMs = 2 ** 31 - 1;
/** That a peer has not taken from its connection: until it has, nothing more is put there, and no request is read. */
const maxUnreadBytes = 4 * 1024 * 1024;

export class GrpcFront {
  readonly #routes = new Map<string, Route>();
  readonly #options: GrpcFrontOptions;
  readonly #secure: ((socket: Socket) => void) | undefined;
  readonly #listeners: NetServer[] = [];
  #stopPinging: Cancel = () => {};
  readonly #connections = new Map<Socket, ServerConnection>();
  /** Connections that have not said yet what they speak. */
  readonly #silent = new Set<Socket>();
  #closed = false;

  constructor(options: GrpcFrontOptions = {}) {
    this.#options = options;
    this.#secure = options.tls && this.#tlsAcceptor(options.tls);
    if (options.keepalive) this.#stopPinging = this.#pingTheSilent(options.keepalive);
  }

  #tlsAcceptor(given: TlsMaterial | TlsSource): (socket: Socket) => void {
    const { clientCertificates, http1, onRefused } = this.#options;
    const options = {
      requestCert: clientCertificates !== "none",
      rejectUnauthorized: clientCertificates === "require" || clientCertificates === undefined,
      ALPNProtocols: http1 ? ["h2", "http/1.1"] : ["h2"],
    };
    return tlsAcceptor("options" in given ? given : fixedTls(given), options, {
      accept: (socket) => this.#listen(socket, socket.authorized ? peerOf(socket) : undefined),
      refused: (socket, reason) => onRefused?.(socket, reason),
    });
  }

  #pingTheSilent({ intervalMs, timeoutMs, clock }: Keepalive): Cancel {
    if (intervalMs === 0 || timeoutMs === 0) return () => {};
    return clock.every(Math.min(intervalMs, maxTimerMs), () => {
      const pinged = [...this.#connections].filter(([, connection]) => !connection.heard());
      for (const [, connection] of pinged) connection.ping();
      if (pinged.length === 0) return;
      clock.after(Math.min(timeoutMs, maxTimerMs), () => {
        for (const [socket, connection] of pinged) if (!connection.heard()) socket.destroy();
      });
    });
  }

  addService<S extends Record<string, AnyMethod>>(service: S, handlers: Handlers<S>): void {
    for (const [name, handler] of Object.entries(handlers)) {
      const method = service[name]!;
      const counts = { started: 0, handled: new Map(), received: 0, sent: 0 };
      this.#routes.set(method.path, { method, handler, counts });
    }
  }

  /** For the metrics of whoever serves. */
  get calls(): Iterable<{ method: AnyMethod; counts: CallCounts }> {
    return this.#routes.values();
  }

  /** Serves the connections of a listening socket, ours or one handed in from outside. */
  serve(listener: NetServer): void {
    this.#listeners.push(listener);
    listener.on("connection", (socket: Socket) => this.#accept(socket));
  }

  /** Stops accepting, lets running calls end for `graceMs`, then cuts the connections. */
  async close(graceMs = 500): Promise<void> {
    this.#closed = true;
    this.#stopPinging();
    for (const listener of this.#listeners) listener.close();
    const ended = [...this.#connections].map(
      ([socket, connection]) =>
        new Promise<unknown>((resolve) => {
          socket.once("finish", resolve).once("close", resolve);
          connection.leave();
        }),
    );
    const late = new AbortController();
    await Promise.race([Promise.all(ended), sleep(systemClock, graceMs, late.signal)]);
    late.abort();
    for (const socket of [...this.#silent, ...this.#connections.keys()]) socket.destroy();
  }

  #accept(socket: Socket): void {
    socket.setNoDelay(true);
    socket.on("error", () => socket.destroy()); // a caller that resets is no event here; its calls see their signal abort
    if (this.#secure === undefined) this.#listen(socket, undefined);
    else this.#secure(socket);
  }

  /** HTTP/2 or HTTP/1.1: the preface of the former begins "PRI", which is no method of the latter. */
  #listen(socket: Socket, peer: CallContext["peer"]): void {
    if (this.#closed) return void socket.destroy(); // its handshake was under way
    const { http1 } = this.#options;
    if (http1 === undefined) return this.#attach(socket, peer);
    this.#silent.add(socket);
    const gone = () => void this.#silent.delete(socket);
    socket.once("close", gone);
    const hear = (sofar: Buffer) => {
      if (sofar.length < 2) return void socket.once("data", (more: Buffer) => hear(Buffer.concat([sofar, more])));
      socket.off("close", gone);
      gone();
      if (sofar.toString("latin1", 0, 2) === "PR") return this.#attach(socket, peer, sofar);
      socket.pause();
      socket.unshift(sofar);
      http1(socket);
      process.nextTick(() => socket.resume());
    };
    socket.once("data", hear);
  }

  #attach(socket: Socket, peer: CallContext["peer"], received?: Buffer): void {
    const { maxStreams, keepalive } = this.#options;
    const write = (bytes: Buffer) => {
      socket.write(bytes);
      if (socket.writableLength <= maxUnreadBytes || socket.isPaused()) return;
      socket.pause(); // who does not read is not heard either
      connection.hold();
      socket.once("drain", () => {
        socket.resume();
        connection.release();
      });
    };
    const output = { write, end: () => void socket.end() };
    const open = (stream: Http2Stream, headers: readonly Header[], ended: boolean) =>
      this.#open(connection, stream, headers, ended, { socket, peer });
    const pings = keepalive && { minTimeMs: keepalive.minTimeMs, now: () => keepalive.clock.monotonic() };
    const connection: ServerConnection = new ServerConnection(output, open, { maxStreams, pings });
    this.#connections.set(socket, connection);
    const receive = (chunk: Buffer) => connection.receive(chunk);
    socket.on("data", receive);
    socket.on("close", () => {
      this.#connections.delete(socket);
      connection.closed();
    });
    if (received !== undefined) receive(received);
  }

  #open(
    connection: ServerConnection,
    stream: Http2Stream,
    headers: readonly Header[],
    ended: boolean,
    caller: Pick<FrontContext, "socket" | "peer">,
  ) {
    const path = headerOf(headers, ":path") ?? "";
    const route = this.#routes.get(path);
    const type = headerOf(headers, "content-type") ?? "";
    if (!type.startsWith("application/grpc")) {
      connection.sendHeaders(stream, encodeHeaders([[":status", "415"]]), true);
      return;
    }
    const context = new FrontContext(headers, caller);
    const call = new Call(connection, stream, context, this.#options);
    stream.events = call;
    if (route === undefined) call.reject(new GrpcError(Code.Unimplemented, this.#unknown(path)));
    else call.start(route);
    if (ended) call.onData(Buffer.alloc(0), true);
  }

  /** In the words of grpc-go. */
  #unknown(path: string): string {
    const [, service, method] = path.split("/");
    const known = [...this.#routes.keys()].some((other) => other.startsWith(`/${service}/`));
    return known ? `unknown method ${method} for service ${service}` : `unknown service ${service}`;
  }
}

function peerOf(socket: tls.TLSSocket): CallContext["peer"] {
  const subject = socket.getPeerCertificate().subject as { CN?: string; O?: string | string[] } | undefined;
  if (subject?.CN === undefined) return undefined;
  return { commonName: subject.CN, organizations: subject.O === undefined ? [] : [subject.O].flat() };
}
