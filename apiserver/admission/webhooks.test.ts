import assert from "node:assert/strict";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, test } from "vitest";
import { define, definition, preserving } from "../crd/testing.ts";
import { call } from "../http.testing.ts";
import { startTestApiserver, type TestApiserver } from "../testing.ts";

let server: TestApiserver;
let hook: https.Server;
// biome-ignore lint/suspicious/noExplicitAny: reviews and answers of all shapes
let reviews: any[];
// biome-ignore lint/suspicious/noExplicitAny: the same
let answer: (request: any, path: string) => object | "silence" | number;

const configurations = "/apis/admissionregistration.k8s.io/v1";
const configmaps = "/api/v1/namespaces/default/configmaps";
let count = 0;
let connections = 0;
const audited: string[] = [];

beforeAll(async () => {
  const policy = {
    rules: [{ level: "Request" as const, verbs: ["create"], omitStages: ["RequestReceived" as const] }],
  };
  server = await startTestApiserver({
    audit: { policy, log: { write: (line) => void audited.push(line), close() {} } },
  });
  const { cert, key } = await server.authority.issue({
    commonName: "hook",
    dnsNames: ["hook.default.svc"],
    ipAddresses: ["127.0.0.1"],
    usages: ["server"],
  });
  hook = https.createServer({ cert, key }, (incoming, outgoing) => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.on("end", () => {
      const review = JSON.parse(Buffer.concat(chunks).toString());
      reviews.push({ ...review, path: incoming.url });
      const response = answer(review.request, incoming.url!);
      if (response === "silence") return;
      outgoing.statusCode = typeof response === "number" ? response : 200;
      const { apiVersion, kind } = review;
      outgoing.end(
        JSON.stringify({ apiVersion, kind, response: { uid: review.request.uid, ...(response as object) } }),
      );
    });
  });
  hook.on("secureConnection", () => connections++);
  await new Promise<void>((resolve) => hook.listen(0, "127.0.0.1", resolve));
});

afterAll(async () => {
  hook.closeAllConnections();
  hook.close();
  await server.close();
});

