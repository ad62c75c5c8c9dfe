import type { CallContext } from "../../net/grpc-server.ts";
import type { Reply } from "../../net/reply.ts";
import type { Identity } from "../auth/auth-store.ts";
import type { Jwt } from "../auth/jwt.ts";
import { tokenIndex } from "../auth/tokens.ts";
import { raise } from "../errors.ts";
import type { Member } from "./member.ts";

type Later<R> = R | Promise<R> | Reply<R>;

/**
 * Who a caller is: by the token in its metadata (`token`, or `authorization` through the gateway), else by its client
 * certificate's common name where certificates are required. Undefined: nobody; what that may do the auth store decides.
 */
export type Callers = ReturnType<typeof callersOf>;

export function callersOf(member: Member, { clientCertAuth, jwt }: { clientCertAuth: boolean; jwt?: Jwt | undefined }) {
  const { auth, tokens } = member.applier;
  const { clock } = member.config;
  const identity = (username: string): Identity => ({ username, revision: auth.revision });

  function byToken(token: string): Identity | Promise<Identity> {
    // Of the revision that it was made for: an older one is refused when it is applied.
    if (jwt) return jwt.identityOf(token, clock.now()) ?? raise("invalidAuthToken");
    const find = () => identity(tokens.userOf(token, clock.monotonic()) ?? raise("invalidAuthToken"));
    // A token that another member gave out just now may not have arrived here yet.
    return (tokenIndex(token) ?? 0) <= member.appliedIndex ? find() : member.linearizable(find);
  }

  /** Runs `fn` as the caller. At once while auth is off. Throws, or rejects with, `invalidAuthToken`. */
  function as<R>(context: CallContext, fn: (who: Identity | undefined) => Later<R>): Later<R> {
    if (!auth.enabled) return fn(undefined);
    const { metadata, peer } = context; // read now and not before: they are made when they are asked for
    const token = metadata["token"] ?? metadata["authorization"];
    if (token === undefined) return fn(clientCertAuth && peer ? identity(peer.commonName) : undefined);
    const who = byToken(token);
    return who instanceof Promise ? who.then(fn) : fn(who);
  }

  const asAdmin = <R>(context: CallContext, fn: () => Later<R>): Later<R> =>
    as(context, (who) => {
      auth.checkAdmin(who);
      return fn();
    });

  return { as, asAdmin };
}
