import { readFileSync } from "node:fs";
import type { Clock } from "../base/clock.ts";
import type { FlagSpec, Flags } from "../base/flags.ts";
import type { Logger } from "../base/logger.ts";
import { AuditLog } from "./audit/log.ts";
import { parsePolicy } from "./audit/policy.ts";
import type { SecurityOptions } from "./security.ts";
import { Encryption } from "./storage/encryption.ts";
import { webhookOf } from "./webhook-client.ts";

/** The flags of authentication, authorization, audit and encryption, and the files that they name. */
export const securityFlags = {
  "anonymous-auth": { type: "boolean", default: false, help: "requests without credentials are system:anonymous" },
  "token-auth-file": { type: "string", optional: true, help: "CSV of tokens: token,user,uid,groups" },
  "enable-bootstrap-token-auth": { type: "boolean", default: false, help: "bootstrap tokens are credentials" },
  "service-account-issuer": { type: "strings", help: "who issues service-account tokens; the first one signs" },
  "service-account-key-file": { type: "strings", help: "PEM keys that service-account tokens are checked with" },
  "service-account-signing-key-file": { type: "string", optional: true, help: "PEM key that signs them" },
  "api-audiences": { type: "strings", help: "whom tokens must be meant for (default: the issuer)" },
  "oidc-issuer-url": { type: "string", optional: true, help: "an OpenID Connect issuer whose ID tokens are good" },
  "oidc-client-id": { type: "string", default: "", help: "whom they must be meant for" },
  "oidc-username-claim": { type: "string", default: "sub", help: "the claim that is the user" },
  "oidc-username-prefix": { type: "string", optional: true, help: "before it (default: the issuer and #); -: none" },
  "oidc-groups-claim": { type: "string", optional: true, help: "the claim that holds the groups" },
  "oidc-groups-prefix": { type: "string", default: "", help: "before each of them" },
  "oidc-required-claim": { type: "strings", help: "claim=value that must hold" },
  "oidc-signing-algs": { type: "strings", default: ["RS256"], help: "accepted algorithms" },
  "oidc-ca-file": { type: "string", optional: true, help: "who signs the issuer's certificate" },
  "authentication-token-webhook-config-file": { type: "string", optional: true, help: "kubeconfig of a TokenReview" },
  "authorization-webhook-config-file": { type: "string", optional: true, help: "kubeconfig of a SubjectAccessReview" },
  "requestheader-client-ca-file": { type: "string", optional: true, help: "who signs certificates of front proxies" },
  "requestheader-allowed-names": { type: "strings", help: "common names of front proxies; none: all" },
  "requestheader-username-headers": { type: "strings", default: ["X-Remote-User"], help: "who it is" },
  "requestheader-uid-headers": { type: "strings", help: "his uid" },
  "requestheader-group-headers": { type: "strings", default: ["X-Remote-Group"], help: "his groups" },
  "requestheader-extra-headers-prefix": { type: "strings", default: ["X-Remote-Extra-"], help: "more about him" },
  "authorization-policy-file": { type: "string", optional: true, help: "ABAC: a JSON policy a line" },
  "audit-policy-file": { type: "string", optional: true, help: "which requests are audited, and how much of them" },
  "audit-log-path": { type: "string", optional: true, help: "where to; - is stdout" },
  "audit-log-maxsize": { type: "number", default: 100, help: "megabytes at which a new file is begun" },
  "audit-log-maxage": { type: "number", default: 0, help: "days that old files are kept; 0: for ever" },
  "audit-log-maxbackup": { type: "number", default: 0, help: "old files that are kept; 0: all" },
  "encryption-provider-config": { type: "string", optional: true, help: "how values are encrypted in the store" },
  "authorization-mode": { type: "strings", default: ["Node", "RBAC"], help: "who is asked, in order" },
} as const satisfies FlagSpec;

const headerFlags = [
  "requestheader-allowed-names",
  "requestheader-username-headers",
  "requestheader-uid-headers",
  "requestheader-group-headers",
  "requestheader-extra-headers-prefix",
] as const;

/** Throws what reading a file throws. */
export function securityOptions(flags: Flags<typeof securityFlags>, clientCaFile: string): SecurityOptions {
  const text = (file: string) => readFileSync(file, "utf8");
  const optional = (file: string | undefined) => (file === undefined ? undefined : text(file));
  const webhook = (file: string | undefined) => (file === undefined ? undefined : webhookOf(file));
  const frontProxyCa = flags["requestheader-client-ca-file"];
  const issuers = flags["service-account-issuer"];
  const headers = Object.fromEntries(headerFlags.map((name) => [name, JSON.stringify(flags[name])]));
  return {
    anonymous: flags["anonymous-auth"],
    staticTokens: optional(flags["token-auth-file"]),
    bootstrapTokens: flags["enable-bootstrap-token-auth"],
    serviceAccounts:
      issuers.length === 0
        ? undefined
        : {
            issuers,
            signingKey: optional(flags["service-account-signing-key-file"]),
            keys: flags["service-account-key-file"].map(text),
            audiences: flags["api-audiences"],
          },
    requestHeader:
      frontProxyCa === undefined
        ? undefined
        : {
            allowedNames: flags["requestheader-allowed-names"],
            usernameHeaders: flags["requestheader-username-headers"],
            uidHeaders: flags["requestheader-uid-headers"],
            groupHeaders: flags["requestheader-group-headers"],
            extraHeaderPrefixes: flags["requestheader-extra-headers-prefix"],
          },
    published: {
      "client-ca-file": text(clientCaFile),
      ...(frontProxyCa === undefined ? {} : { "requestheader-client-ca-file": text(frontProxyCa), ...headers }),
    },
    oidc:
      flags["oidc-issuer-url"] === undefined
        ? undefined
        : {
            issuer: flags["oidc-issuer-url"],
            clientId: flags["oidc-client-id"],
            usernameClaim: flags["oidc-username-claim"],
            usernamePrefix: flags["oidc-username-prefix"],
            groupsClaim: flags["oidc-groups-claim"],
            groupsPrefix: flags["oidc-groups-prefix"],
            requiredClaims: flags["oidc-required-claim"],
            signingAlgorithms: flags["oidc-signing-algs"],
            ca: flags["oidc-ca-file"] === undefined ? undefined : readFileSync(flags["oidc-ca-file"]),
          },
    tokenWebhook: webhook(flags["authentication-token-webhook-config-file"]),
    authorizationWebhook: webhook(flags["authorization-webhook-config-file"]),
    authorizationModes: flags["authorization-mode"],
    abacPolicy: optional(flags["authorization-policy-file"]),
  };
}

/** The audit log and encryption at rest, as far as their flags are given. Throws RangeError, and what files throw. */
export function auditAndEncryption(flags: Flags<typeof securityFlags>, clock: Clock, log: Logger) {
  const config = flags["encryption-provider-config"];
  const encryption = config === undefined ? undefined : new Encryption(readFileSync(config, "utf8"));
  const [file, path] = [flags["audit-policy-file"], flags["audit-log-path"]];
  if (file === undefined || path === undefined) return { encryption, audit: undefined };
  const options = {
    path,
    maxSizeMegabytes: flags["audit-log-maxsize"],
    maxAgeDays: flags["audit-log-maxage"],
    maxBackups: flags["audit-log-maxbackup"],
  };
  const auditLog = new AuditLog(options, clock, (err) => log.error({ err }, "Writing the audit log failed"));
  const audit = { policy: parsePolicy(readFileSync(file, "utf8")), write: (line: string) => auditLog.write(line) };
  return { encryption, audit };
}
