import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { silentLogger } from "../base/logger.ts";
import { parseConfiguration, reloaded } from "./configuration-file.ts";

const file = (kind: string, body: object) =>
  JSON.stringify({ apiVersion: "apiserver.config.k8s.io/v1", kind, ...body });
function told(run: () => unknown): string {
  try {
    run();
    return "";
  } catch (error) {
    assert.ok(error instanceof RangeError, String(error));
    return error.message;
  }
}

describe("AuthenticationConfiguration", () => {
  const issuer = { url: "https://issuer.example", audiences: ["lab"] };
  const claimMappings = { username: { claim: "sub", prefix: "" } };
  const good = { issuer, claimMappings };
  const ofJwt = (more: object) => ({ jwt: [{ ...good, ...more }] });
  const mapped = (more: object) => ofJwt({ claimMappings: { ...claimMappings, ...more } });
  const username = (mapping: object) => mapped({ username: mapping });
  const at = "jwt[0].claimMappings";
  const verified =
    "claims.email_verified must be used in claimMappings.username.expression or claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression";
  test.each<[string, object, string]>([
    ["nobody besides us", {}, ""],
    ["one issuer", ofJwt({}), ""],
    [
      "all that may be said",
      {
        jwt: [
          {
            issuer: { ...issuer, audiences: ["a", "b"], audienceMatchPolicy: "MatchAny", discoveryURL: "https://x/y" },
            claimValidationRules: [
              { claim: "hd", requiredValue: "x" },
              { expression: "claims.exp > 1", message: "m" },
            ],
            claimMappings: {
              username: { expression: "claims.email_verified ? claims.email : ''" },
              groups: { expression: "claims.roles.split(',')" },
              uid: { claim: "sub" },
              extra: [{ key: "example.org/tenant", valueExpression: "claims.tenant" }],
            },
            userValidationRules: [{ expression: "!user.username.startsWith('system:')", message: "reserved" }],
          },
        ],
        anonymous: { enabled: true, conditions: [{ path: "/livez" }] },
      },
      "",
    ],
    ["a typing mistake", ofJwt({ issuers: {} }), 'strict decoding error: unknown field "jwt[0].issuers"'],
    ["no issuer", { jwt: [{ claimMappings }] }, "jwt[0].issuer: Required value"],
    [
      "no audience",
      ofJwt({ issuer: { url: issuer.url } }),
      "jwt[0].issuer.audiences: Required value: at least one jwt[0].issuer.audiences is required",
    ],
    [
      "a plain URL with more than a path",
      ofJwt({ issuer: { ...issuer, url: "http://me@issuer.example?x#y" } }),
      "[" +
        [
          "scheme must be https",
          "must not contain a username or password",
          "must not contain a query",
          "must not contain a fragment",
        ]
          .map((text) => `jwt[0].issuer.url: Invalid value: "http://me@issuer.example?x#y": URL ${text}`)
          .join(", ") +
        "]",
    ],
    [
      "two audiences",
      ofJwt({ issuer: { ...issuer, audiences: ["a", "b"] } }),
      'jwt[0].issuer.audienceMatchPolicy: Invalid value: "": audienceMatchPolicy must be MatchAny for multiple audiences',
    ],
    [
      "an authority that is none",
      ofJwt({ issuer: { ...issuer, certificateAuthority: "x" } }),
      'jwt[0].issuer.certificateAuthority: Invalid value: "<omitted>": data does not contain any valid RSA or ECDSA certificates',
    ],
    ["an issuer twice", { jwt: [good, good] }, 'jwt[1].issuer.url: Duplicate value: "https://issuer.example"'],
    [
      "discovery where it would be anyway",
      ofJwt({ issuer: { ...issuer, discoveryURL: "https://issuer.example/" } }),
      'jwt[0].issuer.discoveryURL: Invalid value: "https://issuer.example/": discoveryURL must be different from URL',
    ],
    ["no name", username({}), `${at}.username: Required value: claim or expression is required`],
    [
      "a name without a prefix",
      username({ claim: "sub" }),
      `${at}.username.prefix: Required value: prefix is required when claim is set. It can be set to an empty string to disable prefixing`,
    ],
    [
      "a prefix of an expression",
      username({ expression: "claims.sub", prefix: "x" }),
      `${at}.username.prefix: Invalid value: "x": may not be specified when expression is set`,
    ],
    [
      "an expression that is none",
      username({ expression: "claims." }),
      `${at}.username.expression: Invalid value: "claims.": compilation failed: ERROR: <input>:1:7: Syntax error: found . but expecting end of input`,
    ],
    [
      "an address that nobody has verified",
      username({ expression: "claims.email" }),
      `${at}.username.expression: Invalid value: "claims.email": ${verified}`,
    ],
    [
      "keys of Kubernetes, and none",
      mapped({
        extra: [
          { key: "x.k8s.io/a", valueExpression: "'a'" },
          { key: "A", valueExpression: "'a'" },
        ],
      }),
      `[${at}.extra[0].key: Invalid value: "x.k8s.io/a": k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use, ${at}.extra[1].key: Invalid value: "A": must be a domain-prefixed path (such as "acme.io/foo"), ${at}.extra[1].key: Invalid value: "A": must be lowercase]`,
    ],
    [
      "rules that are no questions",
      ofJwt({ claimValidationRules: [{ expression: "'a'" }], userValidationRules: [{ expression: "1" }] }),
      `[jwt[0].claimValidationRules[0].expression: Invalid value: "'a'": must evaluate to bool, jwt[0].userValidationRules[0].expression: Invalid value: "1": must evaluate to bool]`,
    ],
    [
      "a message for a claim",
      ofJwt({ claimValidationRules: [{ claim: "a", message: "m" }] }),
      'jwt[0].claimValidationRules[0].message: Invalid value: "m": may not be specified when claim is set',
    ],
    [
      "conditions of nothing",
      { anonymous: { enabled: false, conditions: [{ path: "/a" }] } },
      'anonymous.conditions: Invalid value: [{"path":"/a"}]: enabled should be set to true when conditions are defined',
    ],
  ])("%s", (_, body, expected) => {
    const text = told(() =>
      parseConfiguration(file("AuthenticationConfiguration", body), "AuthenticationConfiguration"),
    );
    assert.equal(text.split("\n")[0], expected);
  });

  test("nothing, and something else", () => {
    assert.equal(
      told(() => parseConfiguration("", "AuthenticationConfiguration")),
      "empty config data",
    );
    assert.equal(
      told(() => parseConfiguration("kind: Other\napiVersion: v1", "AuthenticationConfiguration")),
      'no kind "Other" is registered for version "v1"',
    );
  });
});

