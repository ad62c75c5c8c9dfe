import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { Clock } from "../base/clock.ts";
import { boolean, duration, type FlagSpec, type Flags, list, number, optional, text } from "../base/flags.ts";
import type { Logger } from "../base/logger.ts";
import type { AuditSink } from "./audit/audit.ts";
import { AuditLog } from "./audit/log.ts";
import { parsePolicy } from "./audit/policy.ts";
import { type AuditWebhookOptions, Batches } from "./audit/webhook.ts";
import { authenticationOf, authorizationOf, type SecurityOptions } from "./security.ts";
import { Encryption } from "./storage/encryption.ts";
import { webhookOf } from "./webhook-client.ts";

/** The flags of authentication, authorization, audit and encryption, and the files that they name. */
export const securityFlags = {
  "anonymous-auth": { type: "boolean", help: "requests without credentials are system:anonymous", optional: true },
  "authentication-config": optional("issuers of tokens, and who may be anonymous; instead of --oidc-*"),
  "authorization-config": optional("who is asked, in order; instead of --authorization-mode"),
  "token-auth-file": optional("CSV of tokens: token,user,uid,groups"),
  "enable-bootstrap-token-auth": boolean("bootstrap tokens are credentials", false),
  "service-account-issuer": list("who issues service-account tokens; the first one signs"),
  "service-account-key-file": list("PEM keys that service-account tokens are checked with"),
  "service-account-signing-key-file": optional("PEM key that signs them"),
  "api-audiences": list("whom tokens must be meant for (default: the issuer)"),
  "oidc-issuer-url": optional("an OpenID Connect issuer whose ID tokens are good"),
  "oidc-client-id": text("whom they must be meant for", ""),
  "oidc-username-claim": text("the claim that is the user", "sub"),
  "oidc-username-prefix": optional("before it (default: the issuer and #); -: none"),
  "oidc-groups-claim": optional("the claim that holds the groups"),
  "oidc-groups-prefix": text("before each of them", ""),
  "oidc-required-claim": list("claim=value that must hold"),
  "oidc-signing-algs": list("accepted algorithms", ["RS256"]),
  "oidc-ca-file": optional("who signs the issuer's certificate"),
  "authentication-token-webhook-config-file": optional("kubeconfig of a TokenReview"),
  "authorization-webhook-config-file": optional("kubeconfig of a SubjectAccessReview"),
  "requestheader-client-ca-file": optional("who signs certificates of front proxies"),
  "requestheader-allowed-names": list("common names of front proxies; none: all"),
  "requestheader-username-headers": list("who it is", ["X-Remote-User"]),
  "requestheader-uid-headers": list("his uid"),
  "requestheader-group-headers": list("his groups", ["X-Remote-Group"]),
  "requestheader-extra-headers-prefix": list("more about him", ["X-Remote-Extra-"]),
  "authorization-policy-file": optional("ABAC: a JSON policy a line"),
  "audit-policy-file": optional("which requests are audited, and how much of them"),
  "audit-log-path": optional("where to; - is stdout"),
  "audit-log-maxsize": number("megabytes at which a new file is begun", 100),
  "audit-log-maxage": number("days that old files are kept; 0: for ever", 0),
  "audit-log-maxbackup": number("old files that are kept; 0: all", 0),
  "audit-log-mode": text("batch or blocking", "blocking"),
  "audit-webhook-config-file": optional("kubeconfig of a server that takes audit events"),
  "audit-webhook-mode": text("batch or blocking", "batch"),
  "audit-webhook-initial-backoff": duration("until it is tried again", 10_000),
  "audit-webhook-batch-buffer-size": number("events that may wait", 10_000),
  "audit-webhook-batch-max-size": number("events of a batch", 400),
  "audit-webhook-batch-max-wait": duration("until a batch goes that is not full", 30_000),
  "audit-webhook-batch-throttle-enable": boolean("whether batches are throttled", true),
  "audit-webhook-batch-throttle-qps": number("batches a second on average", 10),
  "audit-webhook-batch-throttle-burst": number("batches at once", 15),
  "encryption-provider-config": optional("how values are encrypted in the store"),
  "authorization-mode": list("who is asked, in order (default Node,RBAC)"),
} satisfies FlagSpec;

