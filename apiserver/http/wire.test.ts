import assert from "node:assert/strict";
import http2 from "node:http2";
import net from "node:net";
import tls from "node:tls";
import { afterAll, beforeAll, describe, test } from "vitest";
import { createAuthority } from "../../pki/authority.ts";
import { call, configMap, liveBytes, pod, type TestRequest, TestWatch } from "../http.testing.ts";
import { startTestApiserver, type TestApiserver } from "../testing.ts";

let server: TestApiserver;
beforeAll(async () => {
  server = await startTestApiserver({ allowLoopbackEndpoints: false });
});
afterAll(() => server?.close());

const maps = "/api/v1/namespaces/default/configmaps";
const pods = "/api/v1/namespaces/default/pods";
const post = (body: object | string, headers?: Record<string, string>): TestRequest => ({
  method: "POST",
  body,
  ...(headers ? { headers } : {}),
});
const patch = (type: string, body: object | string): TestRequest => ({
  method: "PATCH",
  body,
  headers: { "content-type": `application/${type}` },
});

describe("who comes in", () => {
  test("without a certificate: 401, but for health", async () => {
    const refused = await call(server, maps, { cert: null });
    assert.equal(refused.code, 401);
    assert.deepEqual(
      [refused.json.kind, refused.json.message, refused.json.reason],
      ["Status", "Unauthorized", "Unauthorized"],
    );
    assert.equal((await call(server, "/api", { cert: null })).code, 401);
    assert.equal((await call(server, "/readyz", { cert: null })).text, "ok");
  });

  test("with a stranger's certificate: 401, even for health", async () => {
    const stranger = await (await createAuthority("stranger")).issue({
      commonName: "kubernetes-admin",
      organizations: ["system:masters"],
      usages: ["client"],
    });
    const cert = { cert: Buffer.from(stranger.cert), key: Buffer.from(stranger.key), ca: server.certs.admin.ca };
    for (const path of [maps, "/healthz"]) assert.equal((await call(server, path, { cert })).code, 401);
  });

  test("with a certificate that is for servers only: 401", async () => {
    const issued = await server.authority.issue({
      commonName: "x",
      organizations: ["system:masters"],
      usages: ["server"],
    });
    const cert = { cert: Buffer.from(issued.cert), key: Buffer.from(issued.key), ca: server.certs.admin.ca };
    assert.equal((await call(server, maps, { cert })).code, 401);
  });

  test("through a TCP balancer, under any name of its certificate and any port: as itself, watches too", async () => {
    const { hostname, port } = new URL(server.url);
    const balancer = net.createServer((client) => {
      const backend = net.connect(Number(port), hostname);
      client.pipe(backend).pipe(client);
      for (const [one, other] of [
        [client, backend],
        [backend, client],
      ] as const)
        one.on("error", () => other.destroy());
    });
    await new Promise<void>((resolve) => balancer.listen(0, "127.0.0.1", resolve));
    const behind = { ...server, url: `https://localhost:${(balancer.address() as net.AddressInfo).port}` };
    try {
      const watch = new TestWatch(behind, `${maps}?watch=true&fieldSelector=metadata.name%3Dbalanced`);
      const headers = { host: "kubernetes:8443" };
      assert.equal((await call(behind, maps, { ...post(configMap("balanced")), headers })).code, 201);
      await watch.until(() => watch.lines.includes("ADDED balanced"));
      watch.close();
    } finally {
      balancer.close();
    }
  });

  test("a user whom no rule mentions gets 403 in upstream's words", async () => {
    const issued = await server.authority.issue({ commonName: "jane", usages: ["client"] });
    const cert = { cert: Buffer.from(issued.cert), key: Buffer.from(issued.key), ca: server.certs.admin.ca };
    const refused = await call(server, `${pods}/web`, { cert });
    assert.equal(refused.code, 403);
    assert.equal(
      refused.json.message,
      'pods "web" is forbidden: User "jane" cannot get resource "pods" in API group "" in the namespace "default"',
    );
    const path = await call(server, "/metrics", { cert });
    assert.equal(path.json.message, 'forbidden: User "jane" cannot get path "/metrics"');
    assert.equal((await call(server, "/version", { cert })).code, 200);
  });

  test("a node may write its own Node, Lease and Pods' status, and no other's", async () => {
    const [one, two] = await Promise.all([server.certs.node("one"), server.certs.node("two")]);
    const node = (name: string) => ({ apiVersion: "v1", kind: "Node", metadata: { name } });
    const lease = (name: string) => ({ apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata: { name } });
    const leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    assert.equal((await call(server, "/api/v1/nodes", { ...post(node("one")), cert: one })).code, 201);
    assert.equal((await call(server, "/api/v1/nodes", { ...post(node("two")), cert: one })).code, 403);
    assert.equal((await call(server, leases, { ...post(lease("one")), cert: one })).code, 201);
    assert.equal((await call(server, leases, { ...post(lease("two")), cert: one })).code, 403);
    assert.equal((await call(server, `${leases}/one`, { cert: two })).code, 403);
    const foreign = await call(server, "/api/v1/nodes/one", { ...patch("merge-patch+json", {}), cert: two });
    assert.match(foreign.json.message, /node "two" is not allowed to modify node "one"/);

    await call(server, pods, post(pod("bound", { nodeName: "one" })));
    const status = patch("merge-patch+json", { status: { phase: "Running" } });
    assert.equal((await call(server, `${pods}/bound/status`, { ...status, cert: one })).code, 200);
    const refused = await call(server, `${pods}/bound/status`, { ...status, cert: two });
    assert.match(
      refused.json.message,
      /node "two" can only update pod status for pods with spec.nodeName set to itself/,
    );
    assert.equal((await call(server, `${pods}/bound?gracePeriodSeconds=0`, { method: "DELETE", cert: two })).code, 403);
    assert.equal((await call(server, `${pods}/bound?gracePeriodSeconds=0`, { method: "DELETE", cert: one })).code, 200);
  });

  test("a node reads a Secret only while one of its Pods refers to it", async () => {
    const cert = await server.certs.node("one");
    const secrets = "/api/v1/namespaces/default/secrets";
    await call(
      server,
      secrets,
      post({ apiVersion: "v1", kind: "Secret", metadata: { name: "key" }, stringData: { a: "b" } }),
    );
    const refused = await call(server, `${secrets}/key`, { cert });
    assert.match(refused.json.message, /no relationship found between node 'one' and this object/);
    assert.equal((await call(server, secrets, { cert })).code, 403);
    const env = [{ name: "A", valueFrom: { secretKeyRef: { name: "key", key: "a" } } }];
    const containers = [{ name: "c", image: "x", env }];
    assert.equal((await call(server, pods, post(pod("reads", { nodeName: "one", containers })))).code, 201);
    assert.equal((await call(server, `${secrets}/key`, { cert })).code, 200);
  });
});

