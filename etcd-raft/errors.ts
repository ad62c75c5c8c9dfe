import { Code, GrpcError } from "../net/grpc-error.ts";

/**
 * The failures of the v3 API. Clients tell them apart by text first, then by code, so both are etcd's to the letter
 * (source: etcd `api/v3rpc/rpctypes`).
 */
export const errorTable = {
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
  badMemberURLs: [Code.InvalidArgument, "given member URLs are invalid"],
  memberNotFound: [Code.NotFound, "member not found"],
  memberExists: [Code.FailedPrecondition, "member ID already exist"],
  peerURLExists: [Code.FailedPrecondition, "Peer URLs already exists"],
  // Like tooManyRequests.
  notEnoughStarted: [Code.Unknown, "re-configuration failed due to not enough started members"],
  memberNotLearner: [Code.FailedPrecondition, "can only promote a learner member"],
  learnerNotReady: [Code.FailedPrecondition, "can only promote a learner member which is in sync with leader"],
  tooManyLearners: [Code.FailedPrecondition, "too many learner members in cluster"],
  learnerNotSupported: [Code.FailedPrecondition, "rpc not supported for learner"],
  unhealthy: [Code.Unavailable, "unhealthy cluster"],
  notLeader: [Code.FailedPrecondition, "not leader"],
  badLeaderTransferee: [Code.FailedPrecondition, "bad leader transferee"],
  // The server hands out the client-side error object here, which gRPC turns into Unknown.
  noSpace: [Code.ResourceExhausted, "mvcc: database space exceeded"],
  corrupt: [Code.DataLoss, "corrupt cluster"],
  wrongDowngradeFormat: [Code.InvalidArgument, "wrong downgrade target version format"],
  invalidDowngradeTarget: [Code.InvalidArgument, "invalid downgrade target version"],
  downgradeInProgress: [Code.FailedPrecondition, "cluster has a downgrade job in progress"],
  unknownMethod: [Code.Unknown, "unknown method"],
  noInflightDowngrade: [Code.FailedPrecondition, "no inflight downgrade job"],
  tooManyRequests: [Code.Unknown, "too many requests"],
  noLeader: [Code.Unavailable, "no leader"],
  leaderChanged: [Code.Unavailable, "leader changed"],
  stopped: [Code.Unavailable, "server stopped"],
  timeout: [Code.Unavailable, "request timed out"],
  timeoutLeaderFailure: [Code.Unavailable, "request timed out, possibly due to previous leader failure"],
  timeoutConnectionLost: [Code.Unavailable, "request timed out, possibly due to connection lost"],
  rootUserNotExist: [Code.FailedPrecondition, "root user does not exist"],
  rootRoleNotExist: [Code.FailedPrecondition, "root user does not have root role"],
  userAlreadyExist: [Code.FailedPrecondition, "user name already exists"],
  userNotFound: [Code.FailedPrecondition, "user name not found"],
  roleAlreadyExist: [Code.FailedPrecondition, "role name already exists"],
  roleNotFound: [Code.FailedPrecondition, "role name not found"],
  roleNotGranted: [Code.FailedPrecondition, "role is not granted to the user"],
  permissionNotGranted: [Code.FailedPrecondition, "permission is not granted to the role"],
  authNotEnabled: [Code.FailedPrecondition, "authentication is not enabled"],
  userEmpty: [Code.InvalidArgument, "user name is empty"],
  roleEmpty: [Code.InvalidArgument, "role name is empty"],
  authFailed: [Code.InvalidArgument, "authentication failed, invalid user ID or password"],
  permissionNotGiven: [Code.InvalidArgument, "permission not given"],
  invalidAuthMgmt: [Code.InvalidArgument, "invalid auth management"],
  authOldRevision: [Code.InvalidArgument, "revision of auth store is old"],
  permissionDenied: [Code.PermissionDenied, "permission denied"],
  invalidAuthToken: [Code.Unauthenticated, "invalid auth token"],
} as const;

export type EtcdError = keyof typeof errorTable;

export function etcdError(name: EtcdError): GrpcError {
  const [code, text] = errorTable[name];
  return new GrpcError(code, `etcdserver: ${text}`);
}

export function raise(name: EtcdError): never {
  throw etcdError(name);
}

/** `InvalidArgument`, ... */
export const codeName = (code: Code): string =>
  Object.entries(Code).find(([, value]) => value === code)?.[0] ?? "Unknown";
