import { readFileSync } from "node:fs";
import type { FlagSpec, Flags } from "../base/flags.ts";
import type { SecurityOptions } from "./security.ts";

/** The flags of authentication and authorization, and the files that they name. */
export const securityFlags = {
  "anonymous-auth": { type: "boolean", default: false, help: "requests without credentials are system:anonymous" },
  "token-auth-file": { type: "string", optional: true, help: "CSV of tokens: token,user,uid,groups" },
  "enable-bootstrap-token-auth": { type: "boolean", default: false, help: "bootstrap tokens are credentials" },
  "service-account-issuer": { type: "strings", help: "who issues service-account tokens; the first one signs" },
  "service-account-key-file": { type: "strings", help: "PEM keys that service-account tokens are checked with" },
  "service-account-signing-key-file": { type: "string", optional: true, help: "PEM key that signs them" },
  "api-audiences": { type: "strings", help: "whom tokens must be meant for (default: the issuer)" },
  "requestheader-client-ca-file": { type: "string", optional: true, help: "who signs certificates of front proxies" },
  "requestheader-allowed-names": { type: "strings", help: "common names of front proxies; none: all" },
  "requestheader-username-headers": { type: "strings", default: ["X-Remote-User"], help: "who it is" },
  "requestheader-uid-headers": { type: "strings", help: "his uid" },
  "requestheader-group-headers": { type: "strings", default: ["X-Remote-Group"], help: "his groups" },
  "requestheader-extra-headers-prefix": { type: "strings", default: ["X-Remote-Extra-"], help: "more about him" },
  "authorization-mode": { type: "strings", default: ["Node", "RBAC"], help: "who is asked, in order" },
} as const satisfies FlagSpec;

/** Throws what reading a file throws. */
export function securityOptions(flags: Flags<typeof securityFlags>): SecurityOptions {
  const text = (file: string) => readFileSync(file, "utf8");
  const optional = (file: string | undefined) => (file === undefined ? undefined : text(file));
  const issuers = flags["service-account-issuer"];
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
      flags["requestheader-client-ca-file"] === undefined
        ? undefined
        : {
            allowedNames: flags["requestheader-allowed-names"],
            usernameHeaders: flags["requestheader-username-headers"],
            uidHeaders: flags["requestheader-uid-headers"],
            groupHeaders: flags["requestheader-group-headers"],
            extraHeaderPrefixes: flags["requestheader-extra-headers-prefix"],
          },
    authorizationModes: flags["authorization-mode"],
  };
}