const headerFlags = [
  "requestheader-allowed-names",
  "requestheader-username-headers",
  "requestheader-uid-headers",
  "requestheader-group-headers",
  "requestheader-extra-headers-prefix",
] as const;

/** Throws what reading a file throws. */
export function securityOptions(flags: Flags<typeof securityFlags>, clientCaFile: string): SecurityOptions {
  const read = (file: string) => readFileSync(file, "utf8");
  const given = <T, R>(value: T | undefined, make: (value: T) => R) => (value === undefined ? undefined : make(value));
  const issuers = flags["service-account-issuer"];
  const headers = Object.fromEntries(headerFlags.map((name) => [name, JSON.stringify(flags[name])]));
  const frontProxyCa = given(flags["requestheader-client-ca-file"], read);
  return {
    anonymous: flags["anonymous-auth"],
    staticTokens: given(flags["token-auth-file"], read),
    bootstrapTokens: flags["enable-bootstrap-token-auth"],
    serviceAccounts: given(issuers.length > 0 ? issuers : undefined, () => ({
      issuers,
      signingKey: given(flags["service-account-signing-key-file"], read),
      keys: flags["service-account-key-file"].map(read),
      audiences: flags["api-audiences"],
    })),
    requestHeader: given(frontProxyCa, () => ({
      allowedNames: flags["requestheader-allowed-names"],
      usernameHeaders: flags["requestheader-username-headers"],
      uidHeaders: flags["requestheader-uid-headers"],
      groupHeaders: flags["requestheader-group-headers"],
      extraHeaderPrefixes: flags["requestheader-extra-headers-prefix"],
    })),
    published: {
      "client-ca-file": read(clientCaFile),
      ...(frontProxyCa === undefined ? {} : { "requestheader-client-ca-file": frontProxyCa, ...headers }),
    },
    tokenWebhook: given(flags["authentication-token-webhook-config-file"], webhookOf),
    authenticationConfig: authenticationConfigOf(flags),
    algorithms: flags["authentication-config"] ? undefined : flags["oidc-signing-algs"],
    authorizationConfig: authorizationConfigOf(flags),
    abacPolicy: given(flags["authorization-policy-file"], read),
  };
}

/** The flags --oidc-* are an entry of --authentication-config, with which they do not go together. */
function authenticationConfigOf(flags: Flags<typeof securityFlags>): (() => string) | undefined {
  const [file, url, audience] = [flags["authentication-config"], flags["oidc-issuer-url"], flags["oidc-client-id"]];
  const isSet = Object.entries<FlagSpec[""]>(securityFlags).some(([name, { default: value = "" }]) => {
    return name.startsWith("oidc-") && String(flags[name as keyof typeof flags] ?? "") !== String(value);
  });
  if (file && isSet) throw new RangeError("authentication-config file and oidc-* flags are mutually exclusive");
  if (isSet && !(url && audience))
    throw new RangeError("oidc-issuer-url and oidc-client-id must be specified together when any oidc-* flags are set");
  if (!isSet) return file === undefined ? undefined : () => readFileSync(file, "utf8");
  const [ca, claim, groups] = [flags["oidc-ca-file"], flags["oidc-username-claim"], flags["oidc-groups-claim"]];
  const prefix = flags["oidc-username-prefix"] ?? (claim === "email" ? "" : `${url}#`);
  const issuer = { url, audiences: [audience], certificateAuthority: ca && readFileSync(ca, "utf8") };
  const claimMappings = {
    username: { claim, prefix: prefix === "-" ? "" : prefix },
    groups: groups && { claim: groups, prefix: flags["oidc-groups-prefix"] },
  };
  const required = flags["oidc-required-claim"].map((text) => text.split(/=(.*)/s));
  const claimValidationRules = required.map(([claim, requiredValue]) => ({ claim, requiredValue }));
  return () => authenticationOf({ jwt: [{ issuer, claimMappings, claimValidationRules }] });
}