beforeEach(async () => {
  reviews = [];
  answer = () => ({ allowed: true });
  for (const kind of ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"])
    await call(server, `${configurations}/${kind}`, { method: "DELETE" });
});

/** Registers webhooks for ConfigMaps, and waits for nothing: the same apiserver's cache shows its own write at once or soon. */
async function register(kind: "validating" | "mutating", ...webhooks: object[]): Promise<void> {
  const name = `w${count++}`;
  const url = `https://127.0.0.1:${(hook.address() as AddressInfo).port}`;
  const caBundle = Buffer.from(server.authority.cert).toString("base64");
  const body = {
    metadata: { name },
    webhooks: webhooks.map((webhook, i) => ({
      name: `${i}.${name}.example.com`,
      clientConfig: { url: `${url}/${i}`, caBundle },
      rules: [
        { apiGroups: [""], apiVersions: ["v1"], resources: ["configmaps"], operations: ["CREATE", "UPDATE", "DELETE"] },
      ],
      admissionReviewVersions: ["v1"],
      sideEffects: "None",
      ...webhook,
    })),
  };
  const path = `${configurations}/${kind}webhookconfigurations`;
  const made = await call(server, path, { method: "POST", body });
  assert.equal(made.code, 201, made.text);
  await call(server, path); // a list without resourceVersion: the cache has it now
}

const create = (more: object = {}, query = "") =>
  call(server, `${configmaps}${query}`, { method: "POST", body: { metadata: { name: `c${count++}`, ...more } } });
const patchOf = (...operations: object[]) => ({
  allowed: true,
  patchType: "JSONPatch",
  patch: Buffer.from(JSON.stringify(operations)).toString("base64"),
});

describe("a validating webhook", () => {
  test("is asked with a review, and lets through", async () => {
    await register("validating", {});
    answer = () => ({ allowed: true, warnings: ["careful"] });
    const made = await create({ labels: { a: "b" } });
    assert.equal(made.code, 201, made.text);
    assert.equal(made.headers["warning"], '299 - "careful"');
    const [{ request, apiVersion, path }] = reviews;
    assert.deepEqual([apiVersion, path], ["admission.k8s.io/v1", "/0?timeout=10s"]);
    assert.deepEqual(request.kind, { group: "", version: "v1", kind: "ConfigMap" });
    assert.deepEqual(request.resource, { group: "", version: "v1", resource: "configmaps" });
    assert.deepEqual(
      [request.operation, request.namespace, request.dryRun, request.oldObject],
      ["CREATE", "default", false, null],
    );
    assert.deepEqual(
      [request.object.kind, request.object.metadata.labels, request.options.kind],
      ["ConfigMap", { a: "b" }, "CreateOptions"],
    );
    assert.equal(request.userInfo.username, "kubernetes-admin");
  });

  test.each<[string, object, number, string]>([
    ["without a word", {}, 400, "without explanation"],
    ["with a message", { status: { message: "no" } }, 400, ": no"],
    ["with a code and reason", { status: { code: 403, reason: "Forbidden", message: "not you" } }, 403, ": not you"],
  ])("refuses %s", async (_name, more, code, text) => {
    await register("validating", {});
    answer = () => ({ allowed: false, ...more });
    const { json } = await create();
    const name = `0.w${count - 2}.example.com`;
    assert.deepEqual(
      [json.code, json.message],
      [code, `admission webhook "${name}" denied the request${text.startsWith(":") ? text : ` ${text}`}`],
    );
  });

  test("sees what an update and a delete replace", async () => {
    const name = (await create()).json.metadata.name as string;
    await register("validating", {});
    const headers = { "content-type": "application/merge-patch+json" };
    await call(server, `${configmaps}/${name}`, { method: "PATCH", headers, body: { data: { a: "b" } } });
    await call(server, `${configmaps}/${name}`, { method: "DELETE" });
    assert.deepEqual(
      reviews.map(({ request }) => [
        request.operation,
        request.object?.data,
        request.oldObject.data,
        request.options.kind,
      ]),
      [
        ["UPDATE", { a: "b" }, undefined, "PatchOptions"],
        ["DELETE", undefined, { a: "b" }, "DeleteOptions"],
      ],
    );
  });

  test.each<[string, object, boolean]>([
    ["an object selector", { objectSelector: { matchLabels: { a: "c" } } }, false],
    [
      "a Namespace selector",
      { namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "default" } } },
      true,
    ],
    ["another Namespace", { namespaceSelector: { matchLabels: { x: "y" } } }, false],
    [
      "a condition that holds",
      { matchConditions: [{ name: "c", expression: "object.metadata.labels.a == 'b'" }] },
      true,
    ],
    ["one that does not", { matchConditions: [{ name: "c", expression: "request.userInfo.username == 'x'" }] }, false],
    [
      "another scope",
      { rules: [{ apiGroups: ["*"], apiVersions: ["*"], resources: ["*"], operations: ["*"], scope: "Cluster" }] },
      false,
    ],
    [
      "all of everything",
      { rules: [{ apiGroups: ["*"], apiVersions: ["*"], resources: ["*/*"], operations: ["*"] }] },
      true,
    ],
  ])("is asked by %s", async (_name, more, expected) => {
    await register("validating", more);
    assert.equal((await create({ labels: { a: "b" } })).code, 201);
    assert.equal(reviews.length > 0, expected);
  });

  test.each<[string, object, typeof answer, string | undefined]>([
    ["does not answer", { timeoutSeconds: 1 }, () => "silence", "context deadline exceeded"],
    ["fails", {}, () => 500, "failed to call webhook: "],
    ["answers another question", {}, () => ({ uid: "x", allowed: true }), "expected response.uid="],
    ["may fail", { failurePolicy: "Ignore" }, () => 500, undefined],
    ["may be silent", { failurePolicy: "Ignore", timeoutSeconds: 1 }, () => "silence", undefined],
  ])("that %s", async (_name, more, given, expected) => {
    await register("validating", more);
    answer = given;
    const { code, json } = await create();
    if (expected === undefined) return assert.equal(code, 201);
    assert.equal(code, 500);
    assert.match(json.message, /^Internal error occurred: failed calling webhook "0\.w\d+\.example\.com": /);
    assert.ok(json.message.includes(expected), json.message);
  });

  test.each<[string, object, number, string]>([
    [
      "is refused",
      {},
      403,
      `configmaps "c" is forbidden: expression 'object.nope == 1' resulted in error: no such key: nope`,
    ],
    ["lets pass when it may fail", { failurePolicy: "Ignore" }, 201, ""],
  ])("whose condition cannot be evaluated %s, and is not asked", async (_name, more, expected, text) => {
    await register("validating", { matchConditions: [{ name: "c", expression: "object.nope == 1" }], ...more });
    const { code, json } = await create({ name: "c" });
    assert.deepEqual([code, reviews.length], [expected, 0], json.message);
    if (text) assert.equal(json.message, text);
  });

  test.each<[string, "validating" | "mutating", object, string]>([
    ["patches", "validating", patchOf({}), "validating webhook may not return response.patch"],
    ["patches in no way", "mutating", { patch: "e30=" }, "webhook returned response.patch but not response.patchType"],
    [
      "patches nothing",
      "mutating",
      { patchType: "JSONPatch" },
      "webhook returned response.patchType but not response.patch",
    ],
    [
      "patches oddly",
      "mutating",
      { patch: "e30=", patchType: "X" },
      'webhook returned invalid response.patchType of "X"',
    ],
  ])("of the wrong kind: it %s", async (_name, kind, response, text) => {
    await register(kind, {});
    answer = () => ({ allowed: true, ...response });
    const { code, json } = await create();
    assert.equal(code, 500);
    assert.ok(json.message.endsWith(`: received invalid webhook response: ${text}`), json.message);
  });

  test("with side effects is not asked in a dry run", async () => {
    await register("validating", { sideEffects: "NoneOnDryRun" });
    assert.equal((await create({}, "?dryRun=All")).code, 201);
    assert.equal(reviews[0].request.dryRun, true);
  });

  test("behind a Service: a ready endpoint is dialled under the Service's name", async () => {
    const { port } = hook.address() as AddressInfo;
    await call(server, "/api/v1/namespaces/default/services", {
      method: "POST",
      body: { metadata: { name: "hook" }, spec: { ports: [{ port: 443 }] } },
    });
    await call(server, "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", {
      method: "POST",
      body: {
        metadata: { name: "hook-1", labels: { "kubernetes.io/service-name": "hook" } },
        addressType: "IPv4",
        endpoints: [{ addresses: ["127.0.0.1"], conditions: { ready: true } }],
        ports: [{ port }],
      },
    });
    const caBundle = Buffer.from(server.authority.cert).toString("base64");
    await register("validating", {
      clientConfig: { service: { namespace: "default", name: "hook", path: "/svc" }, caBundle },
    });
    answer = () => ({ allowed: false });
    assert.equal((await create()).code, 400);
    assert.equal(reviews[0].path, "/svc?timeout=10s");
  });
});

