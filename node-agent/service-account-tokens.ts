import type { TokenRequest } from "../api/generated/authentication-v1.ts";
import type { Pod } from "../api/generated/core-v1.ts";
import { ServiceAccounts } from "../api/generated/resources.ts";
import type { Clock } from "../base/clock.ts";
import type { Client } from "../client/types.ts";
import { tokenKey, tokenProjections } from "./volumes.ts";

/**
 * Tokens of the service accounts of this node's Pods, bound to the Pod. Each is asked for when it is first needed and
 * again when 80 % of its life, or a day, is over (KEP-1205).
 */
export function serviceAccountTokens(client: Client, clock: Clock): (pod: Pod) => Promise<Map<string, string>> {
  const tokens = new Map<string, { token: string; renewAtMs: number }>();
  /** By `tokenKey`, those that the volumes of a Pod project. */
  return async (pod) => {
    const { uid, name, namespace } = pod.metadata;
    const account = { namespace: namespace!, name: pod.spec.serviceAccountName ?? "default" };
    const found = new Map<string, string>();
    for (const projection of tokenProjections(pod)) {
      const key = tokenKey(projection);
      const known = tokens.get(`${uid} ${key}`);
      if (known !== undefined && clock.now() < known.renewAtMs) {
        found.set(key, known.token);
        continue;
      }
      const { audience, expirationSeconds = 3600 } = projection;
      const request: TokenRequest = {
        apiVersion: "authentication.k8s.io/v1",
        kind: "TokenRequest",
        metadata: { name: "" },
        spec: {
          audiences: audience ? [audience] : [],
          expirationSeconds,
          boundObjectRef: { apiVersion: "v1", kind: "Pod", name, uid: uid! },
        },
      };
      const answer = await client.createSubresource(ServiceAccounts, account, "token", request);
      const { token } = (answer as TokenRequest).status!;
      const now = clock.now();
      for (const [other, { renewAtMs }] of tokens) if (renewAtMs < now) tokens.delete(other);
      tokens.set(`${uid} ${key}`, { token, renewAtMs: now + Math.min(0.8 * expirationSeconds, daySeconds) * 1000 });
      found.set(key, token);
    }
    return found;
  };
}

const daySeconds = 24 * 3600;
