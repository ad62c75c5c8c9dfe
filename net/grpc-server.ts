import type { Socket } from "node:net";
import type { Init, Method } from "../proto/wire.ts";
import type { GrpcError } from "./grpc-error.ts";
import type { Reply } from "./reply.ts";

/**
 * gRPC services as functions of (request, context), which `GrpcFront` serves. Handlers throw `GrpcError`; anything else
 * becomes Internal with the message of the error.
 */
export interface CallContext {
  /** The caller's ASCII metadata, first value each. */
  metadata: Readonly<Record<string, string>>;
  /** Name, value, name, value: repeated ones apart. */
  rawMetadata?: readonly string[];
  /** The connection, TLS or not, that the call came on. */
  socket?: Socket;
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
