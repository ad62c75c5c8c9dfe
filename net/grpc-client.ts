import * as grpc from "@grpc/grpc-js";
import type { Init, Method } from "../proto/wire.ts";
import { Code, GrpcError } from "./grpc-error.ts";
import type { TlsMaterial } from "./tls.ts";

/**
 * Calls methods as data over one grpc-js channel. Every failure is a `GrpcError` with the server's code and message.
 * Reconnects with back-off from 50 ms to 1 s: in a lab, peers come back soon.
 */
export interface CallOptions {
  signal?: AbortSignal | undefined;
  /** Milliseconds from now; without it a call waits for ever. */
  timeoutMs?: number | undefined;
  metadata?: Record<string, string | readonly string[]> | undefined;
}

/** Who the server must be signed by; a certificate of one's own is not always asked for. */
export type ClientTls = Pick<TlsMaterial, "ca"> & Partial<TlsMaterial>;

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
  readonly #client: grpc.Client;

  /** `target` as gRPC names it: `host:port`, `ipv4:a:p,b:p`, `unix:/path`. */
  constructor(
    target: string,
    options: { tls?: ClientTls; serverName?: string; channelOptions?: grpc.ClientOptions } = {},
  ) {
    const credentials = options.tls
      ? grpc.credentials.createSsl(options.tls.ca, options.tls.key ?? null, options.tls.cert ?? null)
      : grpc.credentials.createInsecure();
    this.#client = new grpc.Client(target, credentials, {
      "grpc.max_receive_message_length": -1,
      "grpc.max_send_message_length": -1,
      "grpc.initial_reconnect_backoff_ms": 50,
      "grpc.max_reconnect_backoff_ms": 1000,
      "grpc.enable_retries": 0,
      "grpc.use_local_subchannel_pool": 1,
      // A stopped machine answers nothing, and under heavy load Node was seen to miss that a connection had ended: without
      // pings both would look alive for minutes. etcd allows one each 5 s; other servers in Go (containerd) one each 5 min.
      ...(target.startsWith("unix:")
        ? { "grpc.default_authority": "localhost" }
        : { "grpc.keepalive_time_ms": 5000, "grpc.keepalive_timeout_ms": 2000 }),
      ...(options.serverName ? { "grpc.ssl_target_name_override": options.serverName } : {}),
      ...options.channelOptions,
    });
  }

  unary<Q, R>(method: Method<Q, R>, request: Init<Q>, options: CallOptions = {}): Promise<R> {
    return new Promise((resolve, reject) => {
      const done = (error: grpc.ServiceError | null, response?: R) =>
        error ? reject(toGrpcError(error)) : resolve(response!);
      const call = this.#client.makeUnaryRequest(...wireOf(method), request, ...howOf(options), done);
      cancelOn(options.signal, call);
    });
  }

  serverStream<Q, R>(method: Method<Q, R>, request: Init<Q>, options: CallOptions = {}): ServerStream<R> {
    const call = this.#client.makeServerStreamRequest(...wireOf(method), request, ...howOf(options));
    cancelOn(options.signal, call);
    return { cancel: () => call.cancel(), [Symbol.asyncIterator]: () => iterate(call, options.signal) };
  }

  bidi<Q, R>(method: Method<Q, R>, options: CallOptions = {}): BidiStream<Q, R> {
    const call = this.#client.makeBidiStreamRequest(...wireOf(method), ...howOf(options));
    cancelOn(options.signal, call);
    call.on("error", () => {}); // told to whoever iterates
    return {
      send: (request) => void call.write(request),
      end: () => call.end(),
      cancel: () => call.cancel(),
      [Symbol.asyncIterator]: () => iterate(call, options.signal),
    };
  }

  /** Resolves when connected; throws Unavailable after `timeoutMs`. */
  ready(timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#client.waitForReady(Date.now() + timeoutMs, (error) =>
        error ? reject(new GrpcError(Code.Unavailable, error.message, { cause: error })) : resolve(),
      );
    });
  }

  close(): void {
    this.#client.close();
  }
}

interface ReadableCall<R> extends AsyncIterable<R> {
  cancel(): void;
}

/** Ends quietly when the caller itself gave up. */
async function* iterate<R>(call: ReadableCall<R>, signal: AbortSignal | undefined): AsyncGenerator<R> {
  try {
    yield* call;
  } catch (error) {
    if (signal?.aborted) return;
    throw toGrpcError(error as grpc.ServiceError);
  } finally {
    call.cancel();
  }
}

/** A method as grpc-js takes it: its path and how messages are written and read. */
const wireOf = <Q, R>({ path, request, response }: Method<Q, R>) =>
  [
    path,
    (message: Init<Q>) => Buffer.from(request.encode(message)),
    (bytes: Buffer) => response.decode(bytes),
  ] as const;

function howOf({ metadata = {}, timeoutMs }: CallOptions): [grpc.Metadata, grpc.CallOptions] {
  const result = new grpc.Metadata();
  for (const [key, values] of Object.entries(metadata)) for (const value of [values].flat()) result.add(key, value);
  return [result, timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs }];
}

function cancelOn(
  signal: AbortSignal | undefined,
  call: { cancel(): void; on(e: string, fn: () => void): unknown },
): void {
  if (!signal) return;
  const cancel = () => call.cancel();
  if (signal.aborted) {
    cancel();
    return;
  }
  signal.addEventListener("abort", cancel, { once: true });
  call.on("status", () => signal.removeEventListener("abort", cancel));
}

function toGrpcError(error: grpc.ServiceError): GrpcError {
  if (typeof error.code !== "number") return new GrpcError(Code.Unknown, error.message, { cause: error });
  const trailers: Record<string, string | Buffer> = {};
  for (const [key, value] of Object.entries(error.metadata?.getMap() ?? {})) trailers[key] = value;
  return new GrpcError(error.code as unknown as Code, error.details, { trailers, cause: error });
}