describe("one object's life", () => {
  test("created, read, changed, deleted", async () => {
    const created = await call(server, maps, post(configMap("life", { data: { a: "1" } })));
    assert.equal(created.code, 201);
    const { metadata } = created.json;
    assert.match(metadata.uid, /^[0-9a-f]{8}-[0-9a-f]{4}-4/);
    assert.match(metadata.creationTimestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    assert.equal(metadata.namespace, "default");
    assert.deepEqual((await call(server, `${maps}/life`)).json, created.json);

    const again = await call(server, maps, post(configMap("life")));
    assert.deepEqual([again.code, again.json.reason], [409, "AlreadyExists"]);
    assert.equal(again.json.message, 'configmaps "life" already exists');

    const same = await call(server, `${maps}/life`, { method: "PUT", body: created.json });
    assert.equal(same.json.metadata.resourceVersion, metadata.resourceVersion, "nothing changed, nothing written");
    const changed = await call(server, `${maps}/life`, { method: "PUT", body: { ...created.json, data: { a: "2" } } });
    assert.ok(Number(changed.json.metadata.resourceVersion) > Number(metadata.resourceVersion));
    const stale = await call(server, `${maps}/life`, { method: "PUT", body: { ...created.json, data: { a: "3" } } });
    assert.deepEqual([stale.code, stale.json.reason], [409, "Conflict"]);
    assert.match(
      stale.json.message,
      /^Operation cannot be fulfilled on configmaps "life": the object has been modified/,
    );

    const deleted = await call(server, `${maps}/life`, { method: "DELETE", body: { propagationPolicy: "Background" } });
    assert.deepEqual(deleted.json.details, { name: "life", kind: "configmaps", uid: metadata.uid });
    const missing = await call(server, `${maps}/life`);
    assert.deepEqual([missing.code, missing.json.message], [404, 'configmaps "life" not found']);
  });

  test("generateName gives a name of its own", async () => {
    const created = await call(server, maps, post({ ...configMap(""), metadata: { generateName: "made-" } }));
    assert.match(created.json.metadata.name, /^made-[bcdfghjklmnpqrstvwxz2456789]{5}$/);
  });

  test("a dry run says what would be, and leaves no trace", async () => {
    const created = await call(server, `${maps}?dryRun=All`, post(configMap("dry")));
    assert.equal(created.code, 201);
    assert.equal((await call(server, `${maps}/dry`)).code, 404);
    assert.equal((await call(server, `${maps}?dryRun=Some`, post(configMap("dry")))).code, 422);
  });

  test.each([
    ["Strict", 400, undefined, /strict decoding error: unknown field "datum"/],
    ["Warn", 201, '299 - "unknown field \\"datum\\""', undefined],
    ["Ignore", 201, undefined, undefined],
  ])("unknown fields under fieldValidation=%s", async (mode, code, warning, message) => {
    const body = { ...configMap(`fields-${mode.toLowerCase()}`), datum: {} };
    const answer = await call(server, `${maps}?fieldValidation=${mode}`, post(body));
    assert.equal(answer.code, code);
    assert.equal(answer.headers["warning"], warning);
    if (message) assert.match(answer.json.message, message);
  });

  test("a Pod gets its grace period, a second delete can only shorten it, and grace 0 ends it", async () => {
    await call(server, pods, post(pod("graceful", { nodeName: "somewhere" })));
    await call(server, `${pods}/graceful/status`, patch("merge-patch+json", { status: { phase: "Running" } }));
    const first = await call(server, `${pods}/graceful`, { method: "DELETE" });
    assert.equal(first.json.metadata.deletionGracePeriodSeconds, 30);
    assert.ok(first.json.metadata.deletionTimestamp);
    const longer = await call(server, `${pods}/graceful`, { method: "DELETE", body: { gracePeriodSeconds: 60 } });
    assert.equal(longer.json.metadata.resourceVersion, first.json.metadata.resourceVersion);
    const shorter = await call(server, `${pods}/graceful`, { method: "DELETE", body: { gracePeriodSeconds: 5 } });
    assert.equal(shorter.json.metadata.deletionGracePeriodSeconds, 5);
    const wrong = { gracePeriodSeconds: 0, preconditions: { uid: "other" } };
    assert.equal((await call(server, `${pods}/graceful`, { method: "DELETE", body: wrong })).code, 409);
    const last = await call(server, `${pods}/graceful`, { method: "DELETE", body: { gracePeriodSeconds: 0 } });
    assert.equal(last.json.status, "Success");
    assert.equal((await call(server, `${pods}/graceful`)).code, 404);
  });

  test("finalizers keep a deleted object until the last one is taken away", async () => {
    await call(server, maps, post({ ...configMap("kept"), metadata: { name: "kept", finalizers: ["example.com/x"] } }));
    const deleted = await call(server, `${maps}/kept`, { method: "DELETE" });
    assert.ok(deleted.json.metadata.deletionTimestamp);
    const done = await call(server, `${maps}/kept`, patch("merge-patch+json", { metadata: { finalizers: null } }));
    assert.equal(done.code, 200);
    assert.equal((await call(server, `${maps}/kept`)).code, 404);
  });

  test.each([
    ["Foreground", ["foregroundDeletion"]],
    ["Orphan", ["orphan"]],
  ])("propagationPolicy %s leaves the object to the garbage collector", async (policy, finalizers) => {
    const name = `cascade-${policy.toLowerCase()}`;
    await call(server, maps, post(configMap(name)));
    const { json } = await call(server, `${maps}/${name}?propagationPolicy=${policy}`, { method: "DELETE" });
    assert.deepEqual(json.metadata.finalizers, finalizers);
  });

  test("a collection goes by its labels", async () => {
    for (const name of ["set-a", "set-b"])
      await call(server, maps, post({ ...configMap(name), metadata: { name, labels: { set: "1" } } }));
    const deleted = await call(server, `${maps}?labelSelector=set%3D1`, { method: "DELETE" });
    assert.equal(deleted.json.items.length, 2);
    assert.equal((await call(server, `${maps}?labelSelector=set%3D1`)).json.items.length, 0);
    assert.ok((await call(server, maps)).json.items.length > 0);
  });
});

describe("patches", () => {
  const deployments = "/apis/apps/v1/namespaces/default/deployments";
  const deployment = (name: string) => ({
    metadata: { name },
    spec: {
      selector: { matchLabels: { app: name } },
      template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: "c", image: "x:1" }] } },
    },
  });

  test("of three types; generation counts what the spec says, not metadata and not status", async () => {
    const created = await call(server, deployments, post(deployment("patched")));
    assert.equal(created.json.metadata.generation, 1);
    const strategic = { spec: { template: { spec: { containers: [{ name: "d", image: "y" }] } } } };
    const path = `${deployments}/patched`;
    const merged = await call(server, path, patch("strategic-merge-patch+json", strategic));
    assert.deepEqual(
      merged.json.spec.template.spec.containers.map(({ name }: { name: string }) => name),
      ["d", "c"].sort().reverse(),
    );
    assert.equal(merged.json.metadata.generation, 2);
    const json = await call(
      server,
      path,
      patch("json-patch+json", [{ op: "add", path: "/metadata/labels", value: { a: "b" } }]),
    );
    assert.deepEqual([json.json.metadata.labels, json.json.metadata.generation], [{ a: "b" }, 2]);
    const status = await call(
      server,
      `${path}/status`,
      patch("merge-patch+json", { spec: { replicas: 9 }, status: { replicas: 3 } }),
    );
    assert.deepEqual(
      [status.json.status.replicas, status.json.spec.replicas, status.json.metadata.generation],
      [3, 1, 2],
    );
    const main = await call(
      server,
      path,
      patch("merge-patch+json", { spec: { replicas: 2 }, status: { replicas: 8 } }),
    );
    assert.deepEqual([main.json.status.replicas, main.json.spec.replicas, main.json.metadata.generation], [3, 2, 3]);
  });

  test("scale reads and writes the replicas, also without a Content-Type", async () => {
    await call(server, deployments, post(deployment("scaled")));
    const path = `${deployments}/scaled/scale`;
    const scale = await call(server, path);
    assert.deepEqual(
      [scale.json.kind, scale.json.apiVersion, scale.json.spec],
      ["Scale", "autoscaling/v1", { replicas: 1 }],
    );
    assert.equal(scale.json.status.selector, "app=scaled");
    const put = await call(server, path, { method: "PUT", body: { ...scale.json, spec: { replicas: 4 } } });
    assert.deepEqual([put.code, put.json.spec.replicas], [200, 4]);
    const stale = await call(server, path, { method: "PUT", body: { ...scale.json, spec: { replicas: 5 } } });
    assert.equal(stale.code, 409);
    assert.equal((await call(server, path, patch("merge-patch+json", { spec: { replicas: 0 } }))).code, 200);
    assert.equal((await call(server, `${deployments}/scaled`)).json.spec.replicas, 0);
    assert.equal((await call(server, path, patch("merge-patch+json", { spec: { replicas: -1 } }))).code, 422);
  });

  test("a resourceVersion in a patch is a lock; without one a hundred writers all get through", async () => {
    await call(server, maps, post(configMap("busy")));
    const locked = await call(
      server,
      `${maps}/busy`,
      patch("merge-patch+json", { metadata: { resourceVersion: "1" } }),
    );
    assert.equal(locked.code, 409);
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        call(server, `${maps}/busy`, patch("merge-patch+json", { data: { [`k${i}`]: "v" } })),
      ),
    );
    assert.deepEqual(new Set(answers.map(({ code }) => code)), new Set([200]));
    assert.equal(Object.keys((await call(server, `${maps}/busy`)).json.data).length, 100);
  });
});

