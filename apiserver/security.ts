import { sameJson } from "../apimachinery/same-json.ts";
import type { Clock } from "../base/clock.ts";
import { parseDuration } from "../base/flags.ts";
import type { Logger } from "../base/logger.ts";
import type { Rand } from "../base/rand.ts";
import type { Cluster } from "./admission/cluster.ts";
import { Authenticator, type RequestHeaderOptions, type TokenAuthenticator } from "./authn/authenticator.ts";
import { oidcTokens } from "./authn/oidc.ts";
import { authenticationMakers } from "./authn/reviews.ts";
import { bootstrapTokens, staticTokens } from "./authn/secret-tokens.ts";
import { type ServiceAccountOptions, ServiceAccountTokens } from "./authn/service-account-tokens.ts";
import { tokenRequestMaker } from "./authn/token-request.ts";
import { type WebhookConfiguration, webhookAuthorizer, webhookTokens } from "./authn/webhooks.ts";
import { abacAuthorizer } from "./authz/abac.ts";
import { type Authorizer, inOrder, noOpinion, superusers } from "./authz/authorizer.ts";
import { nodeLookupOf, rbacIndexOf } from "./authz/from-cache.ts";
import { nodeAuthorizer } from "./authz/node.ts";
import { RbacAuthorizer } from "./authz/rbac.ts";
import { authorizationMakers } from "./authz/reviews.ts";
import { parseConfiguration, reloaded } from "./configuration-file.ts";
import type { Configurations } from "./generated/configuration.ts";
import type { Maker } from "./registry/context.ts";
import type { WatchCache } from "./watchcache/watch-cache.ts";
import { type ClientConfig, type Webhooks, webhookOf } from "./webhook-client.ts";

/** Who may come in, and who decides what they may do: the flags of authentication and authorization. */
export interface SecurityOptions {
  /** Requests without a credential are system:anonymous; otherwise only health is told them. */
  anonymous?: boolean | undefined;
  /** Text of --authentication-config, or what --oidc-* make of it; with `algorithms` when not all are good. */
  authenticationConfig?: (() => string) | undefined;
  algorithms?: readonly string[] | undefined;
  serviceAccounts?: ServiceAccountOptions | undefined;
  /** Text of --token-auth-file. */
  staticTokens?: string | undefined;
  bootstrapTokens?: boolean;
  requestHeader?: RequestHeaderOptions | undefined;
  /** Data of the ConfigMap that servers behind the aggregator read. */
  published?: Record<string, string>;
  /** --authentication-token-webhook-config-file. */
  tokenWebhook?: ClientConfig | undefined;
  /** Text of --authorization-config, or what --authorization-mode makes of it: Node and RBAC unless told otherwise. */
  authorizationConfig?: (() => string) | undefined;
  /** Text of --authorization-policy-file. */
  abacPolicy?: string | undefined;
}

export interface Security {
  authenticator: Authenticator;
  /** Whether requests without a credential may ask there. */
  anonymous(path: string): boolean;
  authorizer: Authorizer & Required<Authorizer>;
  rbac: RbacAuthorizer;
  tokens: ServiceAccountTokens | undefined;
  makers: ReadonlyMap<string, Maker>;
}

