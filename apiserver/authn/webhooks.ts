import type { TokenReview } from "../../api/generated/authentication-v1.ts";
import type { SubjectAccessReview } from "../../api/generated/authorization-v1.ts";
import { Budget, Environment, type Program } from "../../apimachinery/cel/environment.ts";
import { jsonToCel } from "../../apimachinery/cel/values.ts";
import { parseFieldSelector, parseSelector } from "../../apimachinery/selectors.ts";
import type { Clock } from "../../base/clock.ts";
import { parseDuration } from "../../base/flags.ts";
import type { Logger } from "../../base/logger.ts";
import { type Attributes, type Authorizer, type Decision, noOpinion } from "../authz/authorizer.ts";
import type { Configurations } from "../generated/configuration.ts";
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

export type WebhookConfiguration = NonNullable<
  Configurations["AuthorizationConfiguration"]["authorizers"][0]["webhook"]
>;

/**
 * An authorizer that is asked with a SubjectAccessReview, if the conditions hold of it. What it says when it fails is
 * `failurePolicy`, as when a condition fails and none is false.
 */
export function webhookAuthorizer({ post, clock, log }: Options, given: WebhookConfiguration): Authorizer {
  const { subjectAccessReviewVersion: version, failurePolicy } = given;
  const allowedMs = given.cacheAuthorizedRequests ? parseDuration("authorizedTTL", given.authorizedTTL) : 0;
  const refusedMs = given.cacheUnauthorizedRequests ? parseDuration("unauthorizedTTL", given.unauthorizedTTL) : 0;
  const environment = new Environment(["request"]);
  const programs = given.matchConditions.map(({ expression }) => environment.compile(expression));
  const ask = remembering(clock, async ({ groups, ...rest }: SubjectAccessReview["spec"]) => {
    const spec = { ...rest, [version === "v1" ? "groups" : "group"]: groups };
    const body = { apiVersion: `authorization.k8s.io/${version}`, kind: "SubjectAccessReview", spec };
    const { status } = (await post(body)) as SubjectAccessReview;
    const { allowed = false, denied = false, reason = "" } = status ?? {};
    const decision: Decision = { type: denied ? "Deny" : allowed ? "Allow" : "NoOpinion", reason };
    return { value: decision, ms: allowed ? allowedMs : refusedMs };
  });
  const failed = (err: unknown): Decision => {
    log.warn({ err }, "The authorization webhook failed");
    return { type: failurePolicy, reason: "" };
  };
  return {
    authorize(attributes) {
      const spec = specOf(attributes);
      try {
        return areMet(programs, spec) ? ask(spec).catch(failed) : noOpinion;
      } catch (err) {
        return failed(err);
      }
    },
    rulesFor: () => ({
      rules: [],
      incomplete: true,
      errors: ["webhook authorizer does not support user rule resolution"],
    }),
  };
}

/** One that is false decides. Throws what went wrong with others. */
function areMet(programs: readonly Program[], spec: SubjectAccessReview["spec"]): boolean {
  const variables = { request: jsonToCel({ uid: "", extra: {}, ...spec }) };
  let error: unknown;
  for (const program of programs)
    try {
      if (program.evaluate(variables, new Budget()) !== true) return false;
    } catch (err) {
      error = err;
    }
  if (error !== undefined) throw error;
  return true;
}

function specOf(attributes: Attributes): SubjectAccessReview["spec"] {
  const { name, uid, groups, extra } = attributes.user;
  const { verb } = attributes;
  const about =
    "path" in attributes
      ? { nonResourceAttributes: { path: attributes.path, verb } }
      : { resourceAttributes: { ...attributes.target, verb, ...selectorsOf(attributes) } };
  const more = extra && { extra: Object.fromEntries(Object.entries(extra).map(([key, values]) => [key, [...values]])) };
  return { ...about, user: name, groups: [...groups], ...(uid ? { uid } : {}), ...more };
}

/** By our operators; what reviews cannot say is left out. */
const operators: Record<string, "In" | "NotIn" | "Exists" | "DoesNotExist"> = {
  ...{ "=": "In", "==": "In", in: "In", "!=": "NotIn", notin: "NotIn", exists: "Exists", "!": "DoesNotExist" },
};

const fieldsOf = (text: string) =>
  parseFieldSelector(text).map(({ field, operator, value }) => ({ key: field, operator, values: [value] }));

/** What cannot be read selects nothing less; who serves the request refuses it. */
function readable<T>(parse: () => readonly T[]): readonly T[] {
  try {
    return parse();
  } catch {
    return [];
  }
}

/** What is selected of a collection. */
function selectorsOf({ verb, fieldSelector = "", labelSelector = "" }: Extract<Attributes, { target: object }>) {
  if (!/^(list|watch|deletecollection)$/.test(verb)) return {};
  const said = (list: readonly { key: string; operator: string; values: string[] }[]) => {
    const known = list.filter(({ operator }) => operators[operator]);
    const requirements = known.map(({ key, operator, values }) => ({ key, operator: operators[operator]!, values }));
    return requirements.length > 0 ? { requirements } : undefined;
  };
  const [ofFields, ofLabels] = [
    said(readable(() => fieldsOf(fieldSelector))),
    said(readable(() => parseSelector(labelSelector))),
  ];
  return { ...(ofFields && { fieldSelector: ofFields }), ...(ofLabels && { labelSelector: ofLabels }) };
}

/** Upstream's default. */
const tokenMs = 120_000;
