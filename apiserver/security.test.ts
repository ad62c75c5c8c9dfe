import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, test } from "vitest";
import { systemClock } from "../base/clock.ts";
import { parseFlags } from "../base/flags.ts";
import { silentLogger } from "../base/logger.ts";
import { call } from "./http.testing.ts";
import { authenticationOf, authorizationOf, issuersOf, type SecurityOptions } from "./security.ts";
import { securityFlags, securityOptions } from "./security-flags.ts";
import { startTestApiserver } from "./testing.ts";

const dir = mkdtempSync(join(tmpdir(), "security-"));
afterAll(() => rmSync(dir, { recursive: true }));
const file = (name: string, text: string) => {
  writeFileSync(join(dir, name), text);
  return join(dir, name);
};
const ca = file("ca.crt", "ca");
const options = (...argv: string[]): SecurityOptions => securityOptions(parseFlags(securityFlags, argv), ca);
const known = { clock: systemClock, log: silentLogger };
const issuer = { url: "https://issuer.example", audiences: ["lab"] };
const one = { jwt: [{ issuer, claimMappings: { username: { claim: "sub", prefix: "" } } }] };
const config = file("authn.yaml", authenticationOf({ ...one, anonymous: { enabled: true } }));

describe("the flags --oidc-* make one entry of --authentication-config", () => {
  test.each<[string, string[], object]>([
    ["a name by the issuer", [], { username: { claim: "sub", prefix: "https://i#" } }],
    ["an address by itself", ["--oidc-username-claim=email"], { username: { claim: "email", prefix: "" } }],
    [
      "no prefix, and groups",
      ["--oidc-username-prefix=-", "--oidc-groups-claim=g", "--oidc-groups-prefix=x:"],
      { username: { claim: "sub", prefix: "" }, groups: { claim: "g", prefix: "x:" } },
    ],
  ])("%s", (_, more, claimMappings) => {
    const { authenticationConfig, algorithms } = options(
      "--oidc-issuer-url=https://i",
      "--oidc-client-id=lab",
      "--oidc-required-claim=hd=a=b",
      ...more,
    );
    const jwt = {
      issuer: { url: "https://i", audiences: ["lab"] },
      claimMappings,
      claimValidationRules: [{ claim: "hd", requiredValue: "a=b" }],
    };
    assert.deepEqual(JSON.parse(authenticationConfig!()), JSON.parse(authenticationOf({ jwt: [jwt] })));
    assert.deepEqual(algorithms, ["RS256"]);
    assert.equal(issuersOf({ authenticationConfig }, known)().tokens.length, 1);
  });

  test("and go neither with the file nor alone", () => {
    assert.throws(
      () => options(`--authentication-config=${config}`, "--oidc-groups-claim=g"),
      new RangeError("authentication-config file and oidc-* flags are mutually exclusive"),
    );
    assert.throws(
      () => options("--oidc-client-id=lab"),
      new RangeError("oidc-issuer-url and oidc-client-id must be specified together when any oidc-* flags are set"),
    );
  });
});

describe("the file", () => {
  test("names no issuer that we are, and decides alone who may be anonymous", () => {
    assert.throws(
      () => issuersOf(options(`--authentication-config=${config}`, "--anonymous-auth=false"), known),
      new RangeError(
        "anonymous: Forbidden: --anonymous-auth flag cannot be set when anonymous field is configured in authentication configuration file",
      ),
    );
    const ours = options(`--authentication-config=${config}`, `--service-account-issuer=${issuer.url}`);
    assert.throws(
      () => issuersOf(ours, known),
      /URL must not overlap with disallowed issuers: \[https:..issuer.example]/,
    );
  });

  test("is taken over when it changes, but for the anonymous", () => {
    let [text, now] = [authenticationOf(one), 0];
    const clock = { monotonic: () => now } as never;
    const current = issuersOf({ authenticationConfig: () => text }, { clock, log: silentLogger });
    const count = (next: object) => {
      [text, now] = [authenticationOf(next), now + 1000];
      return current().tokens.length;
    };
    assert.equal(current().tokens.length, 1);
    assert.deepEqual([count({}), count({ ...one, anonymous: { enabled: true } }), count(one)], [0, 0, 1]);
  });

  test("lets strangers in where it says, and nowhere else", async () => {
    const anonymous = { enabled: true, conditions: [{ path: "/version" }, { path: "/api/v1/pods" }] };
    const security = { authenticationConfig: () => authenticationOf({ anonymous }) };
    const server = await startTestApiserver({ security });
    const code = async (path: string) => (await call(server, path, { cert: null })).code;
    assert.deepEqual(
      await Promise.all(["/version", "/api/v1/pods?limit=1", "/livez", "/version/", "/apis"].map(code)),
      [200, 403, 200, 401, 401],
    );
    await server.close();
  });
});

describe("--authorization-mode and --authorization-config", () => {
  test("the flags make the same of themselves", () => {
    const hook = file("hook.yaml", "");
    const flags = options("--authorization-mode=Webhook,RBAC", `--authorization-webhook-config-file=${hook}`);
    const webhook = {
      ...{ timeout: "30s", subjectAccessReviewVersion: "v1", failurePolicy: "NoOpinion" },
      connectionInfo: { type: "KubeConfigFile", kubeConfigFile: hook },
    };
    const list = [
      { name: "webhook", type: "Webhook", webhook },
      { name: "rbac", type: "RBAC" },
    ];
    assert.deepEqual(JSON.parse(flags.authorizationConfig!()), JSON.parse(authorizationOf(list)));
  });

  test("and go neither with the file nor without a webhook", () => {
    const config = file("authz.yaml", authorizationOf([{ type: "RBAC" }]));
    for (const more of ["--authorization-mode=RBAC", "--authorization-webhook-config-file=/x"])
      assert.throws(
        () => options(`--authorization-config=${config}`, more),
        new RangeError(
          "--authorization-config can not be specified when --authorization-mode or --authorization-webhook-* flags are defined",
        ),
      );
    assert.throws(() => options("--authorization-mode=Webhook"), /Webhook's authorization config file not passed/);
  });

  test("who is in the file is asked, and nobody else", async () => {
    const authorizationConfig = () => authorizationOf([{ type: "RBAC" }, { type: "AlwaysDeny" }]);
    const server = await startTestApiserver({ security: { staticTokens: "t,ann,1", authorizationConfig } });
    const headers = { authorization: "Bearer t" };
    const { code, json } = await call(server, "/api/v1/pods", { cert: null, headers });
    assert.deepEqual([code, json.message.split(": ").pop()], [403, "Everything is forbidden."]);
    await server.close();
  });
});
