import * as crypto from "node:crypto";
import { promisify } from "node:util";
import { attempt } from "../../base/attempt.ts";
import { StartError } from "../../base/process.ts";
import type { Identity } from "./auth-store.ts";

/**
 * `--auth-token=jwt,pub-key=FILE,priv-key=FILE,sign-method=METHOD,ttl=DURATION`: tokens are JSON Web Tokens (RFC 7519) that
 * any member with the key makes and reads; nothing is kept. Claims: `username`, `revision` (of the auth store, when the
 * password was checked) and `exp`. A token is of its revision: after any change of users, roles or permissions it is
 * refused as "revision of auth store is old", and its owner authenticates again.
 *
 * Methods (RFC 7518, 8037): HS*, RS*, PS* and ES* with 256, 384 or 512, and EdDSA (Ed25519). HS* has one key for both, the
 * bytes of `priv-key`. A member that has only `pub-key` reads tokens and makes none.
 */
export interface JwtOptions {
  pubKey: string | undefined;
  privKey: string | undefined;
  method: JwtMethod;
  ttlMs: number;
}

const jwtMethods = [
  ...["HS", "RS", "PS", "ES"].flatMap((family) => [`${family}256`, `${family}384`, `${family}512`]),
  "EdDSA",
];
type JwtMethod = string;

/** The rest of the flag, after "jwt". `unknown`: options that mean nothing, which etcd only warns of. */
export function parseJwtOptions(text: string, duration: (text: string) => number): JwtOptions & { unknown: string[] } {
  const options = new Map<string, string>();
  for (const part of text.split(",").slice(1)) {
    const at = part.indexOf("=");
    if (at < 0) throw refused(`auth: invalid auth options: "${part}" is not key=value`);
    const name = part.slice(0, at);
    if (options.has(name)) throw refused(`auth: invalid auth options: ${name} is given twice`);
    options.set(name, part.slice(at + 1));
  }
  const method = options.get("sign-method") ?? "";
  if (!jwtMethods.includes(method))
    throw refused(`auth: invalid auth signature method: sign-method=${method} is none of ${jwtMethods.join(", ")}`);
  const [pubKey, privKey] = [options.get("pub-key") || undefined, options.get("priv-key") || undefined];
  if (pubKey === undefined && privKey === undefined) throw refused("missing key data: priv-key or pub-key is needed");
  if (method.startsWith("HS") && privKey === undefined) throw refused(`missing key data: ${method} needs priv-key`);
  const ttl = options.get("ttl");
  const unknown = [...options.keys()].filter((name) => !["pub-key", "priv-key", "sign-method", "ttl"].includes(name));
  return { pubKey, privKey, method, ttlMs: ttl === undefined ? defaultTtlMs : duration(ttl), unknown };
}

/** `read` gives a file's bytes. Throws a StartError of one line that names the file. */
export function loadJwt(options: JwtOptions, read: (file: string) => Buffer): Jwt {
  const { pubKey, privKey, method } = options;
  const use = <K>(file: string, make: (bytes: Buffer) => K): K => {
    try {
      return make(read(file));
    } catch (error) {
      if (error instanceof StartError) throw error;
      throw refused(`${file}: ${(error as Error).message}`, error);
    }
  };
  if (method.startsWith("HS")) return jwtOf(method, use(privKey!, crypto.createSecretKey), undefined, options.ttlMs);
  const sign = privKey === undefined ? undefined : use(privKey, crypto.createPrivateKey);
  const verify = pubKey === undefined ? crypto.createPublicKey(sign!) : use(pubKey, crypto.createPublicKey);
  if (sign !== undefined && !crypto.createPublicKey(sign).equals(verify))
    throw refused(`public and private keys don't match: ${pubKey} and ${privKey}`);
  const kind = keyKind(verify);
  if (kind !== kindOf(method))
    throw refused(`${pubKey ?? privKey} holds a key of ${kind}, which is none for ${method}`);
  return jwtOf(method, verify, sign, options.ttlMs);
}

export type Jwt = ReturnType<typeof jwtOf>;