/** Throws RangeError for an unknown mode or a bad file. */
export function securityOf(
  options: SecurityOptions,
  known: { cluster: Cluster; cache: WatchCache; webhooks: Webhooks; clock: Clock; rand: Rand; log: Logger },
): Security {
  const { cluster, cache, webhooks, clock, log } = known;
  const hook = (config: ClientConfig, seconds = webhookSeconds) => {
    return { post: (body: object) => webhooks.call(config, body, seconds), clock, log };
  };
  const issuers = issuersOf(options, known);
  const tokens = options.serviceAccounts && new ServiceAccountTokens(options.serviceAccounts, cluster, clock);
  const authenticators: TokenAuthenticator[] = [
    ...(options.staticTokens === undefined ? [] : [staticTokens(options.staticTokens)]),
    ...(tokens ? [tokens] : []),
    ...(options.bootstrapTokens ? [bootstrapTokens(cluster, clock)] : []),
    ...(options.tokenWebhook ? [webhookTokens(hook(options.tokenWebhook))] : []),
  ];
  const authenticator = new Authenticator({
    tokens: () => [...authenticators, ...issuers().tokens],
    audiences: tokens?.audiences ?? [],
    requestHeader: options.requestHeader,
  });
  const rbac = new RbacAuthorizer(rbacIndexOf(cache));
  const types: Record<string, (given?: WebhookConfiguration) => Authorizer> = {
    Node: () => nodeAuthorizer(nodeLookupOf(cache)),
    RBAC: () => rbac,
    ABAC: () => {
      if (options.abacPolicy === undefined)
        throw new RangeError("--authorization-policy-file is required with --authorization-mode=ABAC");
      return abacAuthorizer(options.abacPolicy);
    },
    Webhook: (given) => {
      const seconds = parseDuration("timeout", given!.timeout) / 1000;
      return webhookAuthorizer(hook(webhookOf(given!.connectionInfo.kubeConfigFile), seconds), given!);
    },
    AlwaysAllow: () => ({ authorize: () => ({ type: "Allow", reason: "" }) }),
    AlwaysDeny: () => ({ authorize: () => ({ ...noOpinion, reason: "Everything is forbidden." }) }),
  };
  const { authorizationConfig = () => authorizationOf([{ type: "Node" }, { type: "RBAC" }]) } = options;
  const make = (text: string) => {
    const { authorizers } = parseConfiguration(text, "AuthorizationConfiguration");
    return inOrder([superusers, ...authorizers.map(({ type, webhook }) => types[type]!(webhook))]);
  };
  const current = reloaded(authorizationConfig, make, known);
  const authorizer: Security["authorizer"] = {
    authorize: (attributes) => current().authorize(attributes),
    rulesFor: (user, namespace) => current().rulesFor(user, namespace),
  };
  const makers = new Map([...authorizationMakers(authorizer), ...authenticationMakers(authenticator)]);
  if (tokens?.canSign) makers.set("/serviceaccounts/token", tokenRequestMaker(tokens, known));
  return { authenticator, anonymous: (path) => issuers().anonymous(path), authorizer, rbac, tokens, makers };
}

/** Who issues tokens besides us, and where nobody needs one: what the configuration says now. */
export function issuersOf(options: SecurityOptions, known: { clock: Clock; log: Logger }) {
  const { authenticationConfig = () => authenticationOf({}), algorithms = allAlgorithms, serviceAccounts } = options;
  const ours = serviceAccounts?.issuers ?? [];
  let first: Configurations["AuthenticationConfiguration"] | undefined;
  return reloaded(
    authenticationConfig,
    (text) => {
      const config = parseConfiguration(text, "AuthenticationConfiguration");
      first ??= config;
      const { jwt, anonymous } = config;
      if (jwt.some(({ issuer }) => ours.includes(issuer.url)))
        throw new RangeError(`URL must not overlap with disallowed issuers: [${ours.join(" ")}]`);
      if (anonymous && options.anonymous !== undefined) throw new RangeError(bothAnonymous);
      if (!sameJson(anonymous, first.anonymous))
        throw new RangeError("anonymous: Forbidden: changed from initial configuration file");
      const { enabled, conditions } = anonymous ?? { enabled: options.anonymous ?? false, conditions: [] };
      return {
        tokens: jwt.map((one) => oidcTokens(one, algorithms, known)),
        anonymous: (path: string) => enabled && (!conditions[0] || conditions.some((one) => one.path === path)),
      };
    },
    known,
  );
}

const bothAnonymous =
  "anonymous: Forbidden: --anonymous-auth flag cannot be set when anonymous field is configured in authentication configuration file";
const allAlgorithms = "RS256 RS384 RS512 ES256 ES384 ES512 PS256 PS384 PS512".split(" ");

/** The texts of such files. */
const configuration = (kind: string, body: object) =>
  JSON.stringify({ apiVersion: "apiserver.config.k8s.io/v1", kind, ...body });
export const authenticationOf = (body: object): string => configuration("AuthenticationConfiguration", body);
export const authorizationOf = (list: { type: string }[]): string => {
  const authorizers = list.map((one) => ({ name: one.type.toLowerCase(), ...one }));
  return configuration("AuthorizationConfiguration", { authorizers });
};

/** Upstream's timeout of both webhooks. */
const webhookSeconds = 30;
