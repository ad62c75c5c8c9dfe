import https from "node:https";
import { json } from "node:stream/consumers";
import { createLocalJWKSet, decodeJwt, type JSONWebKeySet, type JWTPayload, jwtVerify } from "jose";
import { Budget, Environment, type Program } from "../../apimachinery/cel/environment.ts";
import { celToJson, jsonToCel } from "../../apimachinery/cel/values.ts";
import type { Clock } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import { memo } from "../../base/memo.ts";
import type { Configurations } from "../generated/configuration.ts";
import type { User } from "../request.ts";
import type { TokenAuthenticator } from "./authenticator.ts";

export type Jwt = Configurations["AuthenticationConfiguration"]["jwt"][0];

type Known = { clock: Clock; log: Logger };

/** ID tokens of an OpenID Connect issuer. Its keys are fetched when first needed, and again when a key is unknown. */
export function oidcTokens(jwt: Jwt, algorithms: readonly string[], { clock, log }: Known): TokenAuthenticator {
  const { url: issuer, discoveryURL, audiences, certificateAuthority } = jwt.issuer;
  let keys: ReturnType<typeof createLocalJWKSet> | undefined;
  let fetched = Number.NEGATIVE_INFINITY;
  const getJson = <T>(url: string) =>
    new Promise<T>((resolve, reject) => {
      const request = https.get(url, { ca: certificateAuthority || undefined, timeout: timeoutMs }, (answer) =>
        json(answer).then((value) => resolve(value as T), reject),
      );
      request.on("timeout", () => request.destroy(new Error(`${url} did not answer in time`)));
      request.on("error", reject);
    });
  const refresh = async () => {
    fetched = clock.monotonic();
    const discovery = discoveryURL || `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
    const found = await getJson<{ issuer: string; jwks_uri: string }>(discovery);
    if (found.issuer !== issuer) throw new Error(`${discovery} is of the issuer ${found.issuer}`);
    keys = createLocalJWKSet(await getJson<JSONWebKeySet>(found.jwks_uri));
  };
  const verify = async (token: string): Promise<JWTPayload> => {
    if (keys === undefined && clock.monotonic() - fetched >= againMs) await refresh();
    const check = async () => {
      if (keys === undefined) throw new Error(`the keys of ${issuer} are not known yet`);
      const { payload } = await jwtVerify(token, keys, {
        issuer,
        audience: audiences,
        algorithms: [...algorithms],
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
        if (decodeJwt(token).iss !== issuer) return undefined;
      } catch {
        return undefined; // no JWT
      }
      try {
        return { user: userOf(await verify(token), jwt), audiences };
      } catch (err) {
        log.warn({ err }, "A token of the OIDC issuer was refused");
        return undefined;
      }
    },
  };
}

const programs = new WeakMap<object, Program>();

/** `owner` is where the expression stands, which keeps its program. */
function evaluate(owner: object, expression: string, name: string, value: object): unknown {
  const program = memo(programs, owner, () => new Environment([name]).compile(expression));
  return celToJson(program.evaluate({ [name]: jsonToCel(value) }, new Budget()));
}

/** Pure. Throws Error with what the claims lack. */
export function userOf(claims: JWTPayload, { claimMappings, claimValidationRules, userValidationRules }: Jwt): User {
  const { username, groups, uid, extra } = claimMappings;
  const given = (of: typeof username) =>
    of.expression ? evaluate(of, of.expression, "claims", claims) : claims[of.claim];
  const text = (what: string, of: typeof username) => {
    const value = given(of);
    if (typeof value === "string" && value !== "") return `${of.prefix ?? ""}${value}`;
    const why = value === undefined ? "claim not present" : "it must be a string";
    throw new Error(`oidc: parse ${what} claims ${JSON.stringify(of.expression || of.claim)}: ${why}`);
  };
  const name = text("username", username);
  if (username.claim === "email" && (claims["email_verified"] ?? true) !== true)
    throw new Error("oidc: email not verified");
  const more = extra.map((one) => [one.key, texts(evaluate(one, one.valueExpression, "claims", claims))] as const);
  const user = {
    username: name,
    uid: uid.claim || uid.expression ? text("uid", uid) : "",
    groups: texts(given(groups)).map((group) => `${groups.prefix ?? ""}${group}`),
    extra: Object.fromEntries(more.filter(([, values]) => values.length > 0)),
  };
  const failed = (expression: string, message: string) =>
    new Error(`oidc: validation expression '${expression}' failed: ${message}`);
  for (const rule of claimValidationRules) {
    const { claim, requiredValue: wanted, expression, message } = rule;
    if (claim && !(claim in claims)) throw new Error(`oidc: required claim ${claim} not present in ID token`);
    const text = `oidc: required claim ${claim} value does not match. Got = ${claims[claim]}, want = ${wanted}`;
    if (claim && claims[claim] !== wanted) throw new Error(text);
    if (expression && evaluate(rule, expression, "claims", claims) !== true) throw failed(expression, message);
  }
  for (const rule of userValidationRules)
    if (evaluate(rule, rule.expression, "user", user) !== true) throw failed(rule.expression, rule.message);
  return {
    name,
    groups: user.groups,
    ...(user.uid && { uid: user.uid }),
    ...(more.length > 0 && { extra: user.extra }),
  };
}

/** A text or several; empty ones are not there. */
function texts(value: unknown): string[] {
  const list = [value ?? []].flat().filter((one) => one !== "");
  if (list.every((one) => typeof one === "string")) return list;
  throw new Error("oidc: expression must return a string or a list of strings");
}

const timeoutMs = 30_000;
/** A wrong key id must not make us ask the issuer each time. */
const againMs = 10_000;