function jwtOf(method: JwtMethod, verifyKey: crypto.KeyObject, signKey: crypto.KeyObject | undefined, ttlMs: number) {
  interface Known {
    identity: Identity;
    notBefore: number;
    expiry: number;
  }
  /** Tokens whose signature was right: a signature is dear, and a client sends its token with each request. */
  const all = new Map<string, Known>();

  const hmac = (text: string): Buffer =>
    crypto
      .createHmac(`sha${method.slice(2)}`, verifyKey)
      .update(text)
      .digest();

  function isSigned(text: string, signature: Buffer): boolean {
    if (verifyKey.type === "secret") {
      const right = hmac(text);
      return right.length === signature.length && crypto.timingSafeEqual(right, signature);
    }
    const { hash, ...padding } = algorithm(method, "verify");
    return crypto.verify(hash, Buffer.from(text), { key: verifyKey, ...padding }, signature);
  }

  function read(token: string): Known | undefined {
    const [head, body, signature, more] = token.split(".");
    if (!head || !body || !signature || more !== undefined) return undefined;
    // The method is ours, never the token's to choose ("alg": "none" and its kin).
    if (decode(head)?.["alg"] !== method) return undefined;
    if (!isSigned(`${head}.${body}`, Buffer.from(signature, "base64url"))) return undefined;
    const { username, revision, exp, nbf } = decode(body) ?? {};
    if (typeof username !== "string" || !Number.isSafeInteger(revision)) return undefined;
    const seconds = (claim: unknown, absent: number) => (typeof claim === "number" ? claim * 1000 : absent);
    return {
      identity: { username, revision: revision as number },
      notBefore: seconds(nbf, Number.NEGATIVE_INFINITY),
      expiry: seconds(exp, Number.POSITIVE_INFINITY),
    };
  }

  return {
    canSign: signKey !== undefined || method.startsWith("HS"),

    async sign({ username, revision }: Identity, now: number): Promise<string> {
      const claims = { exp: Math.floor((now + ttlMs) / 1000), revision, username };
      const text = `${encode({ alg: method, typ: "JWT" })}.${encode(claims)}`;
      if (signKey === undefined) return `${text}.${hmac(text).toString("base64url")}`;
      const { hash, ...padding } = algorithm(method, "sign");
      const signature = await sign(hash, Buffer.from(text), { key: signKey, ...padding });
      return `${text}.${signature.toString("base64url")}`;
    },

    /** Who a token is of; undefined when it is not of this key and method, or not of this time. `now`: wall time. */
    identityOf(token: string, now: number): Identity | undefined {
      const known = all.get(token) ?? read(token);
      if (known === undefined) return undefined;
      all.delete(token);
      if (now < known.notBefore || now >= known.expiry) return undefined;
      if (all.size >= maxKnown) all.delete(all.keys().next().value!);
      all.set(token, known);
      return known.identity;
    },
  };
}

const sign = promisify(crypto.sign) as (hash: string | null, data: Buffer, key: object) => Promise<Buffer>;

function algorithm(
  method: JwtMethod,
  use: "sign" | "verify",
): { hash: string | null } & Partial<crypto.SigningOptions> {
  const hash = `sha${method.slice(2)}`;
  const { RSA_PKCS1_PSS_PADDING, RSA_PSS_SALTLEN_DIGEST, RSA_PSS_SALTLEN_AUTO } = crypto.constants;
  const saltLength = use === "sign" ? RSA_PSS_SALTLEN_DIGEST : RSA_PSS_SALTLEN_AUTO;
  switch (method.slice(0, 2)) {
    case "RS":
      return { hash };
    case "PS": // the salt is as long as the hash (RFC 7518, 3.5); other signers take as much as fits
      return { hash, padding: RSA_PKCS1_PSS_PADDING, saltLength };
    case "ES":
      return { hash, dsaEncoding: "ieee-p1363" };
    default:
      return { hash: null };
  }
}

function kindOf(method: JwtMethod): string {
  if (method === "EdDSA") return "ed25519";
  if (!method.startsWith("ES")) return "rsa";
  return { ES256: "prime256v1", ES384: "secp384r1", ES512: "secp521r1" }[method]!;
}

const keyKind = (key: crypto.KeyObject): string => key.asymmetricKeyDetails?.namedCurve ?? key.asymmetricKeyType!;

const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString("base64url");

function decode(part: string): Record<string, unknown> | undefined {
  const value = attempt((): unknown => JSON.parse(Buffer.from(part, "base64url").toString()));
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
}

const refused = (text: string, cause?: unknown) => new StartError(`--auth-token: ${text}`, { cause });
const defaultTtlMs = 300_000;
const maxKnown = 10_000;
