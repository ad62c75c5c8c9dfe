import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import https from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { text } from "node:stream/consumers";
import type { TLSSocket } from "node:tls";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, test } from "vitest";
import { apiServices } from "../../api/apiregistration/api-service.ts";
import { isForbidden, isNotFound } from "../../apimachinery/status.ts";
import { createGrpcClient } from "../../client/grpc-client.ts";
import { createAuthority } from "../../pki/authority.ts";
import { peer } from "../../tools/peers.ts";
import { define, definition } from "../crd/testing.ts";
import { call, TestWatch } from "../http.testing.ts";
import { startTestApiserver, type TestApiserver } from "../testing.ts";
import { missing } from "./available.ts";
import { remoteUser } from "./remote-apis.ts";

/** APIServices over a real extension server: TLS, front-proxy certificate, discovery, streams. */
let server: TestApiserver;
let extension: https.Server;
let extensionCa: string;
let healthy = true;
let watching: ServerResponse;
let ended = () => {};
const asked: string[] = [];
const services = "/apis/apiregistration.k8s.io/v1/apiservices";
const group = "wardle.example.com";
const base = `/apis/${group}/v1alpha1`;
const flunder = { kind: "Flunder", apiVersion: `${group}/v1alpha1`, metadata: { name: "one", namespace: "default" } };
const resources = [
  { name: "flunders", singularName: "flunder", namespaced: true, kind: "Flunder", verbs: ["list", "get", "create"] },
  { name: "flunders/status", singularName: "", namespaced: true, kind: "Flunder", verbs: ["get"] },
];

/** As servers of today write it: parameters that many share are apart. */
const openapiV2 = {
  swagger: "2.0",
  paths: {
    [`${base}/namespaces/{namespace}/flunders`]: {
      get: { responses: { 200: { description: "OK", schema: { $ref: "#/definitions/example.Flunder" } } } },
      parameters: [{ $ref: "#/parameters/namespace-vgWSWtn3" }],
    },
    "/apis/apps/v1/nothing": { get: { description: "not its own", responses: {} } },
  },
  definitions: {
    "example.Flunder": { type: "object", description: "What flunders." },
    "io.k8s.api.core.v1.Pod": { description: "not its own" },
  },
  parameters: { "namespace-vgWSWtn3": { name: "namespace", in: "path", type: "string", required: true } },
};

