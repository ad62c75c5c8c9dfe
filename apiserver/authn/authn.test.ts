import assert from "node:assert/strict";
import { createPublicKey, verify } from "node:crypto";
import { afterAll, beforeAll, describe, test } from "vitest";
import type { TlsMaterial } from "../../net/tls.ts";
import { createAuthority } from "../../pki/authority.ts";
import { call, type TestRequest } from "../http.testing.ts";
import { startTestApiserver, type TestApiserver } from "../testing.ts";
import { bearerToken } from "./authenticator.ts";
import { impersonation } from "./impersonation.ts";
import { staticTokens } from "./secret-tokens.ts";

let server: TestApiserver;
let proxy: TlsMaterial;
let stranger: TlsMaterial;
beforeAll(async () => {
  const frontProxy = await createAuthority("front-proxy-ca");
  const frontProxyCa = Buffer.from(frontProxy.cert);
  const issue = async (commonName: string): Promise<TlsMaterial> => {
    const { cert, key } = await frontProxy.issue({ commonName, organizations: ["system:masters"], usages: ["client"] });
    return { cert: Buffer.from(cert), key: Buffer.from(key), ca: frontProxyCa };
  };
  [proxy, stranger] = await Promise.all([issue("front-proxy-client"), issue("stranger")]);
  const requestHeader = {
    allowedNames: ["front-proxy-client"],
    usernameHeaders: ["X-Remote-User"],
    uidHeaders: [],
    groupHeaders: ["X-Remote-Group"],
    extraHeaderPrefixes: ["X-Remote-Extra-"],
  };
  const staticTokens = 'st,stefan,7,"dev,ops"\n';
  server = await startTestApiserver({ frontProxyCa, security: { staticTokens, requestHeader } });
});
afterAll(() => server.close());

const post = (path: string, body: object, more: TestRequest = {}) =>
  call(server, path, { method: "POST", body, ...more });
const bearer = (token: string): TestRequest => ({ cert: null, headers: { authorization: `Bearer ${token}` } });
const whoami = async (request: TestRequest) => {
  const path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
  const { code, json } = await post(
    path,
    { apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview" },
    request,
  );
  return code === 201 ? json.status.userInfo : `${code} ${json.reason}: ${json.message}`;
};
const canI = async (resourceAttributes: object, request: TestRequest = {}) => {
  const body = { apiVersion: "authorization.k8s.io/v1", kind: "SelfSubjectAccessReview", spec: { resourceAttributes } };
  return (await post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body, request)).json;
};
const tokenRequest = (spec: object) => ({ apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec });
const accountPath = "/api/v1/namespaces/default/serviceaccounts";
const account = async (name: string) => {
  await post(accountPath, { apiVersion: "v1", kind: "ServiceAccount", metadata: { name } });
};
const tokenOf = async (name: string, spec: object = {}) =>
  (await post(`${accountPath}/${name}/token`, tokenRequest(spec))).json.status.token as string;
const unauthorized = "401 Unauthorized: Unauthorized";

describe("who is it", () => {
  test("a certificate's subject", async () => {
    assert.deepEqual(await whoami({}), {
      username: "kubernetes-admin",
      groups: ["system:masters", "system:authenticated"],
    });
  });

  test("a static token's user", async () => {
    assert.deepEqual(await whoami(bearer("st")), {
      username: "stefan",
      uid: "7",
      groups: ["dev", "ops", "system:authenticated"],
    });
  });

  test("whom a front proxy vouches for, and nobody else with a certificate of its authority", async () => {
    const headers = { "x-remote-user": "petra", "x-remote-group": "dev", "x-remote-extra-scope": "all" };
    assert.deepEqual(await whoami({ cert: proxy, headers }), {
      username: "petra",
      groups: ["dev", "system:authenticated"],
      extra: { scope: ["all"] },
    });
    assert.equal(await whoami({ cert: stranger, headers }), unauthorized);
    assert.equal(await whoami({ cert: proxy }), unauthorized);
    assert.equal((await whoami({ headers })).username, "kubernetes-admin");
  });

  test("servers behind the aggregator are told whom to trust", async () => {
    const path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
    assert.deepEqual((await call(server, path)).json.data, { "client-ca-file": server.authority.cert });
  });

  test("nobody without a credential, and nobody with a bad one", async () => {
    assert.equal(await whoami({ cert: null }), unauthorized);
    assert.equal(await whoami(bearer("no")), unauthorized);
    assert.equal((await call(server, "/livez", { cert: null })).code, 200);
    assert.equal((await call(server, "/livez", bearer("no"))).code, 401);
    assert.equal((await call(server, "/version", { cert: null })).code, 401);
  });

  test("a bootstrap token, while its Secret says so", async () => {
    const secret = (stringData: object) => ({
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "bootstrap-token-abcdef" },
      type: "bootstrap.kubernetes.io/token",
      stringData: { "token-id": "abcdef", "token-secret": "0123456789abcdef", ...stringData },
    });
    const path = "/api/v1/namespaces/kube-system/secrets";
    await post(path, secret({ "auth-extra-groups": "system:bootstrappers:lab" }));
    const put = (data: object) => call(server, `${path}/bootstrap-token-abcdef`, { method: "PUT", body: secret(data) });
    assert.equal(await whoami(bearer("abcdef.0123456789abcdef")), unauthorized);
    const { json } = await put({
      "usage-bootstrap-authentication": "true",
      "auth-extra-groups": "system:bootstrappers:lab",
    });
    const isThere = await call(server, `${path}/bootstrap-token-abcdef?resourceVersion=`);
    assert.equal(isThere.json.metadata.resourceVersion, json.metadata.resourceVersion);
    assert.deepEqual(await whoami(bearer("abcdef.0123456789abcdef")), {
      username: "system:bootstrap:abcdef",
      groups: ["system:bootstrappers", "system:bootstrappers:lab", "system:authenticated"],
    });
    assert.equal(await whoami(bearer("abcdef.0123456789abcdeX")), unauthorized);
  });
});

