import type { Server as NetServer, Socket } from "node:net";
import type { PeerCertificate } from "node:tls";
import * as grpc from "@grpc/grpc-js";
import type { Init, Method } from "../proto/wire.ts";
import { Code, GrpcError } from "./grpc-error.ts";
import { Reply } from "./reply.ts";
import type { TlsMaterial } from "./tls.ts";

/**
 * gRPC services as functions of (request, context), served here by grpc-js (DESIGN decision 6). Handlers throw
 * `GrpcError`; anything else becomes Internal with the message of the error.
 */
export interface CallContext {
  /** The caller's ASCII metadata, first value each. */
  metadata: Readonly<Record<string, string>>;
  /** Subject of the verified client certificate. */
  peer: { commonName: string; organizations: string[] } | undefined;
  /** Aborted when the caller is gone, has cancelled, or its deadline has passed. */
  signal: AbortSignal;
}

export type UnaryHandler<Q, R> = (request: Q, context: CallContext) => Promise<R> | Reply<R> | R;

/** Answers a server-streaming call; returning ends it. */
export type StreamHandler<Q, R> = (request: Q, context: CallContext, send: Send<R>) => Promise<void>;

/** False when the caller reads too slowly: wait for `drained` before sending much more. */
export interface Send<R> {
  (response: R): boolean;
  drained(): Promise<void>;
}

/** Called once a bidirectional call; gives back what to do with each message and at the caller's half-close. */
export type BidiHandler<Q, R> = (
  context: CallContext,
  call: { send: Send<R>; end(error?: GrpcError): void },
) => { onMessage(request: Q): void; onEnd(): void };

// biome-ignore lint/suspicious/noExplicitAny: a table of methods of different types
type AnyMethod = Method<any, any>;
export type Handlers<S extends Record<string, AnyMethod>> = {
  [K in keyof S]?: S[K] extends Method<infer Q, infer R, infer Kind>
    ? Kind extends "unary"
      ? UnaryHandler<Q, Init<R>>
      : Kind extends "serverStream"
        ? StreamHandler<Q, Init<R>>
        : BidiHandler<Q, Init<R>>
    : never;
};

export class GrpcServer {
  readonly #server: grpc.Server;
  readonly #credentials: grpc.ServerCredentials;
  readonly #listeners: NetServer[] = [];
  readonly #sockets = new Set<Socket>();