beforeAll(async () => {
  const [frontProxy, own] = [await createAuthority("front-proxy-ca"), await createAuthority("extension")];
  extensionCa = own.cert;
  const client = await frontProxy.issue({ commonName: "front-proxy-client", usages: ["client"] });
  const pair = await own.issue({ commonName: "api", dnsNames: ["api.wardle.svc"], usages: ["server"] });
  extension = https.createServer({ ...pair, ca: frontProxy.cert, requestCert: true, rejectUnauthorized: true });
  extension.on("request", async (request, response) => {
    const { url = "", method, headers } = request;
    asked.push(`${method} ${url}`);
    const send = (code: number, body: object) => {
      response.writeHead(code, { "content-type": "application/json" });
      response.end(JSON.stringify(body));
    };
    if (url.replace(/\?.*/, "") === base)
      return healthy
        ? send(200, { kind: "APIResourceList", apiVersion: "v1", groupVersion: `${group}/v1alpha1`, resources })
        : send(500, {});
    if (url === "/openapi/v3")
      return send(200, { paths: { [base.slice(1)]: { serverRelativeURL: `/openapi/v3${base}?hash=A` } } });
    if (url === "/openapi/v2") return send(200, openapiV2);
    if (url.startsWith("/openapi/v3/apis/")) return send(200, { openapi: "3.0.0", paths: {} });
    if (url.includes("watch=true")) {
      if (url.includes("resourceVersion=1&"))
        return send(410, { kind: "Status", code: 410, reason: "Expired", message: "too old" });
      response.writeHead(200, { "content-type": "application/json" });
      watching = response;
      response.on("close", () => ended());
      const lines = ["ADDED", "MODIFIED"].map((type) => `${JSON.stringify({ type, object: flunder })}\n`).join("");
      response.write(lines.slice(0, 200)); // an event in two pieces
      return void response.write(lines.slice(200));
    }
    const { CN } = (request.socket as TLSSocket).getPeerCertificate().subject;
    if (url.includes("/flunders/one")) return send(200, flunder);
    if (url.includes("/echo"))
      return send(200, { method, url, headers, by: CN, body: await text(request), metadata: {} });
    if (url.includes("/flunders"))
      return send(200, { kind: "FlunderList", apiVersion: flunder.apiVersion, metadata: {}, items: [flunder] });
    send(404, { kind: "Status", apiVersion: "v1", status: "Failure", code: 404, reason: "NotFound", message: "none" });
  });
  extension.on("upgrade", (request, socket: Duplex) => {
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n`);
    socket.write(`${request.headers["x-remote-user"]} `);
    socket.pipe(socket);
  });
  extension.listen(0, "127.0.0.1");
  await once(extension, "listening");
  const proxyClient = { cert: Buffer.from(client.cert), key: Buffer.from(client.key) };
  server = await startTestApiserver({ proxyClient });
  await call(server, "/api/v1/namespaces", { method: "POST", body: { metadata: { name: "wardle" } } });
});

afterAll(async () => {
  await server.close();
  extension.closeAllConnections();
  extension.close();
});

const condition = async (name: string, wanted: (reason: string) => boolean) => {
  // biome-ignore lint/suspicious/noExplicitAny: tests look where they like
  const of = (object: any) => object.status?.conditions?.[0] ?? {};
  const watch = new TestWatch(server, `${services}?watch=true&fieldSelector=metadata.name%3D${name}`);
  await watch.until(() => watch.events.some(({ object }) => wanted(of(object).reason)));
  watch.close();
  return of(watch.events.findLast(({ object }) => wanted(of(object).reason))!.object);
};

const kubectlPath = peer("kubectl");
const kubectl = async (...args: string[]) => {
  const all = ["--kubeconfig", server.kubeconfig, "--cache-dir", `${server.dir}/cache`, ...args];
  return (await promisify(execFile)(kubectlPath!, all, { encoding: "utf8" })).stdout;
};

test("every group that is served has an APIService, custom resources' too for as long as they are there", async () => {
  await define(server, definition("gizmos", "Gizmo"));
  await condition("v1.example.com", (reason) => reason === "Local");
  const { json } = await call(server, services);
  // biome-ignore lint/suspicious/noExplicitAny: tests look where they like
  const of = (name: string) => json.items.find((one: any) => one.metadata.name === name);
  assert.deepEqual(of("v2.autoscaling").spec, {
    group: "autoscaling",
    version: "v2",
    groupPriorityMinimum: 17500,
    versionPriority: 30,
  });
  assert.deepEqual(of("v1.").metadata.labels, { "kube-aggregator.kubernetes.io/automanaged": "onstart" });
  assert.equal(of("v1.example.com").spec.groupPriorityMinimum, 1000);
  assert.equal(of("v1.apiregistration.k8s.io"), undefined);
  const watch = new TestWatch(server, `${services}?watch=true&fieldSelector=metadata.name%3Dv1.example.com`);
  await call(server, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gizmos.example.com", {
    method: "DELETE",
  });
  await watch.until(() => watch.events.some(({ type }) => type === "DELETED"));
  watch.close();
});

test("a group behind a Service is served through us once its server answers", async () => {
  const name = `v1alpha1.${group}`;
  const spec = { group, version: "v1alpha1", groupPriorityMinimum: 2000, versionPriority: 200 };
  const service = { namespace: "wardle", name: "api", port: 443 };
  const caBundle = Buffer.from(extensionCa).toString("base64");
  const post = (path: string, body: object) => call(server, path, { method: "POST", body });
  const created = await post(services, { metadata: { name }, spec: { ...spec, service, caBundle } });
  assert.equal(created.code, 201, created.text);
  const absent = await condition(name, (reason) => reason === "ServiceNotFound");
  assert.equal(absent.message, 'service/api in "wardle" is not present');
  const refused = await call(server, `${base}/namespaces/default/flunders`);
  assert.deepEqual([refused.code, refused.text], [503, "service unavailable\n"]);
  const { port } = extension.address() as AddressInfo;
  await post("/api/v1/namespaces/wardle/services", { metadata: { name: "api" }, spec: { ports: [{ port: 443 }] } });
  assert.equal((await condition(name, (reason) => reason === "EndpointsNotFound")).status, "False");
  await post("/apis/discovery.k8s.io/v1/namespaces/wardle/endpointslices", {
    metadata: { name: "api-1", labels: { "kubernetes.io/service-name": "api" } },
    addressType: "IPv4",
    endpoints: [{ addresses: ["127.0.0.1"], conditions: { ready: true } }],
    ports: [{ name: "", port, protocol: "TCP" }],
  });
  const good = await condition(name, (reason) => reason === "Passed");
  assert.deepEqual([good.status, good.message], ["True", "all checks passed"]);

  const list = await call(server, `${base}/namespaces/default/flunders`);
  assert.equal(list.json.items[0].metadata.name, "one");
  const echoed = await call(server, `${base}/namespaces/default/echo?a=b`, {
    method: "POST",
    body: "text",
    headers: { "x-remote-user": "forged", authorization: "Bearer nothing", "impersonate-user": "jane" },
  });
  assert.match(echoed.text, /User \\"jane\\" cannot create resource \\"echo\\" in API group \\"wardle.example.com\\"/);
  const own = await call(server, `${base}/namespaces/default/echo?a=b`, {
    method: "POST",
    body: "text",
    headers: { "x-remote-user": "forged", "x-remote-extra-a": "b" },
  });
  const { headers, metadata: _, ...rest } = own.json;
  assert.deepEqual(rest, {
    method: "POST",
    url: `${base}/namespaces/default/echo?a=b`,
    by: "front-proxy-client",
    body: "text",
  });
  assert.equal(headers["x-remote-user"], "kubernetes-admin");
  assert.equal(headers["x-remote-group"], "system:masters, system:authenticated");
  assert.equal(headers["x-remote-extra-a"], undefined);
});

test("it is served over gRPC, too, as discovery and watches are", async () => {
  const flunders = { group, version: "v1alpha1", resource: "flunders", kind: "Flunder", namespaced: true };
  const client = createGrpcClient({ servers: [server.grpcAddress], tls: server.certs.admin });
  const stranger = createGrpcClient({ servers: [server.grpcAddress], tls: server.certs.proxy });
  try {
    const list = { ...flunders, resource: "" };
    const discovered = (await client.get(list, { name: "" })) as unknown as { resources: object[] };
    assert.deepEqual(discovered.resources, resources);
    const apps = await client.get({ ...list, group: "apps", version: "v1" }, { name: "" });
    assert.equal(apps.kind, "APIResourceList");
    await assert.rejects(client.get({ ...list, version: "v9" }, { name: "" }), isNotFound);
    assert.deepEqual((await client.list(flunders, { namespace: "default" })).items, [flunder]);
    assert.deepEqual(await client.get(flunders, { namespace: "default", name: "one" }), flunder);
    const echo = { ...flunders, resource: "echo" };
    const labelSelector = "a=b";
    const sent = (await client.list(echo, { namespace: "default", labelSelector })) as never as { items: null };
    assert.deepEqual(sent.items, []);
    await client.delete(flunders, { namespace: "default", name: "one" });
    assert.deepEqual(asked.slice(-2), [
      `GET ${base}/namespaces/default/echo?labelSelector=a%3Db`,
      `DELETE ${base}/namespaces/default/flunders/one?`,
    ]);
    await assert.rejects(client.get({ ...flunders, resource: "nope" }, { name: "a" }), isNotFound);
    const expired = client.watch(flunders, { resourceVersion: "1" })[Symbol.asyncIterator]();
    await assert.rejects(expired.next(), /too old/);
    await assert.rejects(
      stranger.watch(flunders, { resourceVersion: "2" })[Symbol.asyncIterator]().next(),
      isForbidden,
    );
    const watch = client.watch(flunders, { resourceVersion: "2" })[Symbol.asyncIterator]();
    const types: string[] = [];
    while (types.length < 2) for (const { type } of (await watch.next()).value!) types.push(type);
    assert.deepEqual(types, ["ADDED", "MODIFIED"]);
    watching.write(`${JSON.stringify({ type: "DELETED", object: flunder })}\n`);
    assert.deepEqual((await watch.next()).value, [{ type: "DELETED", object: flunder }]);
    watching.write("nonsense\n");
    await assert.rejects(watch.next(), /is not valid JSON|Unexpected token/);
    const stopping = new AbortController();
    const left = client.watch(flunders, { resourceVersion: "2", signal: stopping.signal })[Symbol.asyncIterator]();
    await left.next();
    const over = new Promise<void>((resolve) => (ended = resolve));
    stopping.abort();
    await over; // who leaves is not watched for any longer
    await assert.rejects(stranger.list(flunders), isForbidden);
  } finally {
    client.close();
    stranger.close();
  }
});

test("its group is in discovery of every form, in the order of priorities", async () => {
  const legacy = await call(server, "/apis");
  const names: string[] = legacy.json.groups.map(({ name }: { name: string }) => name);
  assert.equal(names[0], "apiregistration.k8s.io");
  assert.equal(names[1], "apps");
  assert.ok(names.includes(group));
  const own = await call(server, `/apis/${group}`);
  assert.equal(own.json.preferredVersion.groupVersion, `${group}/v1alpha1`);
  assert.deepEqual((await call(server, base)).json.resources, resources);
  const accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
  const { json } = await call(server, "/apis", { headers: { accept } });
  const { versions } = json.items.find(({ metadata }: { metadata: { name: string } }) => metadata.name === group);
  assert.deepEqual(versions, [
    {
      version: "v1alpha1",
      freshness: "Current",
      resources: [
        {
          resource: "flunders",
          responseKind: { group, version: "v1alpha1", kind: "Flunder" },
          verbs: ["create", "get", "list"],
          scope: "Namespaced",
          singularResource: "flunder",
          subresources: [
            {
              subresource: "status",
              responseKind: { group, version: "v1alpha1", kind: "Flunder" },
              verbs: ["get"],
            },
          ],
        },
      ],
    },
  ]);
  const index = await call(server, "/openapi/v3");
  const { serverRelativeURL } = index.json.paths[base.slice(1)];
  assert.equal((await call(server, serverRelativeURL)).json.openapi, "3.0.0");
  const v2 = (await call(server, "/openapi/v2")).json;
  const { parameters } = v2.paths[`${base}/namespaces/{namespace}/flunders`];
  assert.deepEqual(parameters, [{ name: "namespace", in: "path", type: "string", required: true }]);
  assert.equal(v2.definitions["example.Flunder"].description, "What flunders.");
  assert.equal(v2.paths["/apis/apps/v1/nothing"], undefined);
  assert.equal(v2.definitions["io.k8s.api.core.v1.Pod"].description, undefined);
});

test("an upgraded connection passes through, with who it is from", async () => {
  const { hostname: host, port } = new URL(server.url);
  const headers = { connection: "Upgrade", upgrade: "x" };
  const path = `${base}/namespaces/default/flunders/one/exec`;
  const request = https.request({ host, port, path, headers, agent: false, ...server.certs.admin });
  request.end();
  const [, socket, head] = (await once(request, "upgrade")) as [unknown, Duplex, Buffer];
  let got = head.toString();
  socket.write("ping");
  for await (const chunk of socket) {
    got += chunk;
    if (got.includes("ping")) break;
  }
  assert.equal(got, "kubernetes-admin ping");
});

test.skipIf(!kubectlPath)("kubectl lists what the other server serves, and what is available", async () => {
  assert.match(await kubectl("get", "flunders", "-o", "name"), /flunder.wardle.example.com\/one/);
  const table = await kubectl("get", "apiservices");
  assert.match(table, /^NAME +SERVICE +AVAILABLE +AGE\n/);
  assert.match(table, /v1\.apps +Local +True /);
  assert.match(table, /v1alpha1.wardle.example.com +wardle\/api +True /);
});

test("a server that fails its check is unavailable, and stale in discovery", async () => {
  healthy = false;
  const name = `v1alpha1.${group}`;
  const patch = { spec: { versionPriority: 201 } };
  const headers = { "content-type": "application/merge-patch+json" };
  await call(server, `${services}/${name}`, { method: "PATCH", body: patch, headers });
  const failed = await condition(name, (reason) => reason === "FailedDiscoveryCheck");
  const { port } = extension.address() as AddressInfo;
  const url = `https://127.0.0.1:${port}${base}`;
  assert.equal(failed.message, `failing or missing response from ${url}: bad status from ${url}: 500`);
  assert.equal((await call(server, `${base}/namespaces/default/flunders`)).code, 503);
  healthy = true;
  await condition(name, (reason) => reason === "Passed");
});

test("without a good certificate nothing is passed on", async () => {
  const name = `v1alpha1.${group}`;
  const headers = { "content-type": "application/merge-patch+json" };
  const change = (spec: object) => call(server, `${services}/${name}`, { method: "PATCH", body: { spec }, headers });
  await change({ caBundle: Buffer.from(server.authority.cert).toString("base64") });
  await call(server, services); // the cache has it
  const refused = await call(server, `${base}/namespaces/default/flunders`);
  assert.equal(refused.code, 503);
  assert.match(refused.text, /^error trying to reach service: /);
  await change({ caBundle: null, insecureSkipTLSVerify: true });
  await call(server, services);
  assert.equal((await call(server, `${base}/namespaces/default/flunders`)).code, 200);
});

describe("availability", () => {
  const reference = { namespace: "ns", name: "s", port: 443 };
  const service = (spec: object) => ({ metadata: { name: "s" }, spec: { type: "ClusterIP", ...spec } }) as never;
  const ports = [{ name: "https", port: 443 }];
  const slice = (ready: boolean, name = "https") =>
    ({ endpoints: [{ addresses: ["1.2.3.4"], conditions: { ready } }], ports: [{ name, port: 1 }] }) as never;
  test.each([
    ["no Service", undefined, [], "ServiceNotFound"],
    ["a Service without the port", service({ ports: [] }), [], "ServicePortError"],
    ["a Service without endpoints", service({ ports }), [], "EndpointsNotFound"],
    ["a Service none of whose endpoints is ready", service({ ports }), [slice(false)], "MissingEndpoints"],
    ["a Service whose endpoints have another port", service({ ports }), [slice(true, "x")], "MissingEndpoints"],
    ["a Service with a ready endpoint", service({ ports }), [slice(true)], undefined],
    ["a name outside", service({ type: "ExternalName" }), [], undefined],
  ] as const)("%s", (_, behind, slices, reason) => {
    assert.equal(missing(reference, behind, slices)?.reason, reason);
  });
});

describe("validation", () => {
  const ok = { group: "a.b", version: "v1", groupPriorityMinimum: 1, versionPriority: 1 };
  const service = { namespace: "n", name: "s", port: 443 };
  test.each([
    ["a good one", {}, []],
    [
      "a name that is not version.group",
      { name: "x" },
      ['metadata.name: must be `spec.version+"."+spec.group`: "v1.a.b"'],
    ],
    [
      "no group",
      { name: "v2.", group: "", version: "v2" },
      ["spec.group: only v1 may have an empty group and it better be legacy kube"],
    ],
    [
      "priorities",
      { groupPriorityMinimum: 20001, versionPriority: 0 },
      [
        "spec.groupPriorityMinimum: must be positive and less than 20000",
        "spec.versionPriority: must be positive and less than 1000",
      ],
    ],
    ["a bundle of ours", { caBundle: "AAAA" }, ["spec.caBundle: local APIServices may not have a caBundle"]],
    [
      "both kinds of trust",
      { service, caBundle: "AAAA", insecureSkipTLSVerify: true },
      ["spec.insecureSkipTLSVerify: may not be true if caBundle is present"],
    ],
    [
      "a Service without names",
      { service: { port: 0 } },
      [
        "spec.service.namespace: ",
        "spec.service.name: ",
        "spec.service.port: port is not valid: must be between 1 and 65535, inclusive",
      ],
    ],
  ] as [string, { name?: string }, string[]][])("%s", (_, { name = "v1.a.b", ...more }, wanted) => {
    const object = { metadata: { name }, spec: { ...ok, ...more }, status: {} };
    assert.deepEqual(
      [...apiServices.validate(object as never)].map(({ field, detail }) => `${field}: ${detail}`),
      wanted,
    );
  });
});

test("who asks is told in headers, whatever his name", () => {
  const user = { name: "Jörg", groups: ["a", "b"], uid: "1", extra: { "Some/Key (x)": ["v"] } };
  assert.deepEqual(remoteUser(user), {
    "x-remote-user": Buffer.from("Jörg").toString("latin1"),
    "x-remote-uid": "1",
    "x-remote-group": ["a", "b"],
    "x-remote-extra-Some%2FKey%20%28x%29": ["v"],
  });
});
