import type { InternalRaftRequest } from "../../proto/generated/etcdserverpb.ts";
import { etcdError } from "../errors.ts";
import { Access, type AuthStore, type Identity } from "./auth-store.ts";
import type { Tokens } from "./tokens.ts";

/** May `who` do this, by what holds now that it is applied? Throws what its caller gets. `keysOf`: what hangs on a lease. */
export function checkRequest(
  auth: AuthStore,
  who: Identity | undefined,
  request: InternalRaftRequest,
  keysOf: (lease: bigint) => string[],
): void {
  const { put, txn, deleteRange, leaseRevoke } = request;
  const checkLease = (lease: bigint) => {
    for (const key of keysOf(lease)) auth.check(who, Access.write, { key, end: undefined });
  };
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
  } else if (adminOnly.some((kind) => request[kind])) auth.checkAdmin(who);
}

const adminOnly = [
  "authEnable",
  "authDisable",
  "authStatus",
  "authUserAdd",
  "authUserDelete",
  "authUserChangePassword",
  "authUserGrantRole",
  "authUserRevokeRole",
  "authUserList",
  "authRoleAdd",
  "authRoleDelete",
  "authRoleGrantPermission",
  "authRoleRevokePermission",
  "authRoleList",
] as const;

/** Undefined: not a request of Auth. */
export function applyAuth(
  auth: AuthStore,
  tokens: Tokens,
  q: InternalRaftRequest,
  index: number,
  now: number,
): object | undefined {
  if (q.authEnable) auth.enable();
  else if (q.authDisable) auth.disable();
  else if (q.authStatus) return { enabled: auth.enabled, authRevision: auth.revision };
  else if (q.authenticate) {
    auth.passwordOf(q.authenticate.name); // throws if it was taken away meanwhile
    if (!q.authenticate.simpleToken) return {}; // who asked makes a JWT
    const token = `${q.authenticate.simpleToken}.${index}`;
    tokens.add(token, q.authenticate.name, now);
    return { token };
  } else if (q.authUserAdd) auth.addUser(q.authUserAdd);
  else if (q.authUserDelete) auth.deleteUser(q.authUserDelete.name);
  else if (q.authUserGet) return { roles: auth.rolesOf(q.authUserGet.name) };
  else if (q.authUserChangePassword) auth.changePassword(q.authUserChangePassword);
  else if (q.authUserGrantRole) auth.grantRole(q.authUserGrantRole.user, q.authUserGrantRole.role);
  else if (q.authUserRevokeRole) auth.revokeRole(q.authUserRevokeRole.name, q.authUserRevokeRole.role);
  else if (q.authUserList) return { users: auth.userNames() };
  else if (q.authRoleList) return { roles: auth.roleNames() };
  else if (q.authRoleAdd) auth.addRole(q.authRoleAdd.name);
  else if (q.authRoleDelete) auth.deleteRole(q.authRoleDelete.role);
  else if (q.authRoleGet) return { perm: auth.permissionsOf(q.authRoleGet.role) };
  else if (q.authRoleGrantPermission) {
    auth.grantPermission(q.authRoleGrantPermission.name, q.authRoleGrantPermission.perm);
  } else if (q.authRoleRevokePermission) {
    auth.revokePermission(q.authRoleRevokePermission.role, q.authRoleRevokePermission);
  } else return undefined;
  return {};
}

/** The calls on leases are for users only, whatever keys there are. */
export function checkSomebody(auth: AuthStore, who: Identity | undefined): void {
  if (auth.enabled && who === undefined) throw etcdError("userEmpty");
}

/** A caller that may not read keys must not learn them from a lease either, nor keep what it may not write. */
export function checkLeaseKeys(
  auth: AuthStore,
  who: Identity | undefined,
  access: typeof Access.read | typeof Access.write,
  keys: readonly string[],
): void {
  checkSomebody(auth, who);
  if (auth.enabled) for (const key of keys) auth.check(who, access, { key, end: undefined });
}