describe("service accounts", () => {
  test("a token is the account's, until the account is another", async () => {
    await account("robot");
    const token = await tokenOf("robot");
    const { uid } = (await call(server, `${accountPath}/robot`)).json.metadata;
    const user = await whoami(bearer(token));
    assert.match(user.extra["authentication.kubernetes.io/credential-id"][0], /^JTI=/);
    assert.deepEqual(
      { ...user, extra: undefined },
      {
        username: "system:serviceaccount:default:robot",
        uid,
        groups: ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"],
        extra: undefined,
      },
    );
    await call(server, `${accountPath}/robot`, { method: "DELETE" });
    await account("robot");
    assert.ok((await call(server, `${accountPath}/robot?resourceVersion=`)).json.metadata.uid !== uid);
    assert.equal(await whoami(bearer(token)), unauthorized);
  });

  test("a forged token, one for others and one of another kind are refused", async () => {
    await account("forged");
    const [head, body, signature] = (await tokenOf("forged")).split(".") as [string, string, string];
    const claims = JSON.parse(Buffer.from(body, "base64url").toString());
    const forged = Buffer.from(JSON.stringify({ ...claims, exp: claims.exp + 1 })).toString("base64url");
    assert.equal(await whoami(bearer(`${head}.${forged}.${signature}`)), unauthorized);
    assert.equal(await whoami(bearer(await tokenOf("forged", { audiences: ["vault"] }))), unauthorized);
    assert.equal(await whoami(bearer("a.b.c")), unauthorized);
  });

  test("TokenReview tells whose a token is, for the audiences asked", async () => {
    await account("reviewed");
    const token = await tokenOf("reviewed", { audiences: ["vault", "other"] });
    const review = async (spec: object) =>
      (
        await post("/apis/authentication.k8s.io/v1/tokenreviews", {
          apiVersion: "authentication.k8s.io/v1",
          kind: "TokenReview",
          spec,
        })
      ).json.status;
    const good = await review({ token, audiences: ["vault"] });
    assert.deepEqual([good.authenticated, good.audiences], [true, ["vault"]]);
    assert.equal(good.user.username, "system:serviceaccount:default:reviewed");
    assert.equal((await review({ token })).authenticated, undefined);
  });

  test("a token that is bound to a Pod ends with it and names its node", async () => {
    await account("bound");
    const pods = "/api/v1/namespaces/default/pods";
    const spec = { serviceAccountName: "bound", nodeName: "n1", containers: [{ name: "c", image: "i" }] };
    const pod = (await post(pods, { apiVersion: "v1", kind: "Pod", metadata: { name: "bound" }, spec })).json;
    const boundObjectRef = { apiVersion: "v1", kind: "Pod", name: "bound", uid: pod.metadata.uid };
    const token = await tokenOf("bound", { boundObjectRef, expirationSeconds: 3607 });
    const claims = JSON.parse(Buffer.from(token.split(".")[1]!, "base64url").toString());
    assert.equal(claims.exp - claims.iat, 365 * 86_400);
    assert.equal(claims["kubernetes.io"].warnafter - claims.iat, 3607);
    const { extra } = await whoami(bearer(token));
    assert.deepEqual(extra["authentication.kubernetes.io/pod-name"], ["bound"]);
    assert.deepEqual(extra["authentication.kubernetes.io/node-name"], ["n1"]);
    await call(server, `${pods}/bound?gracePeriodSeconds=0`, { method: "DELETE" });
    await call(server, `${pods}?resourceVersion=`); // the cache has seen it
    assert.equal(await whoami(bearer(token)), unauthorized);
  });

  test("a node has tokens for its own Pods only, each for one of them", async () => {
    await account("onnode");
    const volumes = [{ name: "t", projected: { sources: [{ serviceAccountToken: { path: "token" } }] } }];
    const spec = { serviceAccountName: "onnode", nodeName: "n1", containers: [{ name: "c", image: "i" }], volumes };
    const body = { apiVersion: "v1", kind: "Pod", metadata: { name: "onnode" }, spec };
    const { uid } = (await post("/api/v1/namespaces/default/pods", body)).json.metadata;
    const boundObjectRef = { apiVersion: "v1", kind: "Pod", name: "onnode", uid };
    const ask = async (node: string, of: object) => {
      const cert = await server.certs.node(node);
      const { code, json } = await post(`${accountPath}/onnode/token`, tokenRequest(of), { cert });
      return code === 201 ? code : json.message;
    };
    assert.equal(await ask("n1", { boundObjectRef }), 201);
    assert.match(
      await ask("n1", { boundObjectRef, audiences: ["bank"] }),
      /audience "bank" not found in pod spec volume/,
    );
    assert.match(await ask("n2", { boundObjectRef }), /: no relationship found between node 'n2' and this object$/);
    assert.match(
      await ask("n1", {}),
      /^serviceaccounts "onnode" is forbidden: node requested token not bound to a pod$/,
    );
  });

  test.each<[string, object, number, RegExp]>([
    [
      "ten minutes are the least",
      { expirationSeconds: 10 },
      422,
      /spec.expirationSeconds: Invalid value: 10: may not specify a duration less than 10 minutes/,
    ],
    [
      "what it is bound to must be of a known kind",
      { boundObjectRef: { apiVersion: "v1", kind: "ConfigMap", name: "x" } },
      400,
      /cannot bind token to object of type \/v1, Kind=ConfigMap/,
    ],
    ["and be there", { boundObjectRef: { apiVersion: "v1", kind: "Secret", name: "x" } }, 404, /secrets "x" not found/],
  ])("%s", async (_name, spec, code, message) => {
    await account("limits");
    const answer = await post(`${accountPath}/limits/token`, tokenRequest(spec));
    assert.equal(answer.code, code);
    assert.match(answer.json.message, message);
  });

  test("anyone who reads the discovery documents can check a token", async () => {
    await account("oidc");
    const token = await tokenOf("oidc");
    const configuration = (await call(server, "/.well-known/openid-configuration", bearer(token))).json;
    assert.equal(configuration.issuer, "https://kubernetes.default.svc.cluster.local");
    const { pathname } = new URL(configuration.jwks_uri);
    const [head, body, signature] = token.split(".") as [string, string, string];
    const { kid } = JSON.parse(Buffer.from(head, "base64url").toString());
    const answer = await call(server, pathname, bearer(token));
    assert.equal(answer.headers["content-type"], "application/jwk-set+json");
    const jwk = answer.json.keys.find((key: { kid: string }) => key.kid === kid);
    const key = { key: createPublicKey({ key: jwk, format: "jwk" }), dsaEncoding: "ieee-p1363" as const };
    assert.ok(verify("sha256", Buffer.from(`${head}.${body}`), key, Buffer.from(signature, "base64url")));
  });
});