describe("a mutating webhook", () => {
  test("changes the object, for the next one to see", async () => {
    answer = (request, path) =>
      path.startsWith("/0")
        ? patchOf({ op: "add", path: "/data", value: { first: "1" } })
        : patchOf({ op: "add", path: "/data/second", value: String(request.object.data.first) });
    await register("mutating", {}, {});
    assert.deepEqual((await create()).json.data, { first: "1", second: "1" });
  });

  test("is asked again when another one changed what it saw, if it wants so", async () => {
    answer = (request, path) => {
      const n = Number(request.object.data?.count ?? 0);
      if (path.startsWith("/1"))
        return n === 1 ? patchOf({ op: "add", path: "/data/other", value: "x" }) : { allowed: true };
      return patchOf({ op: "add", path: "/data", value: { ...request.object.data, count: String(n + 1) } });
    };
    await register("mutating", { reinvocationPolicy: "IfNeeded" }, {});
    assert.deepEqual((await create()).json.data, { count: "2", other: "x" });
    assert.deepEqual(
      reviews.map(({ path }) => path[1]),
      ["0", "1", "0"],
    );
  });

  test("has nothing to change of what is deleted", async () => {
    const { metadata } = (await create()).json;
    await register("mutating", {});
    answer = () => patchOf({ op: "add", path: "/data", value: {} });
    const remove = () => call(server, `${configmaps}/${metadata.name}`, { method: "DELETE" });
    const { code, json } = await remove();
    assert.equal(code, 500);
    assert.match(json.message, /attempted to modify the object, which is not supported for this operation$/);
    answer = () => patchOf(); // no operations
    assert.equal((await remove()).code, 200);
  });

  test("gets defaults for what it adds", async () => {
    await register("mutating", {
      rules: [{ apiGroups: [""], apiVersions: ["v1"], resources: ["pods"], operations: ["CREATE"] }],
    });
    answer = () => patchOf({ op: "add", path: "/spec/initContainers", value: [{ name: "i", image: "i:1" }] });
    const body = { metadata: { name: `p${count++}` }, spec: { containers: [{ name: "c", image: "c" }] } };
    const { json } = await call(server, "/api/v1/namespaces/default/pods", { method: "POST", body });
    const { terminationMessagePath, imagePullPolicy } = json.spec.initContainers[0];
    assert.deepEqual([terminationMessagePath, imagePullPolicy], ["/dev/termination-log", "IfNotPresent"]);
  });

  test("whose patch does not fit is an error", async () => {
    await register("mutating", {});
    answer = () => patchOf({ op: "remove", path: "/data/none" });
    assert.equal((await create()).code, 500);
  });

  test("cannot change who the object is", async () => {
    await register("mutating", {});
    answer = () => patchOf({ op: "replace", path: "/metadata/uid", value: "x" });
    assert.notEqual((await create()).json.metadata.uid, "x");
  });
});