describe("bindings and namespaces", () => {
  test("a Pod is bound once", async () => {
    await call(server, pods, post(pod("unbound")));
    const binding = {
      apiVersion: "v1",
      kind: "Binding",
      metadata: { name: "unbound" },
      target: { kind: "Node", name: "one" },
    };
    const bound = await call(server, `${pods}/unbound/binding`, { ...post(binding), cert: server.certs.scheduler });
    assert.deepEqual([bound.code, bound.json.status], [201, "Success"]);
    const { json } = await call(server, `${pods}/unbound`);
    assert.equal(json.spec.nodeName, "one");
    assert.ok(
      json.status.conditions.some(
        (c: { type: string; status: string }) => c.type === "PodScheduled" && c.status === "True",
      ),
    );
    const again = await call(server, `${pods}/unbound/binding`, post(binding));
    assert.equal(again.code, 409);
    assert.match(again.json.message, /pod unbound is already assigned to node "one"/);
  });

  test("a Namespace takes nothing while it ends, and goes with its last finalizer", async () => {
    await call(server, "/api/v1/namespaces", post({ metadata: { name: "ends" } }));
    const deleted = await call(server, "/api/v1/namespaces/ends", { method: "DELETE" });
    assert.equal(deleted.json.status.phase, "Terminating");
    const refused = await call(server, "/api/v1/namespaces/ends/configmaps", post(configMap("late")));
    assert.deepEqual([refused.code, refused.json.details.causes[0].reason], [403, "NamespaceTerminating"]);
    const finalized = { ...deleted.json, spec: { finalizers: [] } };
    assert.equal(
      (await call(server, "/api/v1/namespaces/ends/finalize", { method: "PUT", body: finalized })).code,
      200,
    );
    assert.equal((await call(server, "/api/v1/namespaces/ends")).code, 404);
    const nowhere = await call(server, "/api/v1/namespaces/ends/configmaps", post(configMap("late")));
    assert.deepEqual([nowhere.code, nowhere.json.message], [404, 'namespaces "ends" not found']);
    const system = await call(server, "/api/v1/namespaces/kube-system", { method: "DELETE" });
    assert.equal(system.code, 403);
  });

  test("the system's objects are there", async () => {
    const { json } = await call(server, "/api/v1/namespaces");
    assert.deepEqual(
      json.items.map(({ metadata }: { metadata: { name: string } }) => metadata.name),
      ["default", "kube-node-lease", "kube-public", "kube-system"],
    );
    assert.equal(
      (await call(server, "/api/v1/namespaces/default/services/kubernetes")).json.spec.clusterIP,
      "10.96.0.1",
    );
    const slice = await call(server, "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes");
    assert.deepEqual(slice.json.endpoints[0].addresses, ["192.0.2.1"]);
  });
});

