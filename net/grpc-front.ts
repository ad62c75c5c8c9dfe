import type { Server as NetServer, Socket } from "node:net";
import type tls from "node:tls";
import { type Cancel, type Clock, sleep, systemClock } from "../base/clock.ts";
import type { Faults } from "../base/faults.ts";
import { type Method, Writer } from "../proto/wire.ts";
import { FaultyLink } from "./faulty-link.ts";
import { Code, GrpcError } from "./grpc-error.ts";
import type { BidiHandler, CallContext, Handlers, Send, StreamHandler, UnaryHandler } from "./grpc-server.ts";
import { Http2Connection, type Http2Stream, type Payload } from "./http2/connection.ts";
import { encodeHeaders, type Header } from "./http2/hpack.ts";
import { Reply } from "./reply.ts";
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
  /** What callers suffer on request, by the common name of their certificate, or `NAME@ADDRESS`. */
  faults?: Faults | undefined;
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

// biome-ignore lint/suspicious/noExplicitAny: a table of methods of different types
type AnyMethod = Method<any, any>;
interface Route {
  method: AnyMethod;
  handler: unknown;
  counts: CallCounts;
}

/** Of one method: calls begun, calls ended by code, messages. */
export interface CallCounts {
  started: number;
  handled: Map<Code, number>;
  received: number;
  sent: number;
}

const maxTimerMs = 2 ** 31 - 1;
const prefixBytes = 5;
const responseHeaders = encodeHeaders([
  [":status", "200"],
  ["content-type", "application/grpc"],
]);
const okTrailers = encodeHeaders([["grpc-status", "0"]]);
/** Octets that may wait in a stream before `send` says stop. */
const highWaterMark = 1024 * 1024;