test("a policy is compiled when it is written", async () => {
  const rule = { apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["configmaps"] };
  const policy = (expression: string) => ({
    metadata: { name: "p" },
    spec: { matchConstraints: { resourceRules: [rule] }, validations: [{ expression }] },
  });
  const path = `${configurations}/validatingadmissionpolicies`;
  const messages = await Promise.all(
    ["object.x ==", "'a'", "foo"].map(
      async (expression) => (await call(server, path, { method: "POST", body: policy(expression) })).json.message,
    ),
  );
  assert.match(
    messages[0]!,
    /spec\.validations\[0\]\.expression: Invalid value: "object\.x ==": compilation failed: ERROR: <input>:1:/,
  );
  assert.match(messages[1]!, /Invalid value: "'a'": must evaluate to bool$/);
  assert.match(messages[2]!, /undeclared reference to 'foo' \(in container ''\)/);
});

test("what webhooks did is in the audit log", async () => {
  answer = ({ object }, path) => {
    if (!path.startsWith("/0")) return 500;
    return object.data ? { allowed: true } : patchOf({ op: "add", path: "/data", value: { a: "1" } });
  };
  await register("mutating", {}, { failurePolicy: "Ignore" });
  await register("validating", {}, { failurePolicy: "Ignore" });
  const { code, text } = await create();
  assert.equal(code, 201, text);
  const annotations = JSON.parse(audited.findLast((line) => /"verb":"create".*configmaps/.test(line))!).annotations;
  const [mutating, validating] = [`w${count - 3}`, `w${count - 2}`];
  const prefix = "webhook.admission.k8s.io";
  for (const [i, mutated] of [true, false].entries())
    assert.deepEqual(JSON.parse(annotations[`mutation.${prefix}/round_0_index_${i}`]), {
      ...{ configuration: mutating, webhook: `${i}.${mutating}.example.com`, mutated },
    });
  assert.deepEqual(JSON.parse(annotations[`patch.${prefix}/round_0_index_0`]), {
    ...{ configuration: mutating, webhook: `0.${mutating}.example.com` },
    ...{ patch: [{ op: "add", path: "/data", value: { a: "1" } }], patchType: "JSONPatch" },
  });
  assert.equal(annotations[`patch.${prefix}/round_0_index_1`], undefined);
  assert.equal(annotations[`failed-open.mutation.${prefix}/round_0_index_1`], `1.${mutating}.example.com`);
  assert.equal(annotations[`failed-open.validating.${prefix}/round_0_index_1`], `1.${validating}.example.com`);
});

test("what webhooks did is counted", async () => {
  const { text } = await call(server, "/metrics");
  assert.match(
    text,
    /apiserver_admission_webhook_rejection_count\{name="0\.w\d+\.example\.com",type="validating",operation="CREATE",error_type="no_error",rejection_code="400"\} 1/,
  );
  assert.match(text, /apiserver_admission_webhook_fail_open_count/);
});

test("calls one after the other share a connection, and one that the webhook has closed is replaced", async () => {
  await register("validating", {});
  const create = (name: string) => call(server, configmaps, { method: "POST", body: { metadata: { name } } });
  assert.equal((await create("kept-first")).code, 201);
  const before = connections;
  for (const name of ["kept-a", "kept-b", "kept-c"]) assert.equal((await create(name)).code, 201);
  assert.equal(connections, before);
  hook.closeAllConnections();
  assert.equal((await create("kept-d")).code, 201);
  assert.equal(connections, before + 1);
});

