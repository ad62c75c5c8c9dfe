import https from "node:https";
import { json } from "node:stream/consumers";
import { createLocalJWKSet, decodeJwt, type JSONWebKeySet, type JWTPayload, jwtVerify } from "jose";
import type { Clock } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import type { User } from "../request.ts";
import type { TokenAuthenticator } from "./authenticator.ts";

/** The flags --oidc-*. */
export interface OidcOptions {
  issuer: string;
  clientId: string;
  usernameClaim: string;
  /** Undefined: the issuer's URL and `#`, but for the claim `email`; `-`: none. */
  usernamePrefix: string | undefined;
  groupsClaim: string | undefined;
  groupsPrefix: string;
  /** `claim=value`, all must hold. */
  requiredClaims: readonly string[];
  signingAlgorithms: readonly string[];
  /** PEM; the system's authorities without it. */
  ca: Buffer | undefined;
}

/** ID tokens of an OpenID Connect issuer. Its keys are fetched when first needed, and again when a key is unknown. */
export function oidcTokens(options: OidcOptions, { clock, log }: { clock: Clock; log: Logger }): TokenAuthenticator {
  let keys: ReturnType<typeof createLocalJWKSet> | undefined;
  let fetched = Number.NEGATIVE_INFINITY;
  const getJson = <T>(url: string) =>
    new Promise<T>((resolve, reject) => {
      const request = https.get(url, { ca: options.ca, timeout: timeoutMs }, (answer) =>
        json(answer).then((value) => resolve(value as T), reject),
      );
      request.on("timeout", () => request.destroy(new Error(`${url} did not answer in time`)));
      request.on("error", reject);
    });
  const refresh = async () => {
    fetched = clock.monotonic();
    const discovery = `${options.issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
    const { issuer, jwks_uri } = await getJson<{ issuer: string; jwks_uri: string }>(discovery);
    if (issuer !== options.issuer) throw new Error(`${discovery} is of the issuer ${issuer}`);
    keys = createLocalJWKSet(await getJson<JSONWebKeySet>(jwks_uri));
  };
  const verify = async (token: string): Promise<JWTPayload> => {
    if (keys === undefined && clock.monotonic() - fetched >= againMs) await refresh();
    const check = async () => {
      if (keys === undefined) throw new Error(`the keys of ${options.issuer} are not known yet`);
      const { payload } = await jwtVerify(token, keys, {
        issuer: options.issuer,
        audience: options.clientId,
        algorithms: [...options.signingAlgorithms],
        currentDate: new Date(clock.now()),
        requiredClaims: ["exp"],
      });
      return payload;
    };
    return check().catch(async (error: { code?: string }) => {
      if (error.code !== "ERR_JWKS_NO_MATCHING_KEY" || clock.monotonic() - fetched < againMs) throw error;
      await refresh();
      return check();
    });
  };
  return {
    async authenticate(token, audiences) {
      try {
        if (decodeJwt(token).iss !== options.issuer) return undefined;
      } catch {
        return undefined; // no JWT
      }
      try {
        return { user: userOf(await verify(token), options), audiences };
      } catch (err) {
        log.warn({ err }, "A token of the OIDC issuer was refused");
        return undefined;
      }
    },
  };
}

/** Pure. Throws Error with what the claims lack. */
export function userOf(claims: JWTPayload, options: OidcOptions): User {
  const { usernameClaim, usernamePrefix, groupsClaim, groupsPrefix, issuer } = options;
  for (const required of options.requiredClaims) {
    const [claim, value] = required.split("=") as [string, string];
    if (claims[claim] !== value) throw new Error(`oidc: claim ${claim} must be ${JSON.stringify(value)}`);
  }
  const username = claims[usernameClaim];
  if (typeof username !== "string" || username === "") throw new Error(`oidc: no claim ${usernameClaim}`);
  if (usernameClaim === "email" && (claims["email_verified"] ?? true) !== true)
    throw new Error("oidc: email not verified");
  const prefix = usernamePrefix ?? (usernameClaim === "email" ? "-" : `${issuer}#`);
  const groups = groupsClaim === undefined ? [] : [claims[groupsClaim] ?? []].flat();
  if (!groups.every((group) => typeof group === "string"))
    throw new Error(`oidc: claim ${groupsClaim} is no list of strings`);
  return {
    name: `${prefix === "-" ? "" : prefix}${username}`,
    groups: groups.map((group) => `${groupsPrefix}${group}`),
  };
}

const timeoutMs = 30_000;
/** A wrong key id must not make us ask the issuer each time. */
const againMs = 10_000;