describe("nothing that comes in takes it down", () => {
  const nested = (levels: number) => `${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`;
  const big = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"big"},"data":{"a":"${"x".repeat(3.5 * 1024 * 1024)}"}}`;
  test.each<[string, string, TestRequest, number, RegExp]>([
    ["an empty body", maps, post(""), 400, /./],
    ["truncated JSON", maps, post('{"kind":"ConfigMap"'), 400, /unexpected end of JSON input|json parse error/],
    ["a body that is no object", maps, post("[]"), 400, /./],
    ["nesting without end", maps, post("[".repeat(100_000)), 400, /./],
    ["nesting that ends", maps, post(`{"data":${nested(100_000)}}`), 400, /exceeded max depth/],
    [
      "nesting in a merge patch",
      `${maps}/x`,
      patch("merge-patch+json", `{"data":${nested(100_000)}}`),
      400,
      /max depth/,
    ],
    ...[nested(100_000), "- ".repeat(100_000), "? ".repeat(100_000), "[".repeat(1_000_000), nested(1000)].map(
      (text): [string, string, TestRequest, number, RegExp] => {
        const name = `nesting in YAML, ${text.slice(0, 6)} ${text.length}`;
        return [name, maps, post(text, { "content-type": "application/yaml" }), 400, /exceeded max depth of 250/];
      },
    ),
    ["another kind", maps, post(pod("p")), 400, /cannot be handled as a ConfigMap/],
    ["a wrong type inside", maps, post({ ...configMap("t"), data: { a: 1 } }), 400, /cannot unmarshal number/],
    ["bad UTF-8", maps, { method: "POST", body: Buffer.from([0x7b, 0xff, 0xfe, 0x7d]) }, 400, /./],
    ["an unknown content type", maps, post("x", { "content-type": "text/plain" }), 415, /unknown format/],
    ["protobuf that is none", maps, post("x", { "content-type": "application/vnd.kubernetes.protobuf" }), 400, /./],
    ["YAML that is none", maps, post("a: [", { "content-type": "application/yaml" }), 400, /./],
    ["an unacceptable Accept", maps, { headers: { accept: "image/png" } }, 406, /media types/],
    ["a body over the limit", maps, post(big), 413, /limit is 3145728/],
    ["an unknown resource", "/api/v1/namespaces/default/nopes", {}, 404, /could not find the requested resource/],
    ["an unknown subresource", `${pods}/x/nope`, {}, 404, /could not find/],
    ["an unknown path", "/nope", {}, 404, /404 page not found/],
    ["an unknown method", maps, { method: "PROPFIND" }, 405, /./],
    ["a broken escape", "/api/v1/%zz/x", {}, 400, /./],
    ["a path that climbs", "/api/v1/namespaces/..%2F..%2Fx/pods", {}, 400, /./],
    ["a wrong label selector", `${maps}?labelSelector=%3D%3D%3D`, {}, 400, /./],
    [
      "an unknown field selector",
      `${maps}?fieldSelector=spec.x%3D1`,
      {},
      400,
      /field selector|field label not supported/,
    ],
    ["a wrong resourceVersion", `${maps}?resourceVersion=abc`, {}, 400, /resourceVersion/],
    ["a resourceVersion from the future", `${maps}?resourceVersion=99999999`, {}, 504, /Too large resource version/],
    ["a wrong continue token", `${maps}?limit=1&continue=abc`, {}, 400, /continue key is not valid/],
    [
      "Exact without a version",
      `${maps}?resourceVersionMatch=Exact`,
      {},
      422,
      /forbidden unless resourceVersion is provided/,
    ],
    ["sendInitialEvents on a list", `${maps}?sendInitialEvents=true`, {}, 422, /forbidden for list/],
    ["a patch of no known type", `${maps}/x`, patch("apply-patch+cbor", "{}"), 415, /strategic-merge-patch/],
    ["a patch that is no JSON", `${maps}/kube`, patch("merge-patch+json", "{"), 400, /error decoding patch/],
    ["an invalid object", pods, post({ metadata: { name: "UPPER" }, spec: { containers: [] } }), 422, /is invalid: \[/],
    [
      "a namespace that is not the path's",
      maps,
      post({ ...configMap("n"), metadata: { name: "n", namespace: "o" } }),
      400,
      /does not match/,
    ],
    [
      "a loopback endpoint",
      "/api/v1/namespaces/default/endpoints",
      post({ metadata: { name: "lo" }, subsets: [{ addresses: [{ ip: "127.0.0.1" }], ports: [{ port: 1 }] }] }),
      422,
      /loopback/,
    ],
    [
      "a wrong delete policy",
      `${maps}/x?propagationPolicy=All`,
      { method: "DELETE" },
      422,
      /Unsupported value: .{1,2}All/,
    ],
  ])("%s", async (_name, path, request, code, message) => {
    const answer = await call(server, path, request);
    assert.equal(answer.code, code, answer.text);
    assert.match(answer.text, message);
  });

  test("dozens of hostile bodies leave nothing behind in memory", async () => {
    const deep = "[".repeat(1_000_000);
    const wide = `{"metadata":{"name":"w"},"data":{${Array.from({ length: 50_000 }, (_, i) => `"k${i}":1`).join()}}}`;
    const bodies: [TestRequest, number][] = [
      [post(big), 413],
      [post(deep), 400],
      [post(wide), 400],
      [post(big.slice(0, 2_000_000)), 400],
      [post(deep, { "content-type": "application/yaml" }), 400],
      [post(big.slice(0, 2_000_000), { "content-type": "application/vnd.kubernetes.protobuf" }), 400],
      [{ ...patch("json-patch+json", deep), method: "PATCH" }, 400],
    ];
    const round = async () => {
      for (const [request, code] of bodies) {
        const path = request.method === "PATCH" ? `${maps}/kube-root-ca.crt` : maps;
        const answer = await call(server, path, request);
        assert.ok(answer.code === code || answer.code === 404, `${answer.code} ${answer.text.slice(0, 200)}`);
      }
    };
    await round();
    const before = liveBytes();
    for (let i = 0; i < 8; i++) await round();
    const grown = liveBytes() - before; // one large body kept each round would be more
    assert.ok(grown < 8 * 1024 * 1024, `${grown} bytes`);
  });

  test("__proto__ in a body stays data or goes, and harms nobody", async () => {
    const body =
      '{"metadata":{"name":"proto","__proto__":{"x":1}},"data":{"__proto__":"p"},"__proto__":{"polluted":true}}';
    const created = await call(server, maps, post(body));
    assert.ok(created.code === 201 || created.code === 422 || created.code === 400, created.text);
    const patched = await call(server, `${maps}/proto`, patch("merge-patch+json", '{"__proto__":{"polluted":true}}'));
    assert.ok(patched.code < 500);
    assert.equal(({} as { polluted?: boolean }).polluted, undefined);
  });

  test("rubbish on the socket, and clients that vanish in the middle", async () => {
    const url = new URL(server.url);
    const connect = () =>
      new Promise<tls.TLSSocket>((resolve, reject) => {
        const { cert, key, ca } = server.certs.admin;
        const socket = tls.connect({
          host: url.hostname,
          port: Number(url.port),
          cert,
          key,
          ca,
          ALPNProtocols: ["http/1.1"],
        });
        socket.on("secureConnect", () => resolve(socket)).on("error", reject);
      });
    for (const text of [
      "\0\0\0\0 rubbish\r\n\r\n",
      "POST /api/v1/namespaces HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{",
      "GET /",
    ]) {
      const socket = await connect();
      socket.write(text);
      socket.destroy();
    }
    assert.equal((await call(server, "/readyz")).text, "ok");
  });
});

test("a resumed TLS session is still the client that it was", async () => {
  const url = new URL(server.url);
  const { ca } = server.certs.admin;
  const dial = (session?: Buffer) =>
    new Promise<{ session: Buffer; reused: boolean; text: string }>((resolve, reject) => {
      const { cert, key } = server.certs.scheduler;
      const socket = tls.connect({
        host: url.hostname,
        port: Number(url.port),
        ca,
        cert,
        key,
        ALPNProtocols: ["http/1.1"],
        ...(session ? { session } : {}),
      });
      let reused = false;
      socket.on("secureConnect", () => (reused = socket.isSessionReused()));
      let ticket = session ?? Buffer.alloc(0);
      let text = "";
      socket.on("session", (given) => (ticket = given));
      socket.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      socket.on("error", reject).on("close", () => resolve({ session: ticket, reused, text }));
      socket.write(`GET /api/v1/namespaces/default/secrets HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
    });
  const first = await dial();
  const second = await dial(first.session);
  assert.ok(second.reused);
  for (const { text } of [first, second]) assert.match(text, /User \\"system:kube-scheduler\\" cannot list resource/);
});

