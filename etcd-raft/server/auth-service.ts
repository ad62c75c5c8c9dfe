import { Code, GrpcError } from "../../net/grpc-error.ts";
import type { CallContext, Handlers, UnaryHandler } from "../../net/grpc-server.ts";
import type * as pb from "../../proto/generated/etcdserverpb.ts";
import { AuthService } from "../../proto/generated/etcdserverpb.ts";
import type { Init } from "../../proto/wire.ts";
import type { Jwt } from "../auth/jwt.ts";
import type { PasswordPool } from "../auth/password.ts";
import { Tokens } from "../auth/tokens.ts";
import { etcdError } from "../errors.ts";
import type { Callers } from "./access.ts";
import type { Member } from "./member.ts";

/** Auth: everything goes through raft, questions too, and is judged there (`applier.ts`). No password leaves this file. */
export function authHandlers(
  member: Member,
  callers: Callers,
  { bcryptCost, passwords, jwt }: { bcryptCost: number; passwords: PasswordPool; jwt?: Jwt | undefined },
): Handlers<typeof AuthService> {
  const { auth } = member.applier;
  const propose = async <R>(context: CallContext, request: Init<pb.InternalRaftRequest>): Promise<Init<R>> => {
    const response = await callers.as(context, (who) => member.write<Init<R>>(request, who));
    return { ...response, header: member.header(member.applier.store.revision) };
  };

  /** Made first: it takes long, and a password must not come into the log. */
  const hashOf = async ({ password, hashedPassword }: pb.AuthUserChangePasswordRequest): Promise<string> =>
    hashedPassword || Buffer.from(await passwords.hash(password, bcryptCost)).toString("base64");

  const UserAdd: UnaryHandler<pb.AuthUserAddRequest, pb.AuthUserAddResponse> = async (request, context) => {
    const hashedPassword = request.options?.noPassword ? "" : await hashOf(request);
    return propose(context, { authUserAdd: { ...request, password: "", hashedPassword } }) as Promise<never>;
  };

  const UserChangePassword: UnaryHandler<pb.AuthUserChangePasswordRequest, pb.AuthUserChangePasswordResponse> = async (
    request,
    context,
  ) => {
    const change = { name: request.name, password: "", hashedPassword: await hashOf(request) };
    return propose(context, { authUserChangePassword: change }) as Promise<never>;
  };

  /**
   * A simple token is an entry of the log, so that every member knows it; a JWT's entry only says that the user is still
   * there. Again, if users changed while we looked.
   */
  const Authenticate: UnaryHandler<pb.AuthenticateRequest, pb.AuthenticateResponse> = async ({ name, password }) => {
    await member.linearizable(() => undefined);
    for (;;) {
      const { revision } = auth;
      const hash = Buffer.from(auth.passwordOf(name)).toString();
      if (!(await passwords.compare(password, hash))) throw etcdError("authFailed");
      if (jwt && !jwt.canSign) throw new GrpcError(Code.Unknown, verifyOnlyText); // etcd has no code for it either
      const simpleToken = jwt ? "" : Tokens.prefix(member.config.rand);
      const made = await member.write<Partial<pb.AuthenticateResponse>>({ authenticate: { name, simpleToken } });
      if (revision !== auth.revision) continue;
      const token = jwt ? await jwt.sign({ username: name, revision }, member.config.clock.now()) : made.token!;
      return { token, header: member.header(member.applier.store.revision) };
    }
  };

  // The field of the log's entry is named after the rpc.
  const others = Object.keys(AuthService).map((name) => {
    const field = name.startsWith("Auth") ? `a${name.slice(1)}` : `auth${name}`;
    const handler: UnaryHandler<object, object> = (request, context) => propose(context, { [field]: request });
    return [name, handler];
  });
  return { ...Object.fromEntries(others), UserAdd, UserChangePassword, Authenticate };
}

const verifyOnlyText = "token signing attempted with verify-only key";
