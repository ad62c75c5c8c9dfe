import type { Init, Method } from "../proto/wire.ts";
import { Channel, type ChannelOptions, type Live } from "./grpc-channel.ts";
import { Code, GrpcError } from "./grpc-error.ts";
import { framed, framedBytes, MessageReader, prefixBytes } from "./grpc-framing.ts";
import type { Abort, Http2Stream, StreamEvents } from "./http2/connection.ts";
import { ErrorCode } from "./http2/frames.ts";
import { encodeHeaders, type Header, headerOf } from "./http2/hpack.ts";

/**
 * Calls methods as data, over one connection (`Channel`). Every failure is a `GrpcError` with the server's code and message.
 * Source: "gRPC over HTTP2" (grpc.io). Absent: message compression, retries, lists of addresses by name.
 */
export interface CallOptions {
  signal?: AbortSignal | undefined;
  /** Milliseconds from now; without it a call waits for ever. */
  timeoutMs?: number | undefined;
  metadata?: Record<string, string | readonly string[]> | undefined;
}

export type { ClientTls } from "./grpc-channel.ts";

export interface ServerStream<R> extends AsyncIterable<R> {
  cancel(): void;
}

export interface BidiStream<Q, R> extends AsyncIterable<R> {
  send(request: Init<Q>): void;
  /** Half-close: no more requests. */
  end(): void;
  cancel(): void;
}

export class GrpcClient {
  readonly #channel: Channel;
  /** The headers that all calls of a method share, by path. */
  readonly #headers = new Map<string, Buffer>();
  #headersOf: Live | undefined;

  /** `target` as gRPC names it: `host:port`, `ipv4:a:p,b:p`, `unix:/path`. */
  constructor(target: string, options: ChannelOptions = {}) {
    this.#channel = new Channel(target, target.startsWith("unix:") ? { keepaliveMs: "none", ...options } : options);
  }

  unary<Q, R>(method: Method<Q, R>, request: Init<Q>, options: CallOptions = {}): Promise<R> {
    return new Promise((resolve, reject) => {
      const call = new UnaryCall(method, resolve, reject);
      this.#start(call, options, (live, headers) => live.http2.request(headers, framed(method.request, request), call));
    });
  }

  serverStream<Q, R>(method: Method<Q, R>, request: Init<Q>, options: CallOptions = {}): ServerStream<R> {
    const call = new StreamCall(method);
    this.#start(call, options, (live, headers) => live.http2.request(headers, framed(method.request, request), call));
    return { cancel: () => call.cancel(), [Symbol.asyncIterator]: () => call.iterate(options.signal) };
  }

  bidi<Q, R>(method: Method<Q, R>, options: CallOptions = {}): BidiStream<Q, R> {
    const call = new StreamCall(method);
    this.#start(call, options, (live, headers) => live.http2.open(headers, call));
    return {
      send: (request) => call.send(framedBytes(method.request, request)),
      end: () => call.end(),
      cancel: () => call.cancel(),
      [Symbol.asyncIterator]: () => call.iterate(options.signal),
    };
  }

  /** Resolves when connected; throws Unavailable after `timeoutMs`. */
  ready(timeoutMs: number): Promise<void> {
    return this.#channel.ready(timeoutMs);
  }

  close(): void {
    this.#channel.close();
  }

  #start<R>(call: Call<R>, options: CallOptions, open: (live: Live, headers: Buffer) => Http2Stream): void {
    call.limit(options);
    const begin = (live: Live) => {
      if (call.done) return;
      try {
        call.began(live, open(live, this.#headersFor(live, call.path, options)));
      } catch (cause) {
        call.fail(new GrpcError(Code.Internal, (cause as Error).message, { cause }));
      }
    };
    const { live } = this.#channel;
    if (live) begin(live);
    else this.#channel.connect().then(begin, (error: GrpcError) => call.fail(error));
  }

  #headersFor(live: Live, path: string, { timeoutMs, metadata }: CallOptions): Buffer {
    if (live !== this.#headersOf) this.#headers.clear();
    this.#headersOf = live;
    let headers = this.#headers.get(path);
    if (headers === undefined) {
      headers = encodeHeaders([
        [":method", "POST"],
        [":scheme", live.secure ? "https" : "http"],
        [":path", path],
        [":authority", live.authority],
        ["content-type", "application/grpc"],
        ["te", "trailers"],
        ["user-agent", "kubelab"],
      ]);
      this.#headers.set(path, headers);
    }
    const more: Header[] = [];
    if (timeoutMs !== undefined) more.push(["grpc-timeout", timeoutText(timeoutMs)]);
    for (const [key, values] of Object.entries(metadata ?? {}))
      for (const value of [values].flat()) more.push([key.toLowerCase(), value]);
    return more.length === 0 ? headers : Buffer.concat([headers, encodeHeaders(more)]);
  }
}

type Answering<R> = Pick<Method<unknown, R>, "path" | "response">;

/** One call: how it ends, and what ends it early. */
abstract class Call<R> extends MessageReader implements StreamEvents {
  readonly #method: Answering<R>;
  #live: Live | undefined;
  #stream: Http2Stream | undefined;
  #timer: NodeJS.Timeout | undefined;
  #signal: AbortSignal | undefined;
  #done = false;

