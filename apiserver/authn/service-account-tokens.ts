import { createHash, createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { exportJWK, type JWTPayload, jwtVerify, SignJWT } from "jose";
import { LRUCache } from "lru-cache";
import { Nodes, Pods, Secrets, ServiceAccounts } from "../../api/generated/resources.ts";
import type { KubernetesObject, ObjectMeta, ResourceType } from "../../apimachinery/object.ts";
import type { Clock } from "../../base/clock.ts";
import type { Cluster } from "../admission/cluster.ts";
import type { User } from "../request.ts";
import type { Authenticated, TokenAuthenticator } from "./authenticator.ts";

export interface ServiceAccountOptions {
  /** The first one signs; tokens of all are good. */
  issuers: readonly string[];
  /** PEM of a private key; its public key is added to `keys`. */
  signingKey: string | undefined;
  /** PEM of public or private keys. */
  keys: readonly string[];
  audiences: readonly string[];
}

/** What a token is about besides its account. */
export interface Bound {
  pod?: Reference | undefined;
  secret?: Reference | undefined;
  node?: Reference | undefined;
}

interface Reference {
  name: string;
  uid?: string | undefined;
}

/** Claims as upstream's (pkg/serviceaccount/claims.go). */
interface Claims extends JWTPayload {
  "kubernetes.io"?: Bound & { namespace: string; serviceaccount: Reference; warnafter?: number };
}

/**
 * Service-account tokens: JWTs signed with the cluster's key (RFC 7519), bound to the account and perhaps to a Pod,
 * Secret or Node. A token is good for as long as these are there with the same uid, and not longer than it says.
 */
export class ServiceAccountTokens implements TokenAuthenticator {
  readonly issuer: string;
  readonly audiences: readonly string[];
  readonly #options: ServiceAccountOptions;
  readonly #cluster: Cluster;
  readonly #clock: Clock;
  readonly #keys = new Map<string, KeyObject>();
  readonly #signing: KeyObject | undefined;
  /** The signature of a token is checked once; what it is bound to, always. */
  readonly #verified = new LRUCache<string, Claims>({ max: 4096 });

  constructor(options: ServiceAccountOptions, cluster: Cluster, clock: Clock) {
    this.#options = options;
    this.#cluster = cluster;
    this.#clock = clock;
    this.issuer = options.issuers[0]!;
    this.audiences = options.audiences.length > 0 ? options.audiences : [this.issuer];
    this.#signing = options.signingKey === undefined ? undefined : createPrivateKey(options.signingKey);
    for (const pem of [...options.keys, ...(options.signingKey ? [options.signingKey] : [])]) {
      const key = createPublicKey(pem);
      this.#keys.set(keyId(key), key);
    }
  }

  get canSign(): boolean {
    return this.#signing !== undefined;
  }

  /** `ttl` and `warnAfter` in seconds. */
  sign(
    account: ObjectMeta,
    bound: Bound,
    { audiences, ttl, warnAfter, id }: { audiences: readonly string[]; ttl: number; warnAfter?: number; id: string },
  ): Promise<string> {
    const now = Math.floor(this.#clock.now() / 1000);
    const namespace = account.namespace!;
    const claims = {
      namespace,
      serviceaccount: { name: account.name, uid: account.uid },
      ...bound,
      ...(warnAfter === undefined ? {} : { warnafter: now + warnAfter }),
    };
    const key = this.#signing!;
    return new SignJWT({ "kubernetes.io": JSON.parse(JSON.stringify(claims)) })
      .setProtectedHeader({ alg: algorithmOf(key), kid: keyId(createPublicKey(key)) })
      .setIssuer(this.issuer)
      .setSubject(`system:serviceaccount:${namespace}:${account.name}`)
      .setAudience([...audiences])
      .setIssuedAt(now)
      .setNotBefore(now)
      .setExpirationTime(now + ttl)
      .setJti(id)
      .sign(key);
  }

  async authenticate(token: string, wanted: readonly string[]): Promise<Authenticated | undefined> {
    const claims = this.#verified.get(token) ?? (await this.#verify(token));
    const own = claims?.["kubernetes.io"];
    if (claims === undefined || own === undefined) return undefined;
    const now = this.#clock.now() / 1000;
    if (now >= (claims.exp ?? 0) || now < (claims.nbf ?? 0) - leewaySeconds) return undefined;
    const audiences = [claims.aud ?? []].flat().filter((audience) => wanted.includes(audience));
    if (audiences.length === 0) return undefined;
    const { namespace, serviceaccount, pod, secret, node } = own;
    if (claims.sub !== `system:serviceaccount:${namespace}:${serviceaccount.name}`) return undefined;
    const there = await Promise.all([
      this.#isThere(ServiceAccounts, namespace, serviceaccount),
      pod === undefined || this.#isThere(Pods, namespace, pod),
      secret === undefined || this.#isThere(Secrets, namespace, secret),
      node === undefined || pod !== undefined || this.#isThere(Nodes, "", node),
    ]);
    return there.every(Boolean) ? { user: userOf(claims.jti, own), audiences } : undefined;
  }

  /** `/openid/v1/jwks` */
  async jwks(): Promise<object> {
    const keys = [...this.#keys].map(async ([kid, key]) => ({
      ...(await exportJWK(key)),
      use: "sig",
      kid,
      alg: algorithmOf(key),
    }));
    return { keys: await Promise.all(keys) };
  }

  /** `/.well-known/openid-configuration`; `base` is where clients reach us. */
  configuration(base: string): object {
    return {
      issuer: this.issuer,
      jwks_uri: `${base}/openid/v1/jwks`,
      response_types_supported: ["id_token"],
      subject_types_supported: ["public"],
      id_token_signing_alg_values_supported: [...new Set([...this.#keys.values()].map(algorithmOf))],
    };
  }

  async #verify(token: string): Promise<Claims | undefined> {
    try {
      const { payload } = await jwtVerify<Claims>(
        token,
        ({ kid }) => {
          const key = kid === undefined ? [...this.#keys.values()][0] : this.#keys.get(kid);
          if (key === undefined) throw new Error("no such key");
          return key;
        },
        { issuer: [...this.#options.issuers], currentDate: new Date(this.#clock.now()) },
      );
      this.#verified.set(token, payload);
      return payload;
    } catch {
      return undefined; // of another kind, forged or too old
    }
  }

  async #isThere(type: ResourceType<KubernetesObject>, namespace: string, { name, uid }: Reference): Promise<boolean> {
    const key = { namespace, name };
    const isIt = (object: KubernetesObject | undefined) => object !== undefined && object.metadata.uid === uid;
    let object = this.#cluster.get(type, key);
    if (!isIt(object)) object = await this.#cluster.live(type, key); // made a moment ago?
    const ends = object?.metadata.deletionTimestamp;
    return isIt(object) && (ends === undefined || this.#clock.now() < Date.parse(ends) + 1000 * leewaySeconds);
  }
}

const leewaySeconds = 60;

const prefix = "authentication.kubernetes.io";

function userOf(
  id: string | undefined,
  { namespace, serviceaccount, pod, node }: NonNullable<Claims["kubernetes.io"]>,
): User {
  const extra: Record<string, string[]> = {};
  if (id) extra[`${prefix}/credential-id`] = [`JTI=${id}`];
  for (const [kind, reference] of Object.entries({ node, pod }))
    if (reference) {
      extra[`${prefix}/${kind}-name`] = [reference.name];
      if (reference.uid) extra[`${prefix}/${kind}-uid`] = [reference.uid];
    }
  return {
    name: `system:serviceaccount:${namespace}:${serviceaccount.name}`,
    uid: serviceaccount.uid,
    groups: ["system:serviceaccounts", `system:serviceaccounts:${namespace}`],
    extra,
  };
}

/** As upstream: tokens name their key by the hash of its DER form. */
const keyId = (key: KeyObject) =>
  createHash("sha256")
    .update(key.export({ type: "spki", format: "der" }))
    .digest("base64url");

const curves: Record<string, string> = { prime256v1: "ES256", secp384r1: "ES384", secp521r1: "ES512" };

const algorithmOf = (key: KeyObject): string =>
  key.asymmetricKeyType === "ec" ? curves[key.asymmetricKeyDetails?.namedCurve ?? ""]! : "RS256";
