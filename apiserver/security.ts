import type { Clock } from "../base/clock.ts";
import type { Logger } from "../base/logger.ts";
import type { Rand } from "../base/rand.ts";
import type { Cluster } from "./admission/cluster.ts";
import { Authenticator, type RequestHeaderOptions, type TokenAuthenticator } from "./authn/authenticator.ts";
import { type OidcOptions, oidcTokens } from "./authn/oidc.ts";
import { authenticationMakers } from "./authn/reviews.ts";
import { bootstrapTokens, staticTokens } from "./authn/secret-tokens.ts";
import { type ServiceAccountOptions, ServiceAccountTokens } from "./authn/service-account-tokens.ts";
import { tokenRequestMaker } from "./authn/token-request.ts";
import { webhookAuthorizer, webhookTokens } from "./authn/webhooks.ts";
import { abacAuthorizer } from "./authz/abac.ts";
import { type Authorizer, inOrder, noOpinion, superusers } from "./authz/authorizer.ts";
import { nodeLookupOf, rbacIndexOf } from "./authz/from-cache.ts";
import { nodeAuthorizer } from "./authz/node.ts";
import { RbacAuthorizer } from "./authz/rbac.ts";
import { authorizationMakers } from "./authz/reviews.ts";
import type { Maker } from "./registry/context.ts";
import type { WatchCache } from "./watchcache/watch-cache.ts";
import type { ClientConfig, Webhooks } from "./webhook-client.ts";

/** Who may come in, and who decides what they may do: the flags of authentication and authorization. */
export interface SecurityOptions {
  /** Requests without a credential are system:anonymous; otherwise only health is told them. */
  anonymous?: boolean;
  serviceAccounts?: ServiceAccountOptions | undefined;
  /** Text of --token-auth-file. */
  staticTokens?: string | undefined;
  bootstrapTokens?: boolean;
  requestHeader?: RequestHeaderOptions | undefined;
  /** Data of the ConfigMap that servers behind the aggregator read. */
  published?: Record<string, string>;
  oidc?: OidcOptions | undefined;
  /** --authentication-token-webhook-config-file and --authorization-webhook-config-file. */
  tokenWebhook?: ClientConfig | undefined;
  authorizationWebhook?: ClientConfig | undefined;
  /** `Node,RBAC` unless told otherwise. */
  authorizationModes?: readonly string[];
  /** Text of --authorization-policy-file. */
  abacPolicy?: string | undefined;
}

export interface Security {
  authenticator: Authenticator;
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
  const hook = (config: ClientConfig) => {
    return { post: (body: object) => webhooks.call(config, body, webhookSeconds), clock, log };
  };
  const tokens = options.serviceAccounts && new ServiceAccountTokens(options.serviceAccounts, cluster, clock);
  const authenticators: TokenAuthenticator[] = [
    ...(options.staticTokens === undefined ? [] : [staticTokens(options.staticTokens)]),
    ...(tokens ? [tokens] : []),
    ...(options.bootstrapTokens ? [bootstrapTokens(cluster, clock)] : []),
    ...(options.oidc ? [oidcTokens(options.oidc, { clock, log })] : []),
    ...(options.tokenWebhook ? [webhookTokens(hook(options.tokenWebhook))] : []),
  ];
  const authenticator = new Authenticator({
    tokens: authenticators,
    audiences: tokens?.audiences ?? [],
    requestHeader: options.requestHeader,
  });
  const rbac = new RbacAuthorizer(rbacIndexOf(cache));
  const modes: Record<string, () => Authorizer> = {
    Node: () => nodeAuthorizer(nodeLookupOf(cache)),
    RBAC: () => rbac,
    ABAC: () => {
      if (options.abacPolicy === undefined)
        throw new RangeError("--authorization-policy-file is required with --authorization-mode=ABAC");
      return abacAuthorizer(options.abacPolicy);
    },
    Webhook: () => {
      if (options.authorizationWebhook === undefined)
        throw new RangeError("--authorization-webhook-config-file is required with --authorization-mode=Webhook");
      return webhookAuthorizer(hook(options.authorizationWebhook));
    },
    AlwaysAllow: () => ({ authorize: () => ({ type: "Allow", reason: "" }) }),
    AlwaysDeny: () => ({ authorize: () => ({ ...noOpinion, reason: "Everything is forbidden." }) }),
  };
  const chosen = (options.authorizationModes ?? ["Node", "RBAC"]).map((mode) => {
    const make = Object.hasOwn(modes, mode) ? modes[mode] : undefined;
    if (make === undefined) throw new RangeError(`--authorization-mode: ${JSON.stringify(mode)} is not a valid mode`);
    return make();
  });
  const authorizer = inOrder([superusers, ...chosen]);
  const makers = new Map([...authorizationMakers(authorizer), ...authenticationMakers(authenticator)]);
  if (tokens?.canSign) makers.set("/serviceaccounts/token", tokenRequestMaker(tokens, known));
  return { authenticator, authorizer, rbac, tokens, makers };
}

/** Upstream's timeout of both webhooks. */
const webhookSeconds = 30;