describe("acting as someone else", () => {
  test("the admin may, and is that user then", async () => {
    const headers = {
      "impersonate-user": "jane",
      "impersonate-group": "dev",
      "impersonate-uid": "u1",
      "impersonate-extra-acme.com%2fproject": "x",
    };
    assert.deepEqual(await whoami({ headers }), {
      username: "jane",
      uid: "u1",
      groups: ["dev", "system:authenticated"],
      extra: { "acme.com/project": ["x"] },
    });
  });

  test("names of groups may hold commas", async () => {
    const groups = ["cn=dev,ou=people", "ops"];
    const headers = { "impersonate-user": "jane", "impersonate-group": groups as never };
    assert.deepEqual((await whoami({ headers })).groups, [...groups, "system:authenticated"]);
  });

  test("others may not", async () => {
    const headers = { authorization: "Bearer st", "impersonate-user": "jane" };
    assert.equal(
      await whoami({ cert: null, headers }),
      '403 Forbidden: users "jane" is forbidden: User "stefan" cannot impersonate resource "users" in API group "" at the cluster scope',
    );
  });

  test.each<[string, Record<string, string>, string[], string[]]>([
    [
      "a service account has its groups",
      { "impersonate-user": "system:serviceaccount:ns:a" },
      ["serviceaccounts ns/a"],
      ["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"],
    ],
    [
      "anonymous is unauthenticated",
      { "impersonate-user": "system:anonymous" },
      ["users /system:anonymous"],
      ["system:unauthenticated"],
    ],
    [
      "each group is asked for",
      { "impersonate-user": "u", "impersonate-group": "a,b" },
      ["users /u", "groups /a", "groups /b"],
      ["a", "b", "system:authenticated"],
    ],
  ])("%s", (_name, headers, needs, groups) => {
    const acting = impersonation({ name: "admin", groups: [] }, headers)!;
    const asked = acting.needs.map((need) => {
      assert.ok("target" in need && need.verb === "impersonate");
      return `${need.target.resource} ${need.target.namespace}/${need.target.name}`;
    });
    assert.deepEqual([asked, acting.as.groups], [needs, groups]);
  });

  test("nobody is no one to act as", () => {
    assert.throws(() => impersonation({ name: "admin", groups: [] }, { "impersonate-group": "a" }));
    assert.equal(impersonation({ name: "admin", groups: [] }, {}), undefined);
  });
});