test("HTTP/2 serves the same, many requests on one connection", async () => {
  const { cert, key, ca } = server.certs.admin;
  const session = http2.connect(server.url, { cert, key, ca });
  const get = (path: string) =>
    new Promise<{ code: number; text: string }>((resolve, reject) => {
      const stream = session.request({ ":path": path });
      let code = 0;
      let text = "";
      stream.on("response", (headers) => (code = Number(headers[":status"])));
      stream.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      stream.on("end", () => resolve({ code, text })).on("error", reject);
      stream.end();
    });
  try {
    const answers = await Promise.all(Array.from({ length: 50 }, () => get("/api/v1/namespaces/default")));
    for (const { code, text } of answers) assert.equal(`${code} ${JSON.parse(text).metadata.name}`, "200 default");
    assert.equal((await get("/nope")).code, 404);
  } finally {
    session.close();
  }
});

test("a server that closes takes nobody in whose handshake was under way, over REST and over gRPC", async () => {
  const closing = await startTestApiserver();
  const sockets: net.Socket[] = [];
  try {
    for (const port of [Number(new URL(closing.url).port), Number(closing.grpcAddress.split(":")[1])]) {
      const socket = net.connect({ host: "127.0.0.1", port });
      sockets.push(socket);
      await new Promise((resolve) => socket.once("connect", resolve));
    }
    assert.equal((await call(closing, "/readyz")).text, "ok"); // so both have been accepted
  } finally {
    await closing.close();
  }
  const ended = sockets.map((socket) => {
    const secure = tls.connect({ socket, rejectUnauthorized: false, ALPNProtocols: ["h2"] });
    return new Promise<void>((resolve) => secure.on("error", () => {}).on("close", () => resolve()));
  });
  await Promise.all(ended);
});
