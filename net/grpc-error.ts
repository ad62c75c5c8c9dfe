/** gRPC status codes (grpc.io, "Status codes and their use in gRPC"). */
export const Code = {
  OK: 0,
  Canceled: 1,
  Unknown: 2,
  InvalidArgument: 3,
  DeadlineExceeded: 4,
  NotFound: 5,
  AlreadyExists: 6,
  PermissionDenied: 7,
  ResourceExhausted: 8,
  FailedPrecondition: 9,
  Aborted: 10,
  OutOfRange: 11,
  Unimplemented: 12,
  Internal: 13,
  Unavailable: 14,
  DataLoss: 15,
  Unauthenticated: 16,
} as const;
export type Code = (typeof Code)[keyof typeof Code];

/** What a handler throws and a client catches. `trailers`: ASCII metadata; keys ending in `-bin` carry bytes. */
export class GrpcError extends Error {
  override name = "GrpcError";
  readonly code: Code;
  readonly trailers: Record<string, string | Buffer>;

  constructor(
    code: Code,
    message: string,
    options: { trailers?: Record<string, string | Buffer>; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.code = code;
    this.trailers = options.trailers ?? {};
  }
}
