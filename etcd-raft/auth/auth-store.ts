import { Code, GrpcError } from "../../net/grpc-error.ts";
import { Permission, Role, User } from "../../proto/generated/authpb.ts";
import type * as pb from "../../proto/generated/etcdserverpb.ts";
import type { Init } from "../../proto/wire.ts";
import { etcdError, raise } from "../errors.ts";
import type { KeyRange } from "../mvcc/key-index.ts";
import { keyRangeOf } from "../mvcc/range.ts";
import type { State } from "../snap/state.ts";
import { Access, type AccessKind, isValidRange, Permissions } from "./permissions.ts";

/**
 * Users, roles and what they may do: replicated state, changed by entries of the log alone, the same on every member.
 * Each change makes a new `revision`. A request was judged by the revision it carries; by the time it is applied another
 * may hold, and then it is refused (`authOldRevision`) and the caller asks again.
 *
 * Passwords are bcrypt hashes that were made before the log: no entry and no file holds a password.
 */
export class AuthStore {
  enabled = false;
  revision = 1;
  readonly #users = new Map<string, User>();
  readonly #roles = new Map<string, Role>();
  #permissions = new Map<string, Permissions>();
  onInvalid: (user?: string) => void = () => {}; // tokens of this user count no more; without a name: nobody's

  // Changes. Each throws the GrpcError that its caller gets.

  enable(): void {
    if (this.enabled) return;
    const root = this.#users.get(rootUser) ?? raise("rootUserNotExist");
    if (!root.roles.includes(rootRole)) throw etcdError("rootRoleNotExist");
    this.enabled = true;
  }

  disable(): void {
    if (!this.enabled) return;
    this.enabled = false;
    this.#changed();
    this.onInvalid();
  }

