import type { CallContext } from "../../net/grpc-server.ts";
import type { Reply } from "../../net/reply.ts";
import type { Identity } from "../auth/auth-store.ts";
import type { Jwt } from "../auth/jwt.ts";
import { tokenIndex } from "../auth/tokens.ts";
import { etcdError } from "../errors.ts";
import type { Member } from "./member.ts";

type Later<R> = R | Promise<R> | Reply<R>;

/**
 * Who a caller is: by the token in its metadata (`token`, or `authorization` through the gateway), else by its client
 * certificate's common name where certificates are required. Undefined: nobody; what that may do the auth store decides.
 */
export class Callers {
  readonly #member: Member;
  readonly #clientCertAuth: boolean;
  readonly #jwt: Jwt | undefined;

  constructor(member: Member, options: { clientCertAuth: boolean; jwt?: Jwt | undefined }) {
    this.#member = member;
    this.#clientCertAuth = options.clientCertAuth;
    this.#jwt = options.jwt;
  }

  /** Runs `fn` as the caller. At once while auth is off. Throws, or rejects with, `invalidAuthToken`. */
  as<R>(context: CallContext, fn: (who: Identity | undefined) => Later<R>): Later<R> {
    if (!this.#member.applier.auth.enabled) return fn(undefined);
    const token = context.metadata["token"] ?? context.metadata["authorization"];
    const identity = token === undefined ? this.#byCertificate(context) : this.#byToken(token);
    return identity instanceof Promise ? identity.then(fn) : fn(identity);
  }

  /** As `as`, for administrators alone. */
  asAdmin<R>(context: CallContext, fn: () => Later<R>): Later<R> {
    return this.as(context, (who) => {
      this.#member.applier.auth.checkAdmin(who);
      return fn();
    });
  }

  #byCertificate({ peer }: CallContext): Identity | undefined {
    return this.#clientCertAuth && peer ? this.#identity(peer.commonName) : undefined;
  }

  #byToken(token: string): Identity | Promise<Identity> {
    if (this.#jwt) {
      const identity = this.#jwt.identityOf(token, this.#member.config.clock.now());
      if (identity === undefined) throw etcdError("invalidAuthToken");
      return identity; // of the revision that it was made for: an older one is refused when it is applied
    }
    const find = (): Identity => {
      const { applier, config } = this.#member;
      const username = applier.tokens.userOf(token, config.clock.monotonic());
      if (username === undefined) throw etcdError("invalidAuthToken");
      return this.#identity(username);
    };
    // A token that another member gave out just now may not have arrived here yet.
    const index = tokenIndex(token);
    if (index === undefined || index <= this.#member.appliedIndex) return find();
    return this.#member.linearizable(find);
  }

  #identity(username: string): Identity {
    return { username, revision: this.#member.applier.auth.revision };
  }
}
