import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { afterAll, beforeAll, describe, test } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { silentLogger } from "../../base/logger.ts";
import { createAuthority } from "../../pki/authority.ts";
import { Webhooks, webhookOf } from "../webhook-client.ts";
import { type OidcOptions, oidcTokens, userOf } from "./oidc.ts";
import { webhookAuthorizer, webhookTokens } from "./webhooks.ts";

/** One server that is an OIDC issuer and both webhooks. */
const dir = mkdtempSync(join(tmpdir(), "oidc-"));
let server: https.Server;
let base: string;
let ca: Buffer;
let keys: Awaited<ReturnType<typeof generateKeyPair>>;
// biome-ignore lint/suspicious/noExplicitAny: whatever was asked
const asked: any[] = [];
const kid = "k1";

beforeAll(async () => {
  const authority = await createAuthority("test");
  ca = Buffer.from(authority.cert);
  keys = await generateKeyPair("RS256");
  const identity = await authority.issue({ commonName: "t", ipAddresses: ["127.0.0.1"], usages: ["server"] });
  server = https.createServer({ ...identity, ca }, async (request, response) => {
    const answers: Record<string, () => Promise<object>> = {
      "/.well-known/openid-configuration": async () => ({ issuer: base, jwks_uri: `${base}/keys` }),
      "/keys": async () => ({ keys: [{ ...(await exportJWK(keys.publicKey)), kid, alg: "RS256" }] }),
      "/hook": async () => {
        // biome-ignore lint/suspicious/noExplicitAny: two kinds of review
        const review = (await json(request)) as any;
        asked.push({ ...review, authorization: request.headers.authorization });
        const { spec } = review;
        if (review.kind === "TokenReview")
          return { status: { authenticated: spec.token === "good", user: { username: "hook", groups: ["g"] } } };
        return { status: { allowed: spec.user === "ann", denied: spec.user === "dan", reason: "because" } };
      },
    };
    const answer = await answers[request.url!.split("?")[0]!]!();
    response.end(JSON.stringify(answer));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  base = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.close();
  rmSync(dir, { recursive: true });
});

const options = (more: Partial<OidcOptions> = {}): OidcOptions => ({
  issuer: base,
  clientId: "lab",
  usernameClaim: "sub",
  usernamePrefix: undefined,
  groupsClaim: "groups",
  groupsPrefix: "oidc:",
  requiredClaims: [],
  signingAlgorithms: ["RS256"],
  ca,
  ...more,
});

describe("tokens of an OIDC issuer", () => {
  const token = (claims: object, { audience = "lab", exp = "1h", by = keys.privateKey, id = kid } = {}) =>
    new SignJWT({ groups: ["dev"], ...claims })
      .setProtectedHeader({ alg: "RS256", kid: id })
      .setIssuer(base)
      .setSubject("jane")
      .setAudience(audience)
      .setExpirationTime(exp)
      .sign(by);

  test("are good when the issuer's key signed them for us, and not too long ago", async () => {
    const tokens = oidcTokens(options(), { clock: systemClock, log: silentLogger });
    const user = async (text: string) => (await tokens.authenticate(text, []))?.user;
    assert.deepEqual(await user(await token({})), { name: `${base}#jane`, groups: ["oidc:dev"] });
    const other = await generateKeyPair("RS256");
    assert.equal(await user(await token({}, { by: other.privateKey })), undefined);
    assert.equal(await user(await token({}, { audience: "others" })), undefined);
    assert.equal(await user(await token({}, { exp: "-1h" })), undefined);
    assert.equal(await user("no.jwt"), undefined);
  });

  test.each<[string, Partial<OidcOptions>, object, string | RegExp]>([
    ["another claim, no prefix", { usernameClaim: "email", usernamePrefix: "-" }, { email: "j@x" }, "j@x"],
    ["an address has no prefix by itself", { usernameClaim: "email" }, { email: "j@x", email_verified: true }, "j@x"],
    [
      "an address must be verified",
      { usernameClaim: "email" },
      { email: "j@x", email_verified: false },
      /email not verified/,
    ],
    ["an own prefix", { usernamePrefix: "me:" }, { sub: "jane" }, "me:jane"],
    ["a claim that is not there", { usernameClaim: "name" }, { sub: "jane" }, /no claim name/],
    [
      "a claim that must hold",
      { usernamePrefix: "-", requiredClaims: ["hd=lab"] },
      { sub: "j", hd: "x" },
      /claim hd must be "lab"/,
    ],
  ])("%s", (_name, more, claims, expected) => {
    const find = () => userOf({ ...claims }, options(more)).name;
    if (typeof expected === "string") assert.equal(find(), expected);
    else assert.throws(find, expected);
  });
});

describe("webhooks", () => {
  function post() {
    const file = join(dir, "hook.yaml");
    writeFileSync(
      file,
      `clusters: [{name: c, cluster: {server: "${base}/hook", certificate-authority-data: ${ca.toString("base64")}}}]
users: [{name: u, user: {token: secret}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`,
    );
    const hook = webhookOf(file);
    const webhooks = new Webhooks({ cache: {} as never, clock: systemClock, below: () => 0 });
    closers.push(() => webhooks.close());
    return (body: object) => webhooks.call(hook, body, 10);
  }
  const known = { clock: systemClock, log: silentLogger };
  const closers: (() => void)[] = [];
  afterAll(() => {
    for (const close of closers) close();
  });

  test("tell whose a token is, and are not asked twice", async () => {
    const tokens = webhookTokens({ post: post(), ...known });
    const good = { name: "hook", uid: undefined, groups: ["g"], extra: undefined };
    for (let i = 0; i < 2; i++) assert.deepEqual((await tokens.authenticate("good", ["a"]))?.user, good);
    assert.equal(await tokens.authenticate("bad", ["a"]), undefined);
    assert.deepEqual(
      asked.splice(0).map(({ kind, spec, authorization }) => [kind, spec, authorization]),
      ["good", "bad"].map((token) => ["TokenReview", { token, audiences: ["a"] }, "Bearer secret"]),
    );
  });

  test("allow, deny or have no opinion; none when they cannot be reached", async () => {
    const target = { group: "", version: "v1", namespace: "n", resource: "pods", name: "p", subresource: "" };
    const ask = async (name: string, by = post()) => {
      const authorizer = webhookAuthorizer({ post: by, ...known });
      return (await authorizer.authorize({ user: { name, groups: [] }, verb: "get", target })).type;
    };
    assert.deepEqual([await ask("ann"), await ask("dan"), await ask("eve")], ["Allow", "Deny", "NoOpinion"]);
    assert.deepEqual(asked[0].spec.resourceAttributes, { ...target, verb: "get" });
    assert.equal(await ask("ann", () => Promise.reject(new Error("gone"))), "NoOpinion");
  });
});