const bothModes =
  "--authorization-config can not be specified when --authorization-mode or --authorization-webhook-* flags are defined";

function authorizationConfigOf(flags: Flags<typeof securityFlags>): (() => string) | undefined {
  const [file, modes] = [flags["authorization-config"], flags["authorization-mode"]];
  const kubeConfigFile = flags["authorization-webhook-config-file"];
  if (file && (modes.length > 0 || kubeConfigFile)) throw new RangeError(bothModes);
  if (modes.length === 0) return file === undefined ? undefined : () => readFileSync(file, "utf8");
  if (modes.includes("Webhook") && !kubeConfigFile)
    throw new RangeError("authorization-mode Webhook's authorization config file not passed");
  const webhook = {
    ...{ timeout: "30s", subjectAccessReviewVersion: "v1", failurePolicy: "NoOpinion" },
    connectionInfo: { type: "KubeConfigFile", kubeConfigFile: kubeConfigFile && resolve(kubeConfigFile) },
  };
  return () => authorizationOf(modes.map((type) => ({ type, ...(type === "Webhook" && { webhook }) })));
}

/** The audit log and encryption at rest, as far as their flags are given. Throws RangeError, and what files throw. */
export function auditAndEncryption(flags: Flags<typeof securityFlags>, clock: Clock, log: Logger) {
  const config = flags["encryption-provider-config"];
  const encryption = config === undefined ? undefined : new Encryption(readFileSync(config, "utf8"));
  const file = flags["audit-policy-file"];
  if (file === undefined) return { encryption, audit: undefined };
  for (const mode of [flags["audit-log-mode"], flags["audit-webhook-mode"]])
    if (mode !== "batch" && mode !== "blocking")
      throw new RangeError(`invalid audit mode ${mode}, allowed modes are "batch,blocking"`);
  const policy = parsePolicy(readFileSync(file, "utf8"));
  return { encryption, audit: { policy, log: auditLogOf(flags, clock, log), webhook: auditWebhookOf(flags) } };
}

function auditLogOf(flags: Flags<typeof securityFlags>, clock: Clock, log: Logger): AuditSink | undefined {
  const path = flags["audit-log-path"];
  if (path === undefined) return undefined;
  const options = {
    path,
    maxSizeMegabytes: flags["audit-log-maxsize"],
    maxAgeDays: flags["audit-log-maxage"],
    maxBackups: flags["audit-log-maxbackup"],
  };
  const failed = (err: Error) => log.error({ err }, "Writing the audit log failed");
  const file = new AuditLog(options, clock, failed);
  if (flags["audit-log-mode"] !== "batch") return file;
  const deliver = async (lines: string[]) => file.write(lines.join("\n"));
  const dropped = () => failed(new Error("the buffer is full"));
  return new Batches({
    bufferSize: 10_000,
    maxSize: 400,
    maxWaitMs: 0,
    qps: unthrottled,
    burst: 1,
    clock,
    deliver,
    dropped,
  });
}

const unthrottled = Number.POSITIVE_INFINITY;

function auditWebhookOf(flags: Flags<typeof securityFlags>): AuditWebhookOptions | undefined {
  const [file, mode] = [flags["audit-webhook-config-file"], flags["audit-webhook-mode"]];
  if (file === undefined) return undefined;
  const batch = {
    bufferSize: flags["audit-webhook-batch-buffer-size"],
    maxSize: flags["audit-webhook-batch-max-size"],
    maxWaitMs: flags["audit-webhook-batch-max-wait"],
    qps: flags["audit-webhook-batch-throttle-enable"] ? flags["audit-webhook-batch-throttle-qps"] : unthrottled,
    burst: flags["audit-webhook-batch-throttle-burst"],
  };
  for (const [name, value] of Object.entries(batch))
    if (!(value > 0)) throw new RangeError(`invalid audit batch webhook ${name} ${value}, must be a positive number`);
  return { config: webhookOf(file), mode, initialBackoffMs: flags["audit-webhook-initial-backoff"], batch };
}
