import { Code, GrpcError } from "../net/grpc-error.ts";

/**
 * The failures of the v3 API. Clients tell them apart by text first, then by code, so both are etcd's to the letter
 * (source: etcd `api/v3rpc/rpctypes`).
 */
const table = {
  keyNotProvided: [Code.InvalidArgument, "key is not provided"],
  keyNotFound: [Code.InvalidArgument, "key not found"],
  valueProvided: [Code.InvalidArgument, "value is provided"],
  leaseProvided: [Code.InvalidArgument, "lease is provided"],
  tooManyOps: [Code.InvalidArgument, "too many operations in txn request"],
  duplicateKey: [Code.InvalidArgument, "duplicate key given in txn request"],
  invalidSortOption: [Code.InvalidArgument, "invalid sort option"],
  requestTooLarge: [Code.InvalidArgument, "request is too large"],
  compacted: [Code.OutOfRange, "mvcc: required revision has been compacted"],
  futureRevision: [Code.OutOfRange, "mvcc: required revision is a future revision"],
  leaseTTLTooLarge: [Code.OutOfRange, "too large lease TTL"],
  leaseNotFound: [Code.NotFound, "requested lease not found"],
  leaseExists: [Code.FailedPrecondition, "lease already exists"],
  notLeader: [Code.FailedPrecondition, "not leader"],
  badLeaderTransferee: [Code.FailedPrecondition, "bad leader transferee"],
  // The server hands out the client-side error object here, which gRPC turns into Unknown.
  tooManyRequests: [Code.Unknown, "too many requests"],
  noLeader: [Code.Unavailable, "no leader"],
  leaderChanged: [Code.Unavailable, "leader changed"],
  stopped: [Code.Unavailable, "server stopped"],
  timeout: [Code.Unavailable, "request timed out"],
  timeoutLeaderFailure: [Code.Unavailable, "request timed out, possibly due to previous leader failure"],
  timeoutConnectionLost: [Code.Unavailable, "request timed out, possibly due to connection lost"],
  timeoutWaitApplied: [Code.Unavailable, "request timed out, waiting for the applied index took too long"],
} as const;

export type EtcdError = keyof typeof table;

export function etcdError(name: EtcdError): GrpcError {
  const [code, text] = table[name];
  return new GrpcError(code, `etcdserver: ${text}`);
}
