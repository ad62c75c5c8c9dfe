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
import { type Jwt, oidcTokens, userOf } from "./oidc.ts";
import { type WebhookConfiguration, webhookAuthorizer, webhookTokens } from "./webhooks.ts";

/** One server that is an OIDC issuer and both webhooks. */
const dir = mkdtempSync(join(tmpdir(), "oidc-"));
let server: https.Server;
let base: string;
let ca: Buffer;
let keys: Awaited<ReturnType<typeof generateKeyPair>>;
// biome-ignore lint/suspicious/noExplicitAny: whatever was asked
const asked: any[] = [];
const paths: string[] = [];
const kid = "k1";

beforeAll(async () => {
  const authority = await createAuthority("test");
  ca = Buffer.from(authority.cert);
  keys = await generateKeyPair("RS256");
  const identity = await authority.issue({ commonName: "t", ipAddresses: ["127.0.0.1"], usages: ["server"] });
  server = https.createServer({ ...identity, ca }, async (request, response) => {
    paths.push(request.url!);
    const answers: Record<string, () => Promise<object>> = {
      "/elsewhere": async () => ({ issuer: base, jwks_uri: `${base}/keys` }),
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

const none = { claim: "", expression: "" };
const options = (mappings: object = {}, more: Partial<Jwt> = {}): Jwt => ({
  issuer: {
    url: base,
    discoveryURL: "",
    certificateAuthority: ca.toString(),
    audiences: ["lab", "other"],
    audienceMatchPolicy: "MatchAny",
  },
  claimValidationRules: [],
  userValidationRules: [],
  claimMappings: {
    username: { claim: "sub", prefix: `${base}#`, expression: "" },
    groups: { claim: "groups", prefix: "oidc:", expression: "" },
    ...{ uid: none, extra: [] },
    ...mappings,
  },
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
    const tokens = oidcTokens(options(), ["RS256"], { clock: systemClock, log: silentLogger });
    const user = async (text: string) => (await tokens.authenticate(text, []))?.user;
    assert.deepEqual(await user(await token({})), { name: `${base}#jane`, groups: ["oidc:dev"] });
    assert.deepEqual((await user(await token({}, { audience: "other" })))?.groups, ["oidc:dev"]);
    const other = await generateKeyPair("RS256");
    assert.equal(await user(await token({}, { by: other.privateKey })), undefined);
    assert.equal(await user(await token({}, { audience: "others" })), undefined);
    assert.equal(await user(await token({}, { exp: "-1h" })), undefined);
    assert.equal(await user("no.jwt"), undefined);
  });

  test("are looked for where the configuration says", async () => {
    const issuer = { ...options().issuer, discoveryURL: `${base}/elsewhere` };
    const tokens = oidcTokens(options({}, { issuer }), ["RS256"], { clock: systemClock, log: silentLogger });
    assert.equal((await tokens.authenticate(await token({}), []))?.user.name, `${base}#jane`);
    assert.ok(paths.includes("/elsewhere"));
  });

  const username = (claim: string, prefix = "") => ({ username: { claim, prefix, expression: "" } });
  const by = (expression: string) => ({ username: { claim: "", expression } });
  const rules = (claimValidationRules: object[], userValidationRules: object[] = []) =>
    ({ claimValidationRules, userValidationRules }) as Partial<Jwt>;
  const required = (claim: string, requiredValue: string) => ({ claim, requiredValue, expression: "", message: "" });
  const rule = (expression: string, message = "no") => ({ claim: "", requiredValue: "", expression, message });
  test.each<[string, object, Partial<Jwt>, object, object | RegExp]>([
    ["another claim, no prefix", username("email"), {}, { email: "j@x" }, { name: "j@x" }],
    [
      "an address must be verified",
      username("email"),
      {},
      { email: "j@x", email_verified: false },
      /email not verified/,
    ],
    ["an own prefix", username("sub", "me:"), {}, { sub: "jane" }, { name: "me:jane" }],
    [
      "a claim that is not there",
      username("name"),
      {},
      { sub: "j" },
      /parse username claims "name": claim not present/,
    ],
    [
      "a claim that must hold",
      {},
      rules([required("hd", "lab")]),
      { sub: "j", hd: "x" },
      /required claim hd value does not match. Got = x, want = lab/,
    ],
    ["one that must be there", {}, rules([required("hd", "lab")]), { sub: "j" }, /required claim hd not present/],
    ["an expression", by("'oidc:' + claims.sub"), {}, { sub: "j" }, { name: "oidc:j" }],
    [
      "one that gives no text",
      by("claims.exp"),
      {},
      { exp: 1 },
      /parse username claims "claims.exp": it must be a string/,
    ],
    ["one that fails", by("claims.name"), {}, { sub: "j" }, /no such key: name/],
    [
      "groups, uid and more",
      {
        ...by("claims.sub"),
        groups: { claim: "", expression: "claims.roles.split(',') + ['']" },
        uid: { claim: "id", expression: "" },
        extra: [
          { key: "example.org/a", valueExpression: "claims.a" },
          { key: "example.org/b", valueExpression: "''" },
        ],
      },
      {},
      { sub: "j", roles: "x,y", id: "7", a: ["1", "2"] },
      { name: "j", groups: ["x", "y"], uid: "7", extra: { "example.org/a": ["1", "2"] } },
    ],
    ["a group alone", by("claims.sub"), {}, { sub: "j", groups: "dev" }, { name: "j", groups: ["oidc:dev"] }],
    [
      "a question to the claims",
      by("claims.sub"),
      rules([rule("claims.exp - claims.nbf <= 100", "too long")]),
      { sub: "j", exp: 200, nbf: 1 },
      /validation expression 'claims.exp - claims.nbf <= 100' failed: too long/,
    ],
    [
      "a question to the user",
      by("claims.sub"),
      rules([], [rule("!user.username.startsWith('system:') && size(user.groups) == 0", "reserved")]),
      { sub: "system:admin" },
      /failed: reserved/,
    ],
  ])("%s", (_name, mappings, more, claims, expected) => {
    const find = () => userOf({ ...claims }, options(mappings, more));
    if (expected instanceof RegExp) assert.throws(find, expected);
    else assert.deepEqual(find(), { groups: [], ...expected });
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

  const target = { group: "", version: "v1", namespace: "n", resource: "pods", name: "p", subresource: "" };
  const usual: WebhookConfiguration = {
    ...{ authorizedTTL: "5m", cacheAuthorizedRequests: true, unauthorizedTTL: "30s", cacheUnauthorizedRequests: true },
    ...{ timeout: "1s", subjectAccessReviewVersion: "v1", failurePolicy: "NoOpinion", matchConditions: [] },
    connectionInfo: { type: "KubeConfigFile", kubeConfigFile: "/" },
  };
  const asks = async (name: string, more: object = {}, given: Partial<WebhookConfiguration> = {}, by = post()) => {
    const authorizer = webhookAuthorizer({ post: by, ...known }, { ...usual, ...given });
    return (await authorizer.authorize({ user: { name, groups: ["g"] }, verb: "get", target, ...more })).type;
  };
  const gone = () => Promise.reject(new Error("gone"));

  test("allow, deny or have no opinion; when they cannot be reached, what they are told to", async () => {
    assert.deepEqual([await asks("ann"), await asks("dan"), await asks("eve")], ["Allow", "Deny", "NoOpinion"]);
    assert.deepEqual(asked.splice(0)[0].spec.resourceAttributes, { ...target, verb: "get" });
    assert.equal(await asks("ann", {}, {}, gone), "NoOpinion");
    assert.equal(await asks("ann", {}, { failurePolicy: "Deny" }, gone), "Deny");
  });

  test.each<[string, string[], Partial<WebhookConfiguration>, string, number]>([
    ["all hold", ["request.user == 'ann'", "request.resourceAttributes.verb == 'get'"], {}, "Allow", 1],
    [
      "one does not, which decides",
      ["request.x.y", "request.user == 'bob'"],
      { failurePolicy: "Deny" },
      "NoOpinion",
      0,
    ],
    ["one fails", ["request.x.y", "request.uid == ''"], { failurePolicy: "Deny" }, "Deny", 0],
    ["one fails, and that is no matter", ["request.x.y"], {}, "NoOpinion", 0],
  ])("are asked when their conditions say so: %s", async (_, conditions, given, expected, times) => {
    const matchConditions = conditions.map((expression) => ({ expression }));
    assert.equal(await asks("ann", {}, { ...given, matchConditions }), expected);
    assert.equal(asked.splice(0).length, times);
  });

  test("are told what is selected, in the version that they know", async () => {
    const selectors = { fieldSelector: "spec.nodeName=n1,a!=b", labelSelector: "app in (a,b),!old,x>1" };
    await asks("ann", { verb: "list", ...selectors }, { subjectAccessReviewVersion: "v1beta1" });
    await asks("ann", selectors);
    const [beta, plain] = asked.splice(0);
    assert.deepEqual([beta.apiVersion, beta.spec.group], ["authorization.k8s.io/v1beta1", ["g"]]);
    assert.deepEqual(beta.spec.resourceAttributes.fieldSelector.requirements, [
      { key: "spec.nodeName", operator: "In", values: ["n1"] },
      { key: "a", operator: "NotIn", values: ["b"] },
    ]);
    assert.deepEqual(beta.spec.resourceAttributes.labelSelector.requirements, [
      { key: "app", operator: "In", values: ["a", "b"] },
      { key: "old", operator: "DoesNotExist", values: [] },
    ]);
    assert.deepEqual(plain.spec.resourceAttributes, { ...target, verb: "get" });
  });
});
