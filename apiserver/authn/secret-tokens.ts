import { createHash, timingSafeEqual } from "node:crypto";
import type { Secret } from "../../api/generated/core-v1.ts";
import { Secrets } from "../../api/generated/resources.ts";
import type { Clock } from "../../base/clock.ts";
import type { Cluster } from "../admission/cluster.ts";
import type { User } from "../request.ts";
import type { TokenAuthenticator } from "./authenticator.ts";

/**
 * `--token-auth-file`: lines of CSV, `TOKEN,USER,UID[,"GROUP,GROUP"]`. Throws RangeError for a line without its first
 * three fields.
 */
export function staticTokens(text: string): TokenAuthenticator {
  const users = new Map<string, User>();
  for (const [i, line] of text.split("\n").entries()) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    const fields = [...line.matchAll(/(?:^|,)\s*(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(
      ([, quoted, bare]) => quoted?.replaceAll('""', '"') ?? bare!.trim(),
    );
    const [token, name, uid, groups] = fields;
    if (!token || !name || uid === undefined)
      throw new RangeError(
        `token file line ${i + 1} must have at least 3 columns (token, user name, user uid), found ${fields.length}`,
      );
    users.set(hashOf(token), { name, uid, groups: groups ? groups.split(",") : [] });
  }
  return {
    async authenticate(token, audiences) {
      const user = users.get(hashOf(token)); // of hashes, so that time tells nothing
      return user && { user, audiences };
    },
  };
}

/** Bootstrap tokens `ID.SECRET`: Secrets kube-system/bootstrap-token-ID, for nodes that have no certificate yet. */
export function bootstrapTokens(cluster: Cluster, clock: Clock): TokenAuthenticator {
  return {
    async authenticate(token, audiences) {
      const [, id, secret] = /^([a-z0-9]{6})\.([a-z0-9]{16})$/.exec(token) ?? [];
      if (id === undefined) return undefined;
      const key = { namespace: "kube-system", name: `bootstrap-token-${id}` };
      const found: Secret | undefined = cluster.get(Secrets, key) ?? (await cluster.live(Secrets, key));
      if (found?.type !== "bootstrap.kubernetes.io/token" || found.metadata.deletionTimestamp) return undefined;
      const data = (field: string) => Buffer.from(found.data?.[field] ?? "", "base64").toString("utf8");
      if (data("token-id") !== id || !same(data("token-secret"), secret!)) return undefined;
      const expiration = data("expiration");
      if (expiration !== "" && !(clock.now() < Date.parse(expiration))) return undefined;
      if (data("usage-bootstrap-authentication") !== "true") return undefined;
      const more = data("auth-extra-groups")
        .split(",")
        .map((group) => group.trim())
        .filter(Boolean);
      if (!more.every((group) => /^system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]$/.test(group))) return undefined;
      return { user: { name: `system:bootstrap:${id}`, groups: ["system:bootstrappers", ...more.sort()] }, audiences };
    },
  };
}

const hashOf = (text: string) => createHash("sha256").update(text).digest("base64");
const same = (a: string, b: string) =>
  timingSafeEqual(createHash("sha256").update(a).digest(), createHash("sha256").update(b).digest());