describe("access reviews", () => {
  test("say whether, and why", async () => {
    const admin = await canI({ verb: "get", resource: "pods", namespace: "default" });
    assert.equal(admin.status.allowed, true);
    const stefan = await canI({ verb: "get", resource: "pods", namespace: "default" }, bearer("st"));
    assert.deepEqual(stefan.status, { allowed: false });
    const self = await canI(
      { verb: "create", group: "authentication.k8s.io", resource: "selfsubjectreviews" },
      bearer("st"),
    );
    assert.equal(
      self.status.reason,
      'RBAC: allowed by ClusterRoleBinding "system:basic-user" of ClusterRole "system:basic-user" to Group "system:authenticated"',
    );
  });

  test("of others are for who may ask", async () => {
    const body = {
      apiVersion: "authorization.k8s.io/v1",
      kind: "SubjectAccessReview",
      spec: { user: "system:kube-scheduler", resourceAttributes: { verb: "list", resource: "nodes" } },
    };
    const path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    assert.equal((await post(path, body)).json.status.allowed, true);
    assert.equal((await post(path, body, bearer("st"))).code, 403);
    assert.match(
      (await post(path, { ...body, spec: {} })).json.message,
      /exactly one of nonResourceAttributes or resourceAttributes must be specified/,
    );
  });

  test("list what a user may do in a namespace", async () => {
    const body = {
      apiVersion: "authorization.k8s.io/v1",
      kind: "SelfSubjectRulesReview",
      spec: { namespace: "default" },
    };
    const { status } = (await post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", body, bearer("st"))).json;
    assert.equal(status.incomplete, false);
    assert.deepEqual(status.resourceRules, [
      {
        verbs: ["create"],
        apiGroups: ["authorization.k8s.io"],
        resources: ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
      },
      { verbs: ["create"], apiGroups: ["authentication.k8s.io"], resources: ["selfsubjectreviews"] },
    ]);
    assert.ok(
      status.nonResourceRules.some(({ nonResourceURLs }: { nonResourceURLs: string[] }) =>
        nonResourceURLs.includes("/version"),
      ),
    );
  });
});

test.each<[string, Record<string, string>, string | undefined]>([
  ["the header", { authorization: "Bearer abc" }, "abc"],
  ["the header in any case", { authorization: "bearer  abc" }, "abc"],
  ["another scheme", { authorization: "Basic abc" }, undefined],
  [
    "a WebSocket's subprotocol",
    { upgrade: "websocket", "sec-websocket-protocol": "v4.channel.k8s.io, base64url.bearer.authorization.k8s.io.YWJj" },
    "abc",
  ],
])("a bearer token in %s", (_name, headers, token) => {
  assert.equal(bearerToken(headers), token);
});

test("a file of static tokens says which line is wrong", () => {
  assert.throws(() => staticTokens("a,b,c\nx,y\n"), { message: /token file line 2 must have at least 3 columns/ });
});
