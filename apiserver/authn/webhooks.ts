import type { TokenReview } from "../../api/generated/authentication-v1.ts";
import type { SubjectAccessReview } from "../../api/generated/authorization-v1.ts";
import type { Clock } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import { type Attributes, type Authorizer, type Decision, noOpinion } from "../authz/authorizer.ts";
import { remembering } from "../webhook-client.ts";
import type { TokenAuthenticator } from "./authenticator.ts";

/** Sends an object to a webhook and gives back what it answers. Throws Error. */
export type Post = (body: object) => Promise<unknown>;

interface Options {
  post: Post;
  clock: Clock;
  log: Logger;
}

/** `--authentication-token-webhook-config-file`: whose a token is, asked with a TokenReview. Good answers are kept. */
export function webhookTokens({ post, clock, log }: Options): TokenAuthenticator {
  const ask = remembering(clock, async (spec: NonNullable<TokenReview["spec"]>) => {
    const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec };
    const { status } = (await post(body)) as TokenReview;
    return { value: status, ms: status?.authenticated ? tokenMs : 0 };
  });
  return {
    async authenticate(token, audiences) {
      const status = await ask({ token, audiences: [...audiences] }).catch((err) => {
        log.warn({ err }, "The token webhook failed");
        return undefined;
      });
      if (!status?.authenticated) return undefined;
      const { username: name = "", uid, groups = [], extra } = status.user ?? {};
      const good = (status.audiences ?? audiences).filter((audience) => audiences.includes(audience));
      if (audiences.length > 0 && good.length === 0) return undefined;
      return { user: { name, uid, groups, extra }, audiences: good };
    },
  };
}

/** `--authorization-webhook-config-file`: asked with a SubjectAccessReview. It has no opinion while it cannot be reached. */
export function webhookAuthorizer({ post, clock, log }: Options): Authorizer {
  const ask = remembering(clock, async (spec: SubjectAccessReview["spec"]) => {
    const body = { apiVersion: "authorization.k8s.io/v1", kind: "SubjectAccessReview", spec };
    const { status } = (await post(body)) as SubjectAccessReview;
    const { allowed = false, denied = false, reason = "" } = status ?? {};
    const decision: Decision = { type: allowed ? "Allow" : denied ? "Deny" : "NoOpinion", reason };
    return { value: decision, ms: allowed ? allowedMs : refusedMs };
  });
  return {
    authorize: (attributes) =>
      ask(specOf(attributes)).catch((err) => {
        log.warn({ err }, "The authorization webhook failed");
        return noOpinion;
      }),
    rulesFor: () => ({
      rules: [],
      incomplete: true,
      errors: ["webhook authorizer does not support user rule resolution"],
    }),
  };
}

function specOf(attributes: Attributes): SubjectAccessReview["spec"] {
  const { name, uid, groups, extra } = attributes.user;
  const { verb } = attributes;
  const about =
    "path" in attributes
      ? { nonResourceAttributes: { path: attributes.path, verb } }
      : { resourceAttributes: { ...attributes.target, verb } };
  const more = extra && { extra: Object.fromEntries(Object.entries(extra).map(([key, values]) => [key, [...values]])) };
  return { ...about, user: name, groups: [...groups], ...(uid ? { uid } : {}), ...more };
}

/** Upstream's defaults. */
const tokenMs = 120_000;
const allowedMs = 300_000;
const refusedMs = 30_000;
