import type { CallContext, Handlers, UnaryHandler } from "../../net/grpc-server.ts";
import type * as pb from "../../proto/generated/etcdserverpb.ts";
import type { AuthService } from "../../proto/generated/etcdserverpb.ts";
import type { Init } from "../../proto/wire.ts";
import { hashPassword, isPassword } from "../auth/password.ts";
import { Tokens } from "../auth/tokens.ts";
import { etcdError } from "../errors.ts";
import type { Callers } from "./access.ts";
import type { Member } from "./member.ts";

/** Auth: everything goes through raft, questions too, and is judged there (`applier.ts`). No password leaves this file. */
export function authHandlers(member: Member, callers: Callers, bcryptCost: number): Handlers<typeof AuthService> {
  const { auth } = member.applier;
  const through =
    <Q, R>(request: (q: Q) => Init<pb.InternalRaftRequest>): UnaryHandler<Q, Init<R>> =>
    (q, context) =>
      propose<R>(context, request(q));
  const propose = async <R>(context: CallContext, request: Init<pb.InternalRaftRequest>): Promise<Init<R>> => {
    const response = await callers.as(context, (who) => member.write<Init<R>>(request, who));
    return { ...response, header: member.header(member.applier.store.revision) };
  };

  /** The hash is made first: it takes long, and a password must not come into the log. */
  const UserAdd: UnaryHandler<pb.AuthUserAddRequest, pb.AuthUserAddResponse> = async (request, context) => {
    const hashedPassword = request.options?.noPassword
      ? ""
      : request.hashedPassword || (await hashed(request.password, bcryptCost));
    return propose(context, { authUserAdd: { ...request, password: "", hashedPassword } }) as Promise<never>;
  };

  const UserChangePassword: UnaryHandler<pb.AuthUserChangePasswordRequest, pb.AuthUserChangePasswordResponse> = async (
    request,
    context,
  ) => {
    const hashedPassword = request.hashedPassword || (await hashed(request.password, bcryptCost));
    const change = { name: request.name, password: "", hashedPassword };
    return propose(context, { authUserChangePassword: change }) as Promise<never>;
  };

  /** The token is an entry of the log, so that every member knows it. Again, if users changed while we looked. */
  const Authenticate: UnaryHandler<pb.AuthenticateRequest, pb.AuthenticateResponse> = async ({ name, password }) => {
    await member.linearizable(() => undefined);
    for (;;) {
      const { revision } = auth;
      if (!(await isPassword(password, auth.passwordOf(name)))) throw etcdError("authFailed");
      const simpleToken = Tokens.prefix(member.config.rand);
      const response = await member.write<pb.AuthenticateResponse>({ authenticate: { name, simpleToken } });
      if (revision === auth.revision) {
        return { token: response.token, header: member.header(member.applier.store.revision) };
      }
    }
  };

  return {
    AuthEnable: through((q) => ({ authEnable: q })),
    AuthDisable: through((q) => ({ authDisable: q })),
    AuthStatus: through((q) => ({ authStatus: q })),
    Authenticate,
    UserAdd,
    UserGet: through((q) => ({ authUserGet: q })),
    UserList: through((q) => ({ authUserList: q })),
    UserDelete: through((q) => ({ authUserDelete: q })),
    UserChangePassword,
    UserGrantRole: through((q) => ({ authUserGrantRole: q })),
    UserRevokeRole: through((q) => ({ authUserRevokeRole: q })),
    RoleAdd: through((q) => ({ authRoleAdd: q })),
    RoleGet: through((q) => ({ authRoleGet: q })),
    RoleList: through((q) => ({ authRoleList: q })),
    RoleDelete: through((q) => ({ authRoleDelete: q })),
    RoleGrantPermission: through((q) => ({ authRoleGrantPermission: q })),
    RoleRevokePermission: through((q) => ({ authRoleRevokePermission: q })),
  };
}

const hashed = async (password: string, cost: number): Promise<string> =>
  Buffer.from(await hashPassword(password, cost)).toString("base64");