  /** Without `tls` it speaks cleartext. `clientCertificates: "require"` refuses callers without one of `tls.ca`. */
  constructor(options: { tls?: TlsMaterial; clientCertificates?: "require" | "request" } = {}) {
    this.#server = new grpc.Server({
      "grpc.max_receive_message_length": -1,
      "grpc.max_send_message_length": -1,
      "grpc.max_concurrent_streams": 2 ** 31 - 1,
    });
    this.#credentials = options.tls
      ? grpc.ServerCredentials.createSsl(
          options.tls.ca,
          [{ cert_chain: options.tls.cert, private_key: options.tls.key }],
          options.clientCertificates !== "request",
        )
      : grpc.ServerCredentials.createInsecure();
  }

  addService<S extends Record<string, AnyMethod>>(service: S, handlers: Handlers<S>): void {
    const definition: Record<string, grpc.MethodDefinition<unknown, unknown>> = {};
    const implementation: Record<string, grpc.UntypedHandleCall> = {};
    for (const [name, handler] of Object.entries(handlers)) {
      const method = service[name]!;
      definition[name] = methodDefinition(method);
      implementation[name] = adapt(method, handler as UnaryHandler<unknown, unknown>);
    }
    this.#server.addService(definition, implementation);
  }

  /** Serves the connections of a listening socket, ours or one handed in from outside. */
  serve(listener: NetServer): void {
    this.#listeners.push(listener);
    const injector = this.#server.createConnectionInjector(this.#credentials);
    listener.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
      socket.on("error", () => {}); // a caller that resets is no event here; its calls see their signal abort
      socket.setNoDelay(true);
      injector.injectConnection(socket);
    });
  }

  /** Stops accepting, lets running calls end for `graceMs`, then cuts the connections. */
  async close(graceMs = 500): Promise<void> {
    for (const listener of this.#listeners) listener.close();
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => {
        this.#server.forceShutdown();
        for (const socket of this.#sockets) socket.destroy();
        resolve();
      }, graceMs);
      this.#server.tryShutdown(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}

export function methodDefinition(method: AnyMethod): grpc.MethodDefinition<unknown, unknown> {
  return {
    path: method.path,
    requestStream: method.kind === "bidi" || method.kind === "clientStream",
    responseStream: method.kind === "bidi" || method.kind === "serverStream",
    requestSerialize: (message) => Buffer.from(method.request.encode(message as never)),
    requestDeserialize: (bytes) => method.request.decode(bytes),
    responseSerialize: (message) => asBuffer(method.response.encode(message as never)),
    responseDeserialize: (bytes) => method.response.decode(bytes),
  };
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function adapt(method: AnyMethod, handler: unknown): grpc.UntypedHandleCall {
  if (method.kind === "bidi") {
    return (call: grpc.ServerDuplexStream<unknown, unknown>) => {
      const ends = (handler as BidiHandler<unknown, unknown>)(contextOf(call), {
        send: sender(call),
        end: (error) => (error ? call.emit("error", toServiceError(error)) : call.end()),
      });
      call.on("data", ends.onMessage);
      call.on("end", ends.onEnd);
      call.on("error", () => {});
    };
  }
  if (method.kind === "serverStream") {
    return (call: grpc.ServerWritableStream<unknown, unknown>) => {
      call.on("error", () => {});
      (handler as StreamHandler<unknown, unknown>)(call.request, contextOf(call), sender(call)).then(
        () => call.end(),
        (error) => call.emit("error", toServiceError(error)),
      );
    };
  }
  return (call: grpc.ServerUnaryCall<unknown, unknown>, done: grpc.sendUnaryData<unknown>) => {
    const answer = (error: unknown) => done(toServiceError(error));
    try {
      const result = (handler as UnaryHandler<unknown, unknown>)(call.request, contextOf(call));
      if (result instanceof Reply) result.settle({ resolve: (response) => done(null, response), reject: answer });
      else if (result instanceof Promise) result.then((response) => done(null, response), answer);
      else done(null, result);
    } catch (error) {
      answer(error);
    }
  };
}

interface Writable {
  write(response: unknown): boolean;
  once(event: string, fn: () => void): unknown;
}

function sender(call: Writable): Send<unknown> {
  const send = ((response: unknown) => call.write(response)) as Send<unknown>;
  send.drained = () =>
    new Promise((resolve) => {
      call.once("drain", resolve);
      call.once("cancelled", resolve);
      call.once("close", resolve);
    });
  return send;
}

interface SurfaceCall {
  metadata: grpc.Metadata;
  cancelled: boolean;
  getAuthContext(): { sslPeerCertificate?: PeerCertificate };
  on(event: string, fn: () => void): unknown;
}

function contextOf(call: SurfaceCall): CallContext {
  const controller = new AbortController();
  call.on("cancelled", () => controller.abort());
  let peer: CallContext["peer"] | null = null;
  return {
    get metadata() {
      return call.metadata.getMap() as Record<string, string>;
    },
    get peer() {
      if (peer === null) peer = peerOf(call);
      return peer;
    },
    signal: controller.signal,
  };
}

function peerOf(call: SurfaceCall): CallContext["peer"] {
  const subject = call.getAuthContext().sslPeerCertificate?.subject as
    | { CN?: string; O?: string | string[] }
    | undefined;
  if (subject?.CN === undefined) return undefined;
  return { commonName: subject.CN, organizations: subject.O === undefined ? [] : [subject.O].flat() };
}

function toServiceError(error: unknown): grpc.ServiceError {
  const known = error instanceof GrpcError ? error : new GrpcError(Code.Internal, (error as Error)?.message ?? "");
  const metadata = new grpc.Metadata();
  for (const [key, value] of Object.entries(known.trailers)) metadata.set(key, value);
  return Object.assign(new Error(known.message), { code: known.code as grpc.status, details: known.message, metadata });
}