describe("a rule that names another version of a custom resource", () => {
  const hosts = (version: string, name = "") => `/apis/example.com/${version}/hosts${name && `/${name}`}`;
  const rules = [{ apiGroups: ["example.com"], apiVersions: ["v2"], resources: ["hosts"], operations: ["*"] }];
  /** v1 has `hostPort`, v2 has `host` and `port`. */
  const convert = ({ desiredAPIVersion: apiVersion, objects }: { desiredAPIVersion: string; objects: object[] }) => ({
    result: { status: "Success" },
    convertedObjects: objects.map((object) => {
      const { hostPort = "", host, port, ...rest } = object as Record<string, string>;
      const [name, number] = hostPort.split(":");
      const own = apiVersion.endsWith("/v1") ? { hostPort: `${host}:${port}` } : { host: name, port: number };
      return { ...rest, ...own, apiVersion };
    }),
  });
  const asked = () => reviews.filter(({ kind }) => kind === "AdmissionReview").map(({ request }) => request);
  const post = (name: string, hostPort: string) =>
    call(server, hosts("v1"), {
      method: "POST",
      body: { kind: "Host", apiVersion: "example.com/v1", metadata: { name }, hostPort },
    });

  beforeAll(async () => {
    const url = `https://127.0.0.1:${(hook.address() as AddressInfo).port}/convert`;
    const clientConfig = { url, caBundle: Buffer.from(server.authority.cert).toString("base64") };
    const conversion = { strategy: "Webhook", webhook: { clientConfig, conversionReviewVersions: ["v1"] } };
    const version = (name: string) => ({
      name,
      served: true,
      storage: name === "v1",
      schema: { openAPIV3Schema: preserving },
    });
    const spec = { scope: "Cluster", conversion, versions: [version("v1"), version("v2")] };
    await define(server, definition("hosts", "Host", undefined, { spec }));
  });

  test("a mutating webhook sees it converted, and what it makes is converted back", async () => {
    await register("mutating", { rules });
    const replace = patchOf({ op: "replace", path: "/port", value: "9" });
    answer = (request, path) => (path.startsWith("/convert") ? convert(request) : replace);
    const made = await post("a", "a.example:1");
    assert.deepEqual([made.code, made.json.hostPort, made.json.host], [201, "a.example:9", undefined]);
    const [{ kind, requestKind, object }] = asked();
    assert.deepEqual([kind.version, requestKind.version], ["v2", "v1"]);
    assert.deepEqual([object.apiVersion, object.host, object.port], ["example.com/v2", "a.example", "1"]);
  });

  test("a validating webhook sees both, old and new", async () => {
    answer = (request, path) => (path.startsWith("/convert") ? convert(request) : { allowed: true });
    await register("validating", { rules });
    const { metadata } = (await post("b", "b.example:1")).json;
    const body = { kind: "Host", apiVersion: "example.com/v1", metadata, hostPort: "b.example:2" };
    assert.equal((await call(server, hosts("v1", "b"), { method: "PUT", body })).code, 200);
    const { object, oldObject } = asked().at(-1);
    assert.deepEqual([oldObject.port, object.port, oldObject.apiVersion], ["1", "2", "example.com/v2"]);
  });

  test("with the policy Exact it is not asked", async () => {
    await register("validating", { rules, matchPolicy: "Exact" });
    answer = (request, path) => (path.startsWith("/convert") ? convert(request) : { allowed: false });
    assert.equal((await post("c", "c.example:1")).code, 201);
  });

  test("a conversion that fails is an error, whatever the failure policy", async () => {
    await register("validating", { rules, failurePolicy: "Ignore" });
    answer = () => ({ result: { status: "Failure", message: "not today" } });
    const { code, json } = await post("d", "d.example:1");
    assert.deepEqual(
      [code, /conversion webhook for example.com\/v1, Kind=Host failed: not today/.test(json.message)],
      [500, true],
    );
  });

  test("a policy sees it in the version of its rule", async () => {
    answer = (request) => convert(request);
    const names = { metadata: { name: "ports" } };
    const validations = [{ expression: "object.port != '1'", message: "no port 1" }];
    const policy = { ...names, spec: { matchConstraints: { resourceRules: rules }, validations } };
    const binding = { ...names, spec: { policyName: "ports", validationActions: ["Deny"] } };
    for (const [kind, body] of Object.entries({
      validatingadmissionpolicies: policy,
      validatingadmissionpolicybindings: binding,
    })) {
      assert.equal((await call(server, `${configurations}/${kind}`, { method: "POST", body })).code, 201);
      await call(server, `${configurations}/${kind}`);
    }
    const refused = await post("e", "e.example:1");
    assert.deepEqual([refused.code, /no port 1$/.test(refused.json.message)], [422, true]);
    assert.equal((await post("e", "e.example:2")).code, 201);
  });
});
