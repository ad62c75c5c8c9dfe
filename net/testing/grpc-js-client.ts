import * as grpc from "@grpc/grpc-js";
import type { Init, Method } from "../../proto/wire.ts";
import type { BidiStream, CallOptions, ClientTls, ServerStream } from "../grpc-client.ts";
import { Code, GrpcError } from "../grpc-error.ts";

/** The reference client, with the methods of `GrpcClient`. */
export class GrpcJsClient {
  readonly #client: grpc.Client;

  constructor(target: string, options: { tls?: ClientTls } = {}) {
    const { tls } = options;
    const credentials = tls
      ? grpc.credentials.createSsl(tls.ca, tls.key ?? null, tls.cert ?? null)
      : grpc.credentials.createInsecure();
    this.#client = new grpc.Client(target, credentials, {
      "grpc.max_receive_message_length": -1,
      "grpc.use_local_subchannel_pool": 1,
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
