import type { Socket } from "node:net";
import type { Method } from "../proto/wire.ts";
import { Code, GrpcError } from "./grpc-error.ts";
import { framed, framedBytes, MessageReader } from "./grpc-framing.ts";
import type { BidiHandler, CallContext, Send, StreamHandler, UnaryHandler } from "./grpc-server.ts";
import type { Http2Stream } from "./http2/connection.ts";
import { encodeHeaders, type Header, headerOf } from "./http2/hpack.ts";
import type { ServerConnection } from "./http2/server-connection.ts";
import { Reply } from "./reply.ts";

// biome-ignore lint/suspicious/noExplicitAny: a table of methods of different types
export type AnyMethod = Method<any, any>;
export interface Route {
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

/** Bytes: of one message, and of requests on one connection that have not come to their end. */
export interface CallLimits {
  maxMessageBytes?: number;
  maxUnfinishedBytes?: number;
}

const responseHeaders = encodeHeaders([
  [":status", "200"],
  ["content-type", "application/grpc"],
]);
const okTrailers = encodeHeaders([["grpc-status", "0"]]);
/** Octets that may wait in a stream before `send` says stop. */
const highWaterMark = 1024 * 1024;

/** One call: frames in, messages to the handler, its answer out. */
export class Call extends MessageReader {
  readonly #connection: ServerConnection;
  readonly #stream: Http2Stream;
  readonly #context: FrontContext;
  readonly #maxUnfinishedBytes: number;
  #route: Route | undefined;
  #bidi: ReturnType<BidiHandler<unknown, unknown>> | undefined;
  #request: Buffer | undefined;
  /** Its part of the connection's `held`. */
  #held = 0;
  #done = false;
  #headersSent = false;
  #deadline: NodeJS.Timeout | undefined;

  constructor(connection: ServerConnection, stream: Http2Stream, context: FrontContext, limits: CallLimits) {
    super(limits.maxMessageBytes ?? 2.5 * 1024 * 1024);
    this.#connection = connection;
    this.#stream = stream;
    this.#context = context;
    this.#maxUnfinishedBytes = limits.maxUnfinishedBytes ?? Number.POSITIVE_INFINITY;
  }

  start(route: Route): void {
    this.#route = route;
    route.counts.started++;
    const timeoutMs = this.#context.timeoutMs();
    if (timeoutMs !== undefined) {
      this.#deadline = setTimeout(() => {
        this.reject(new GrpcError(Code.DeadlineExceeded, "context deadline exceeded"));
        this.#context.abort();
      }, timeoutMs);
    }
    const { method, handler } = route;
    if (method.kind !== "bidi") return;
    this.#bidi = (handler as BidiHandler<unknown, unknown>)(this.#context, {
      send: this.#sender(),
      end: (error) => (error === undefined ? this.#end(okTrailers) : this.reject(error)),
    });
  }

  onAbort(): void {
    this.#finish(Code.Canceled);
    this.#context.abort();
  }

  onData(payload: Buffer, endStream: boolean): void {
    if (this.#done) return;
    try {
      this.read(payload);
      if (this.#done) return;
      this.#hold(this.unfinishedBytes + (this.#request?.length ?? 0));
      if (!endStream) return;
      if (this.insideMessage) throw new GrpcError(Code.Internal, "request ended inside a message");
      if (this.#bidi !== undefined) this.#bidi.onEnd();
      else this.#invoke();
    } catch (error) {
      this.reject(error);
    }
  }

  /** Many requests that never end are no way to fill the memory. */
  #hold(bytes: number): void {
    const held = this.#connection.held + bytes - this.#held;
    if (held > this.#maxUnfinishedBytes)
      throw new GrpcError(Code.ResourceExhausted, "too many unfinished requests on the connection");
    this.#connection.held = held;
    this.#held = bytes;
  }

  protected onMessage(bytes: Buffer): void {
    if (this.#done) return; // by a message before it
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
        (error) => this.reject(error),
      );
      return;
    }
    const result = (handler as UnaryHandler<unknown, unknown>)(request, this.#context);
    if (result instanceof Reply) result.settle(this);
    else if (result instanceof Promise) {
      result.then(
        (response) => this.resolve(response),
        (error) => this.reject(error),
      );
    } else this.resolve(result);
  }

  /** What the handler gave. */
  resolve(response: unknown): void {
    if (this.#done) return;
    const { method, counts } = this.#route!;
    counts.sent++;
    this.#finish(Code.OK);
    this.#connection.sendWhole(this.#stream, responseHeaders, framed(method.response, response as never), okTrailers);
  }

  #sender(): Send<unknown> {
    const send = ((response: unknown) => {
      if (this.#done) return true;
      if (!this.#headersSent) this.#connection.sendHeaders(this.#stream, responseHeaders, false);
      this.#headersSent = true;
      const { method, counts } = this.#route!;
      counts.sent++;
      this.#connection.sendData(this.#stream, framedBytes(method.response, response as never));
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
    if (!this.#headersSent) this.#connection.sendHeaders(this.#stream, responseHeaders, false);
    this.#connection.sendEnd(this.#stream, trailers);
  }

  reject(error: unknown): void {
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
    if (this.#headersSent) return this.#connection.sendEnd(this.#stream, encodeHeaders(status));
    const all: Header[] = [[":status", "200"], ["content-type", "application/grpc"], ...status];
    this.#connection.sendHeaders(this.#stream, encodeHeaders(all), true); // "Trailers-Only"
  }

  #finish(code: Code): void {
    const handled = this.#done ? undefined : this.#route?.counts.handled;
    handled?.set(code, (handled.get(code) ?? 0) + 1);
    this.#done = true;
    this.#request = undefined;
    this.#hold(0);
    clearTimeout(this.#deadline);
  }
}

export class FrontContext implements CallContext {
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
