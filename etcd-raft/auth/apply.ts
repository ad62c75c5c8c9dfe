import type { InternalRaftRequest } from "../../proto/generated/etcdserverpb.ts";
import { etcdError } from "../errors.ts";
import { Access, type AccessKind, type AuthStore, type Identity } from "./auth-store.ts";
import type { Tokens } from "./tokens.ts";

/** May `who` do this, by what holds now that it is applied? Throws what its caller gets. `keysOf`: what hangs on a lease. */
export function checkRequest(
  auth: AuthStore,
  who: Identity | undefined,
  request: InternalRaftRequest,
  keysOf: (lease: bigint) => string[],
): void {
  const { put, txn, deleteRange, leaseRevoke } = request;
  const checkLease = (lease: bigint) => auth.checkKeys(who, Access.write, keysOf(lease));
  if (put) {
    auth.checkPut(who, put);
    checkLease(put.lease);
  } else if (txn) auth.checkTxn(who, txn, ({ lease }) => checkLease(lease));
  else if (deleteRange) auth.checkDeleteRange(who, deleteRange);
  else if (leaseRevoke) checkLease(leaseRevoke.ID);
  else if (request.authUserGet) {
    if (request.authUserGet.name !== who?.username) auth.checkAdmin(who);
  } else if (request.authRoleGet) {
    if (!who || !auth.hasRole(who.username, request.authRoleGet.role)) auth.checkAdmin(who);
  } else if (kinds.some((kind) => request[kind])) auth.checkAdmin(who);
}

/** What each request of Auth does. Returned is its answer, where that is more than that it is done. */
const requests = {
  authEnable: (auth) => auth.enable(),
  authDisable: (auth) => auth.disable(),
  authStatus: ({ enabled, revision }) => ({ enabled, authRevision: revision }),
  authUserAdd: (auth, user) => auth.addUser(user),
  authUserDelete: (auth, { name }) => auth.deleteUser(name),
  authUserGet: (auth, { name }) => ({ roles: auth.rolesOf(name) }),
  authUserChangePassword: (auth, change) => auth.changePassword(change),
  authUserGrantRole: (auth, { user, role }) => auth.grantRole(user, role),
  authUserRevokeRole: (auth, { name, role }) => auth.revokeRole(name, role),
  authUserList: (auth) => ({ users: auth.userNames() }),
  authRoleList: (auth) => ({ roles: auth.roleNames() }),
  authRoleAdd: (auth, { name }) => auth.addRole(name),
  authRoleDelete: (auth, { role }) => auth.deleteRole(role),
  authRoleGet: (auth, { role }) => ({ perm: auth.permissionsOf(role) }),
  authRoleGrantPermission: (auth, { name, perm }) => auth.grantPermission(name, perm),
  authRoleRevokePermission: (auth, range) => auth.revokePermission(range.role, range),
} satisfies { [K in keyof InternalRaftRequest]?: (auth: AuthStore, q: NonNullable<InternalRaftRequest[K]>) => unknown };
const kinds = Object.keys(requests) as (keyof typeof requests)[];

/** Undefined: not a request of Auth. */
export function applyAuth(auth: AuthStore, tokens: Tokens, q: InternalRaftRequest, index: number, now: number) {
  if (q.authenticate) {
    auth.passwordOf(q.authenticate.name); // throws if it was taken away meanwhile
    if (!q.authenticate.simpleToken) return {}; // who asked makes a JWT
    const token = `${q.authenticate.simpleToken}.${index}`;
    tokens.add(token, q.authenticate.name, now);
    return { token };
  }
  const kind = kinds.find((one) => q[one]);
  if (kind === undefined) return undefined;
  return (requests[kind] as (auth: AuthStore, q: unknown) => object | undefined)(auth, q[kind]) ?? {};
}

/** The calls on leases are for users only, whatever keys there are. */
export function checkSomebody(auth: AuthStore, who: Identity | undefined): void {
  if (auth.enabled && who === undefined) throw etcdError("userEmpty");
}

/** A caller that may not read keys must not learn them from a lease either, nor keep what it may not write. */
export function checkLeaseKeys(
  auth: AuthStore,
  who: Identity | undefined,
  access: AccessKind,
  keys: readonly string[],
): void {
  checkSomebody(auth, who);
  auth.checkKeys(who, access, keys);
}