export class GrpcFront {
  readonly #routes = new Map<string, Route>();
  readonly #options: GrpcFrontOptions;
  readonly #secure: ((socket: Socket) => void) | undefined;
  readonly #listeners: NetServer[] = [];
  #stopPinging: Cancel = () => {};
  readonly #connections = new Map<Socket, Http2Connection>();
  /** Connections that have not said yet what they speak. */
  readonly #silent = new Set<Socket>();

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
    this.#stopPinging();
    for (const listener of this.#listeners) listener.close();
    const ended = [...this.#connections].map(
      ([socket, connection]) =>
        new Promise<unknown>((resolve) => {
          socket.once("finish", resolve).once("close", resolve);
          connection.goaway();
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
    const { maxStreams, keepalive, faults } = this.#options;
    const name = peer?.commonName;
    const names = name === undefined ? [] : [name, `${name}@${socket.remoteAddress}`];
    const link = faults && new FaultyLink(faults, names, systemClock);
    const write = (bytes: Buffer) => void socket.write(bytes);
    const end = () => void socket.end();
    const output = link
      ? { write: (bytes: Buffer) => link.pass("out", bytes, write), end: () => link.pass("out", undefined, end) }
      : { write, end };
    const open = (stream: Http2Stream, headers: readonly Header[], ended: boolean) =>
      this.#open(connection, stream, headers, ended, { socket, peer });
    const pings = keepalive && { minTimeMs: keepalive.minTimeMs, now: () => keepalive.clock.monotonic() };
    const connection: Http2Connection = new Http2Connection(output, open, {
      ...(maxStreams === undefined ? {} : { maxStreams }),
      ...(pings ? { pings } : {}),
    });
    this.#connections.set(socket, connection);
    const receive = (chunk: Buffer) => connection.receive(chunk);
    const onData = link ? (chunk: Buffer) => link.pass("in", chunk, receive) : receive;
    socket.on("data", onData);
    socket.on("close", () => {
      link?.close();
      this.#connections.delete(socket);
      connection.closed();
    });
    if (received !== undefined) onData(received);
  }

  #open(
    connection: Http2Connection,
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
    if (route === undefined) call.fail(new GrpcError(Code.Unimplemented, this.#unknown(path)));
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

/** One call: frames in, messages to the handler, its answer out. */
class Call {
  readonly #connection: Http2Connection;
  readonly #stream: Http2Stream;
  readonly #context: FrontContext;
  readonly #maxMessageBytes: number;
  readonly #maxUnfinishedBytes: number;
  #route: Route | undefined;
  #bidi: ReturnType<BidiHandler<unknown, unknown>> | undefined;
  /** Of an unfinished message; a copy, since chunks are reused. */
  #rest: Buffer | undefined;
  #request: Buffer | undefined;
  /** Its part of the connection's `held`. */
  #held = 0;
  #done = false;
  #headersSent = false;
  #deadline: NodeJS.Timeout | undefined;

  constructor(connection: Http2Connection, stream: Http2Stream, context: FrontContext, limits: GrpcFrontOptions) {
    this.#connection = connection;
    this.#stream = stream;
    this.#context = context;
    this.#maxMessageBytes = limits.maxMessageBytes ?? 2.5 * 1024 * 1024;
    this.#maxUnfinishedBytes = limits.maxUnfinishedBytes ?? Number.POSITIVE_INFINITY;
  }

  start(route: Route): void {
    this.#route = route;
    route.counts.started++;
    const timeoutMs = this.#context.timeoutMs();
    if (timeoutMs !== undefined) {
      this.#deadline = setTimeout(() => {
        this.fail(new GrpcError(Code.DeadlineExceeded, "context deadline exceeded"));
        this.#context.abort();
      }, timeoutMs);
    }
    const { method, handler } = route;
    if (method.kind !== "bidi") return;
    this.#bidi = (handler as BidiHandler<unknown, unknown>)(this.#context, {
      send: this.#sender(),
      end: (error) => (error === undefined ? this.#end(okTrailers) : this.fail(error)),
    });
  }

  onAbort(): void {
    this.#finish(Code.Canceled);
    this.#context.abort();
  }

  onData(payload: Buffer, endStream: boolean): void {
    if (this.#done) return;
    try {
      this.#messages(payload);
      if (!endStream || this.#done) return;
      if (this.#rest !== undefined) throw new GrpcError(Code.Internal, "request ended inside a message");
      if (this.#bidi !== undefined) this.#bidi.onEnd();
      else this.#invoke();
    } catch (error) {
      this.fail(error);
    }
  }

  /** Cuts out length-prefixed messages: | compressed u8 | length u32 | message |. */
  #messages(payload: Buffer): void {
    const buffer = this.#rest === undefined ? payload : Buffer.concat([this.#rest, payload]);
    this.#rest = undefined;
    let at = 0;
    while (buffer.length - at >= prefixBytes) {
      const length = buffer.readUInt32BE(at + 1);
      if (buffer[at] !== 0) throw new GrpcError(Code.Unimplemented, "compressed messages are not supported");
      if (length > this.#maxMessageBytes) {
        const text = `grpc: received message larger than max (${length} vs. ${this.#maxMessageBytes})`;
        throw new GrpcError(Code.ResourceExhausted, text);
      }
      const end = at + prefixBytes + length;
      if (buffer.length < end) break;
      this.#message(buffer.subarray(at + prefixBytes, end));
      at = end;
    }
    if (at < buffer.length) this.#rest = Buffer.from(buffer.subarray(at));
    this.#hold((this.#rest?.length ?? 0) + (this.#request?.length ?? 0));
  }

  /** Many requests that never end are no way to fill the memory. */
  #hold(bytes: number): void {
    const held = this.#connection.held + bytes - this.#held;
    if (held > this.#maxUnfinishedBytes)
      throw new GrpcError(Code.ResourceExhausted, "too many unfinished requests on the connection");
    this.#connection.held = held;
    this.#held = bytes;
  }

  #message(bytes: Buffer): void {
    if (this.#route) this.#route.counts.received++;
    if (this.#bidi !== undefined) return this.#bidi.onMessage(this.#route!.method.request.decode(bytes));
    if (this.#request !== undefined) throw new GrpcError(Code.Internal, "more than one message in a unary request");
    this.#request = bytes;
  }

  #invoke(): void {
    const { method, handler } = this.#route!;
    if (this.#request === undefined) throw new GrpcError(Code.Internal, "a unary request without a message");
    const request = decode(method, this.#request);
    if (method.kind === "serverStream") {
      const running = (handler as StreamHandler<unknown, unknown>)(request, this.#context, this.#sender());
      running.then(
        () => this.#end(okTrailers),
        (error) => this.fail(error),
      );
      return;
    }
    const result = (handler as UnaryHandler<unknown, unknown>)(request, this.#context);
    if (result instanceof Reply) result.settle(this);
    else if (result instanceof Promise) {
      result.then(
        (response) => this.resolve(response),
        (error) => this.fail(error),
      );
    } else this.resolve(result);
  }

  /** What the handler gave. */
  resolve(response: unknown): void {
    if (this.#done) return;
    this.#finish(Code.OK);
    this.#connection.respond(this.#stream, responseHeaders, this.#framed(response), okTrailers);
  }

  reject(error: unknown): void {
    this.fail(error);
  }

  /** Valid until the next message is written. */
  #framed(response: unknown): Payload {
    const { method, counts } = this.#route!;
    counts.sent++;
    return framed.of(method.response.write(response as never, Writer.create()));
  }

  #frame(response: unknown): Buffer {
    const payload = this.#framed(response);
    const bytes = Buffer.allocUnsafe(payload.length);
    payload.copy(bytes, 0, 0, payload.length);
    return bytes;
  }

  #sender(): Send<unknown> {
    const send = ((response: unknown) => {
      if (this.#done) return true;
      if (!this.#headersSent) this.#connection.sendHeaders(this.#stream, responseHeaders, false);
      this.#headersSent = true;
      this.#connection.sendData(this.#stream, this.#frame(response));
      return this.#stream.queuedBytes < highWaterMark;
    }) as Send<unknown>;
    send.drained = () =>
      new Promise((resolve) => {
        if (this.#done || this.#stream.queuedBytes === 0) resolve();
        else this.#stream.onDrain = resolve;
      });
    return send;
  }

  #end(trailers: Buffer): void {
    if (this.#done) return;
    this.#finish(Code.OK);
    if (this.#headersSent) this.#connection.sendTrailers(this.#stream, trailers);
    else {
      this.#connection.sendHeaders(this.#stream, responseHeaders, false);
      this.#connection.sendTrailers(this.#stream, trailers);
    }
  }

  fail(error: unknown): void {
    if (this.#done) return;
    const known = error instanceof GrpcError ? error : new GrpcError(Code.Internal, (error as Error)?.message ?? "");
    const status: Header[] = [
      ["grpc-status", String(known.code)],
      ["grpc-message", encodeMessage(known.message)],
      ...Object.entries(known.trailers).map(
        ([key, value]) => [key, typeof value === "string" ? value : value.toString("base64")] as const,
      ),
    ];
    this.#finish(known.code);
    if (this.#headersSent) return this.#connection.sendTrailers(this.#stream, encodeHeaders(status));
    const all: Header[] = [[":status", "200"], ["content-type", "application/grpc"], ...status];
    this.#connection.sendHeaders(this.#stream, encodeHeaders(all), true); // "Trailers-Only"
  }

  #finish(code: Code): void {
    const handled = this.#done ? undefined : this.#route?.counts.handled;
    handled?.set(code, (handled.get(code) ?? 0) + 1);
    this.#done = true;
    this.#request = undefined;
    this.#rest = undefined;
    this.#hold(0);
    clearTimeout(this.#deadline);
  }
}

/** A message behind its prefix, copied from the writer that it is in. */
class Framed implements Payload {
  #message = Writer.create();

  of(message: Writer): this {
    this.#message = message;
    return this;
  }

  get length(): number {
    return prefixBytes + this.#message.length;
  }

  copy(into: Buffer, at: number, from: number, to: number): void {
    let begin = from;
    if (from === 0) {
      into[at] = 0;
      into.writeUInt32BE(this.#message.length, at + 1);
      begin = prefixBytes;
    }
    this.#message.copy(into, at + begin - from, begin - prefixBytes, to - prefixBytes);
  }
}

const framed = new Framed();

class FrontContext implements CallContext {
  readonly #headers: readonly Header[];
  readonly peer: CallContext["peer"];
  readonly socket: Socket;
  #metadata: Record<string, string> | undefined;
  #controller: AbortController | undefined;
  #aborted = false;

  constructor(headers: readonly Header[], { socket, peer }: Pick<FrontContext, "socket" | "peer">) {
    this.#headers = headers;
    this.peer = peer;
    this.socket = socket;
  }

  get metadata(): Record<string, string> {
    if (this.#metadata !== undefined) return this.#metadata;
    this.#metadata = {};
    for (const [name, value] of this.#headers) if (!name.startsWith(":")) this.#metadata[name] ??= value;
    return this.#metadata;
  }

  get rawMetadata(): string[] {
    return this.#headers.flat();
  }

  /** Made when somebody asks: most calls end before anyone would listen. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#aborted) this.#controller.abort();
    return this.#controller.signal;
  }

  abort(): void {
    this.#aborted = true;
    this.#controller?.abort();
  }

  /** `grpc-timeout`: up to eight digits and a unit. */
  timeoutMs(): number | undefined {
    const match = /^(\d{1,8})([HMSmun])$/.exec(headerOf(this.#headers, "grpc-timeout") ?? "");
    if (match === null) return undefined;
    const unitMs = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 }[match[2]!]!;
    return Math.min(Number(match[1]) * unitMs, 2 ** 31 - 1);
  }
}

function decode(method: AnyMethod, bytes: Buffer): unknown {
  try {
    return method.request.decode(bytes);
  } catch (cause) {
    throw new GrpcError(Code.Internal, `failed to unmarshal the request: ${(cause as Error).message}`, { cause });
  }
}

function headerOf(headers: readonly Header[], name: string): string | undefined {
  for (const header of headers) if (header[0] === name) return header[1];
  return undefined;
}

/** Percent-encoding of `grpc-message`: printable ASCII stays, except the percent sign. */
function encodeMessage(message: string): string {
  return [...Buffer.from(message, "utf8")]
    .map((byte) =>
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`,
    )
    .join("");
}

function peerOf(socket: tls.TLSSocket): CallContext["peer"] {
  const subject = socket.getPeerCertificate().subject as { CN?: string; O?: string | string[] } | undefined;
  if (subject?.CN === undefined) return undefined;
  return { commonName: subject.CN, organizations: subject.O === undefined ? [] : [subject.O].flat() };
}