  addUser({ name, hashedPassword, options }: Init<pb.AuthUserAddRequest>): void {
    if (!name) throw etcdError("userEmpty");
    if (this.#users.has(name)) throw etcdError("userAlreadyExist");
    const noPassword = options?.noPassword ?? false;
    const password = noPassword ? nothing : Buffer.from(hashedPassword ?? "", "base64");
    this.#users.set(name, { name: Buffer.from(name), password, roles: [], options: { noPassword } });
    this.#changed();
  }

  deleteUser(name: string): void {
    if (this.enabled && name === rootUser) throw etcdError("invalidAuthMgmt");
    if (!this.#users.delete(name)) throw etcdError("userNotFound");
    this.#changed();
    this.onInvalid(name);
  }

  changePassword({ name, hashedPassword }: Init<pb.AuthUserChangePasswordRequest>): void {
    const user = this.#user(name ?? "");
    user.password = Buffer.from(hashedPassword ?? "", "base64");
    this.#changed();
    this.onInvalid(name);
  }

  grantRole(name: string, role: string): void {
    const user = this.#user(name);
    if (role !== rootRole && !this.#roles.has(role)) throw etcdError("roleNotFound");
    if (user.roles.includes(role)) return;
    user.roles = [...user.roles, role].sort();
    this.#changed();
  }

  revokeRole(name: string, role: string): void {
    if (this.enabled && name === rootUser && role === rootRole) throw etcdError("invalidAuthMgmt");
    const user = this.#user(name);
    if (!user.roles.includes(role)) throw etcdError("roleNotGranted");
    user.roles = user.roles.filter((other) => other !== role);
    this.#changed();
  }

  addRole(name: string): void {
    if (!name) throw etcdError("roleEmpty");
    if (this.#roles.has(name)) throw etcdError("roleAlreadyExist");
    this.#roles.set(name, { name: Buffer.from(name), keyPermission: [] });
    this.#changed();
  }

  deleteRole(name: string): void {
    if (this.enabled && name === rootRole) throw etcdError("invalidAuthMgmt");
    if (!this.#roles.delete(name)) throw etcdError("roleNotFound");
    for (const user of this.#users.values()) user.roles = user.roles.filter((other) => other !== name);
    this.#changed();
  }

  /** Differs: a range that is granted again is changed; etcd may keep the old permission beside the new one. */
  grantPermission(name: string, granted: Permission | undefined): void {
    if (granted === undefined) throw etcdError("permissionNotGiven");
    if (!isValidRange(granted)) throw etcdError("invalidAuthMgmt");
    const role = this.#role(name);
    const same = role.keyPermission.find((permission) => isSame(permission, granted));
    if (same) same.permType = granted.permType;
    else role.keyPermission.push(Permission.decode(Permission.encode(granted))); // not a slice of the entry
    role.keyPermission.sort((a, b) => Buffer.compare(a.key, b.key));
    this.#changed();
  }

  revokePermission(name: string, range: Pick<Permission, "key" | "rangeEnd">): void {
    const role = this.#role(name);
    const left = role.keyPermission.filter((permission) => !isSame(permission, range));
    if (left.length === role.keyPermission.length) throw etcdError("permissionNotGranted");
    role.keyPermission = left;
    this.#changed();
  }

  // Questions.

  userNames(): string[] {
    return [...this.#users.keys()].sort();
  }

  roleNames(): string[] {
    return [...this.#roles.keys()].sort();
  }

  rolesOf(user: string): string[] {
    return this.#user(user).roles;
  }

  permissionsOf(role: string): Permission[] {
    const { keyPermission } = this.#role(role);
    return role === rootRole ? [everything] : keyPermission;
  }

  has(user: string): boolean {
    return this.#users.has(user);
  }

  hasRole(user: string, role: string): boolean {
    return this.#users.get(user)?.roles.includes(role) ?? false;
  }

  /** The bcrypt hash to compare with. Throws as a wrong password would. */
  passwordOf(name: string): Uint8Array {
    if (!this.enabled) throw etcdError("authNotEnabled");
    const user = this.#users.get(name) ?? raise("authFailed");
    if (user.options?.noPassword) throw new GrpcError(Code.Unknown, noPasswordText); // etcd has no code for it either
    return user.password;
  }

  /** Throws unless `who` may do this to every key of `range`. */
  check(who: Identity | undefined, access: AccessKind, range: KeyRange): void {
    if (!this.enabled) return;
    if (who === undefined || who.revision === 0) throw etcdError("userEmpty");
    if (who.revision < this.revision) throw etcdError("authOldRevision");
    const user = this.#users.get(who.username) ?? raise("permissionDenied");
    if (user.roles.includes(rootRole)) return;
    let permissions = this.#permissions.get(who.username);
    if (permissions === undefined) {
      const roles = user.roles.map((name) => this.#roles.get(name)?.keyPermission ?? []);
      permissions = new Permissions(roles.flat());
      this.#permissions.set(who.username, permissions);
    }
    if (!permissions.allow(access, range)) throw etcdError("permissionDenied");
  }

  checkKeys(who: Identity | undefined, access: AccessKind, keys: readonly string[]): void {
    for (const key of keys) this.check(who, access, { key, end: undefined });
  }

  checkAdmin(who: Pick<Identity, "username"> | undefined): void {
    if (!this.enabled) return;
    if (!who?.username) throw etcdError("userEmpty");
    if (!this.hasRole(who.username, rootRole)) throw etcdError("permissionDenied");
  }

  checkRange(who: Identity | undefined, request: pb.RangeRequest): void {
    if (this.enabled) this.check(who, Access.read, keyRangeOf(request));
  }

  checkPut(who: Identity | undefined, { key, prevKv }: pb.PutRequest): void {
    this.checkDeleteRange(who, { key, rangeEnd: nothing, prevKv });
  }

  checkDeleteRange(who: Identity | undefined, request: pb.DeleteRangeRequest): void {
    this.check(who, Access.write, keyRangeOf(request));
    if (request.prevKv) this.check(who, Access.read, keyRangeOf(request));
  }

  /** Compares and both branches: what is not allowed must not even be seen to fail. `onPut`: for leases of puts. */
  checkTxn(who: Identity | undefined, txn: pb.TxnRequest, onPut: (put: pb.PutRequest) => void = () => {}): void {
    if (!this.enabled) return;
    for (const compare of txn.compare) this.check(who, Access.read, keyRangeOf(compare));
    for (const op of [...txn.success, ...txn.failure]) {
      if (op.requestRange) this.checkRange(who, op.requestRange);
      else if (op.requestDeleteRange) this.checkDeleteRange(who, op.requestDeleteRange);
      else if (op.requestTxn) this.checkTxn(who, op.requestTxn, onPut);
      else if (op.requestPut) {
        this.checkPut(who, op.requestPut);
        onPut(op.requestPut);
      }
    }
  }

  /** As etcd's state file has it: the buckets `auth`, `authUsers` and `authRoles`. */
  rows(): State["auth"] {
    const revision = Buffer.alloc(8);
    revision.writeBigUInt64BE(BigInt(this.revision));
    return {
      auth: [
        [Buffer.from("authEnabled"), Buffer.from([this.enabled ? 1 : 0])],
        [Buffer.from("authRevision"), revision],
      ],
      authUsers: [...this.#users].map(([name, user]) => [Buffer.from(name), User.encode(user)]),
      authRoles: [...this.#roles].map(([name, role]) => [Buffer.from(name), Role.encode(role)]),
    };
  }

  restore(rows: State["auth"]): void {
    const auth = new Map(rows.auth.map(([key, value]) => [Buffer.from(key).toString(), Buffer.from(value)]));
    this.enabled = auth.get("authEnabled")?.[0] === 1;
    this.revision = Number(auth.get("authRevision")?.readBigUInt64BE(0) ?? 1n);
    this.#users.clear();
    this.#roles.clear();
    this.#permissions.clear();
    for (const [key, value] of rows.authUsers) this.#users.set(Buffer.from(key).toString(), User.decode(value));
    for (const [key, value] of rows.authRoles) this.#roles.set(Buffer.from(key).toString(), Role.decode(value));
  }

  #changed(): void {
    this.revision++;
    this.#permissions = new Map();
  }

  #user(name: string): User {
    return this.#users.get(name) ?? raise("userNotFound");
  }

  #role(name: string): Role {
    return this.#roles.get(name) ?? raise("roleNotFound");
  }
}

export { Access, type AccessKind };

/** Who asks, and by which revision of the store that was found out. */
export type Identity = { username: string; revision: number };

const noPasswordText = "auth: authentication failed, password was given for no password user";
const rootUser = "root";
const rootRole = "root";
const nothing = new Uint8Array(0);
const everything: Permission = { permType: Access.readWrite, key: nothing, rangeEnd: Buffer.from([0]) };

const isSame = (a: Pick<Permission, "key" | "rangeEnd">, b: Pick<Permission, "key" | "rangeEnd">): boolean =>
  Buffer.compare(a.key, b.key) === 0 && Buffer.compare(a.rangeEnd, b.rangeEnd) === 0;