describe("AuthorizationConfiguration", () => {
  const webhook = {
    timeout: "3s",
    subjectAccessReviewVersion: "v1",
    matchConditionSubjectAccessReviewVersion: "v1",
    failurePolicy: "Deny",
    connectionInfo: { type: "KubeConfigFile", kubeConfigFile: "/hook.yaml" },
    matchConditions: [{ expression: "has(request.resourceAttributes)" }],
  };
  const one = (more: object) => ({ authorizers: [{ type: "Webhook", name: "w", webhook: { ...webhook, ...more } }] });
  test.each<[string, object, string]>([
    [
      "several, in order",
      {
        authorizers: [...one({}).authorizers, { type: "RBAC", name: "rbac" }, { type: "Webhook", name: "v", webhook }],
      },
      "",
    ],
    ["nobody", {}, "authorizers: Required value: at least one authorization mode must be defined"],
    [
      "a type that there is not",
      { authorizers: [{ type: "Dice", name: "d" }] },
      'authorizers[0].type: Unsupported value: "Dice": supported values: "ABAC", "AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook"',
    ],
    [
      "names that are none, types twice",
      {
        authorizers: [
          { type: "RBAC", name: "a" },
          { type: "RBAC", name: "a" },
        ],
      },
      '[authorizers: Invalid value: [{"type":"RBAC","name":"a"},{"type":"RBAC","name":"a"}]: each type but Webhook may be there once, authorizers[1].name: Duplicate value: "a"]',
    ],
    [
      "a webhook that is none",
      { authorizers: [{ type: "Webhook", name: "w" }] },
      "authorizers[0].webhook: Required value: required when type=Webhook",
    ],
    [
      "one that waits too long",
      one({ timeout: "31s" }),
      'authorizers[0].webhook.timeout: Invalid value: "31s": must be > 0s and <= 30s',
    ],
    [
      "a file that is nowhere",
      one({ connectionInfo: { type: "KubeConfigFile", kubeConfigFile: "hook.yaml" } }),
      'authorizers[0].webhook.connectionInfo.kubeConfigFile: Invalid value: "hook.yaml": must be an absolute path',
    ],
    [
      "a condition twice",
      one({ matchConditions: [{ expression: "true" }, { expression: "true" }] }),
      'authorizers[0].webhook.matchConditions[1].expression: Duplicate value: "true"',
    ],
    [
      "a condition that is no question",
      one({ matchConditions: [{ expression: "'yes'" }] }),
      `authorizers[0].webhook.matchConditions[0].expression: Invalid value: "'yes'": must evaluate to bool`,
    ],
  ])("%s", (_, body, expected) => {
    assert.equal(
      told(() => parseConfiguration(file("AuthorizationConfiguration", body), "AuthorizationConfiguration")),
      expected,
    );
  });

  test("has upstream's defaults", () => {
    const [given] = parseConfiguration(
      file("AuthorizationConfiguration", one({})),
      "AuthorizationConfiguration",
    ).authorizers;
    assert.deepEqual(given!.webhook, {
      ...webhook,
      ...{
        authorizedTTL: "5m",
        cacheAuthorizedRequests: true,
        unauthorizedTTL: "30s",
        cacheUnauthorizedRequests: true,
      },
    });
  });
});

test("a file is looked at again after a second; what is bad is not taken over", () => {
  let [text, now] = ["1", 0];
  const errors: unknown[] = [];
  const log = { ...silentLogger, error: (about: { err: Error }) => errors.push(about.err.message) };
  const clock = { monotonic: () => now } as never;
  const make = (given: string) => {
    if (!/^\d$/.test(given)) throw new RangeError(`${given} is no digit`);
    return Number(given);
  };
  const current = reloaded(() => text, make, { clock, log: log as never });
  const said: number[] = [];
  for (const [next, at] of [
    ["2", 999],
    ["2", 1000],
    ["x", 2000],
    ["x", 3000],
    ["3", 4000],
  ] as const) {
    [text, now] = [next, at];
    said.push(current());
  }
  assert.deepEqual([said, errors], [[1, 2, 2, 2, 3], ["x is no digit"]]);
});