  constructor(method: Answering<R>) {
    super();
    this.#method = method;
  }

  /** The outcome: undefined when all went well. */
  protected abstract settle(error: GrpcError | undefined): void;

  get path(): string {
    return this.#method.path;
  }

  get done(): boolean {
    return this.#done;
  }

  protected get live(): Live | undefined {
    return this.#live;
  }

  protected get stream(): Http2Stream | undefined {
    return this.#stream;
  }

  limit({ signal, timeoutMs }: CallOptions): void {
    if (timeoutMs !== undefined) this.#timer = setTimeout(this.#late, Math.min(timeoutMs, maxTimerMs));
    this.#signal = signal;
    if (signal?.aborted) this.cancel();
    else signal?.addEventListener("abort", this.#aborted, { once: true });
  }

  began(live: Live, stream: Http2Stream): void {
    this.#live = live;
    this.#stream = stream;
  }

  cancel(): void {
    this.#leave(new GrpcError(Code.Canceled, "context canceled"));
  }

  fail(error: GrpcError): void {
    this.#end(error);
  }

  onHeaders(headers: readonly Header[], endStream: boolean): void {
    const http = headerOf(headers, ":status") ?? "200"; // trailers have none
    if (endStream) this.#end(this.#outcome(headers, http));
    else if (http !== "200" && !http.startsWith("1")) this.#leave(httpError(http));
  }

  onData(payload: Buffer, endStream: boolean): void {
    try {
      this.read(payload);
      if (endStream) this.#end(this.#outcome([]));
    } catch (error) {
      const known = error instanceof GrpcError ? error : undefined;
      this.#leave(known ?? new GrpcError(Code.Internal, (error as Error).message, { cause: error }));
    }
  }

  onAbort({ code, message }: Abort): void {
    this.#end(new GrpcError(code === undefined ? Code.Unavailable : (ofReset[code] ?? Code.Internal), message));
  }

  protected decode(message: Buffer): R {
    const { response, path } = this.#method;
    try {
      return response.decode(message);
    } catch (cause) {
      throw new GrpcError(Code.Internal, `an answer of ${path} does not decode: ${(cause as Error).message}`, {
        cause,
      });
    }
  }

  readonly #late = (): void => this.#leave(new GrpcError(Code.DeadlineExceeded, "context deadline exceeded"));

  readonly #aborted = (): void => this.cancel();

  #leave(error: GrpcError): void {
    if (this.#done) return;
    this.#end(error);
    if (this.#stream) this.#live!.http2.cancel(this.#stream);
  }

  #end(error: GrpcError | undefined): void {
    if (this.#done) return;
    this.#done = true;
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener("abort", this.#aborted);
    this.settle(error);
  }

  #outcome(trailers: readonly Header[], http = "200"): GrpcError | undefined {
    const status = headerOf(trailers, "grpc-status");
    if (status === undefined) return httpError(http);
    if (status === "0")
      return this.insideMessage ? new GrpcError(Code.Internal, "the answer ended inside a message") : undefined;
    const known = Number(status) as Code;
    const message = decodeMessage(headerOf(trailers, "grpc-message") ?? "");
    return new GrpcError(known, message, { trailers: metadataOf(trailers) });
  }
}

class UnaryCall<R> extends Call<R> {
  readonly #resolve: (response: R) => void;
  readonly #reject: (error: GrpcError) => void;
  #response: Buffer | undefined;

  constructor(method: Answering<R>, resolve: (response: R) => void, reject: (error: GrpcError) => void) {
    super(method);
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** Copied: what is kept of an answer must not keep all that came with it. */
  protected onMessage(message: Buffer): void {
    if (this.#response) throw new GrpcError(Code.Internal, "more than one message in a unary answer");
    this.#response = Buffer.from(message);
  }

  protected settle(error: GrpcError | undefined): void {
    if (error) return this.#reject(error);
    if (this.#response === undefined)
      return this.#reject(new GrpcError(Code.Internal, "a unary answer without a message"));
    try {
      this.#resolve(this.decode(this.#response));
    } catch (failure) {
      this.#reject(failure as GrpcError);
    }
  }
}

/** Messages wait until they are asked for; with many of them waiting, the server's window stays shut. */
class StreamCall<R> extends Call<R> {
  readonly #unread: Buffer[] = [];
  #unreadBytes = 0;
  #ended: { error: GrpcError | undefined } | undefined;
  #wake: (() => void) | undefined;
  /** Not sent yet: there is no connection. */
  #unsent: Buffer[] = [];
  #halfClosed = false;

  send(message: Buffer): void {
    if (this.done) return;
    if (this.stream) this.live!.http2.sendData(this.stream, message);
    else this.#unsent.push(message);
  }

  end(): void {
    this.#halfClosed = true;
    if (this.stream && !this.done) this.live!.http2.sendEnd(this.stream, "data");
  }

  override began(live: Live, stream: Http2Stream): void {
    super.began(live, stream);
    for (const message of this.#unsent.splice(0)) this.send(message);
    if (this.#halfClosed) this.end();
  }

  protected onMessage(message: Buffer): void {
    this.#unread.push(Buffer.from(message));
    this.#unreadBytes += prefixBytes + message.length;
    if (this.#unreadBytes > maxUnreadBytes && this.stream) this.stream.paused = true;
    this.#wake?.();
  }

  protected settle(error: GrpcError | undefined): void {
    this.#ended = { error };
    this.#unsent = [];
    this.#wake?.();
  }

  /** Ends quietly when the caller itself gave up. */
  async *iterate(signal: AbortSignal | undefined): AsyncGenerator<R> {
    try {
      for (;;) {
        const message = this.#unread.shift();
        if (message !== undefined) {
          this.#taken(prefixBytes + message.length);
          yield this.decode(message);
        } else if (this.#ended === undefined) await new Promise<void>((resolve) => (this.#wake = resolve));
        else if (this.#ended.error === undefined || signal?.aborted) return;
        else throw this.#ended.error;
      }
    } finally {
      this.cancel();
    }
  }

  #taken(bytes: number): void {
    this.#unreadBytes -= bytes;
    if (this.stream?.paused && this.#unreadBytes <= maxUnreadBytes) this.live!.http2.resume(this.stream);
  }
}

const maxUnreadBytes = 1024 * 1024;
const maxTimerMs = 2 ** 31 - 1;

/** "HTTP2 Transport Mapping": the others are Internal. */
const ofReset: Record<number, Code> = {
  [ErrorCode.refusedStream]: Code.Unavailable,
  [ErrorCode.cancel]: Code.Canceled,
  [ErrorCode.enhanceYourCalm]: Code.ResourceExhausted,
};

/** "HTTP to gRPC Status Code Mapping": the others are Unknown. */
const ofHttp: Record<string, Code> = {
  400: Code.Internal,
  401: Code.Unauthenticated,
  403: Code.PermissionDenied,
  404: Code.Unimplemented,
  429: Code.Unavailable,
  502: Code.Unavailable,
  503: Code.Unavailable,
  504: Code.Unavailable,
};

/** Of an answer without gRPC's status. */
function httpError(http: string): GrpcError {
  return new GrpcError(
    ofHttp[http] ?? Code.Unknown,
    http === "200" ? "the answer ended without a status" : `HTTP ${http}`,
  );
}

/** Whole milliseconds: the same text for all calls with the same limit. At most eight digits. */
function timeoutText(timeoutMs: number): string {
  const ms = Math.ceil(Math.max(0, timeoutMs));
  return ms < 1e8 ? `${ms}m` : `${Math.min(Math.ceil(ms / 1000), 99_999_999)}S`;
}

function metadataOf(headers: readonly Header[]): Record<string, string | Buffer> {
  const metadata: Record<string, string | Buffer> = {};
  for (const [name, value] of headers) {
    if (name.startsWith(":") || name === "grpc-status" || name === "grpc-message") continue;
    metadata[name] = name.endsWith("-bin") ? Buffer.from(value, "base64") : value;
  }
  return metadata;
}

/** Percent-encoded UTF-8; what is not, stays as it is. */
function decodeMessage(text: string): string {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
