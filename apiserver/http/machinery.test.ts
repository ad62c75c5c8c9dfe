import assert from "node:assert/strict";
import tls from "node:tls";
import { afterAll, beforeAll, describe, test } from "vitest";
import { call, configMap, pod, type TestRequest, TestWatch } from "../http.testing.ts";
import { startTestApiserver, type TestApiserver } from "../testing.ts";

/** What clients rely on beyond the plain verbs; the shapes and texts are upstream's. */
let server: TestApiserver;
const maps = "/api/v1/namespaces/machinery/configmaps";
const deployments = "/apis/apps/v1/namespaces/machinery/deployments";
beforeAll(async () => {
  server = await startTestApiserver();
  await call(server, "/api/v1/namespaces", post({ metadata: { name: "machinery" } }));
  for (const name of ["a", "b", "c"]) await call(server, maps, post(configMap(name, { data: { k: name } })));
});
afterAll(() => server?.close());

const post = (body: object | string, headers: Record<string, string> = {}): TestRequest => ({
  method: "POST",
  body,
  headers,
});
const patch = (type: string, body: object | string): TestRequest => ({
  method: "PATCH",
  body,
  headers: { "content-type": `application/${type}` },
});
const as = (kind: string) => ({ headers: { accept: `application/json;as=${kind};g=meta.k8s.io;v=v1` } });

describe("a request that cannot be is refused with", () => {
  const yaml = { "content-type": "application/yaml" };
  test.each<[string, string, TestRequest, number, RegExp]>([
    ["504 for a get from the future", `${maps}/a?resourceVersion=99999999`, {}, 504, /^Timeout: Too large resource v/],
    ["422 for Exact at 0", `${maps}?resourceVersion=0&resourceVersionMatch=Exact`, {}, 422, /is forbidden for reso/],
    ["422 for a match that is none", `${maps}?resourceVersion=1&resourceVersionMatch=Some`, {}, 422, /Unsupported va/],
    ["400 for a limit that is no number", `${maps}?limit=abc`, {}, 400, /strconv.ParseInt: parsing "abc": invalid syn/],
    ["400 for a timeout that is no number", `${maps}?watch=true&timeoutSeconds=x`, {}, 400, /parsing "x": invalid/],
    ["422 for sendInitialEvents without a match", `${maps}?watch=1&sendInitialEvents=true`, {}, 422, /NotOlderThan/],
    ["405 for a delete in all namespaces", "/api/v1/configmaps", { method: "DELETE" }, 405, /not supported/],
    ["405 for a create in no namespace", "/api/v1/configmaps", post(configMap("x")), 405, /not supported/],
    ["405 for an update of no name", maps, { method: "PUT", body: configMap("x") }, 405, /update is not supported/],
    ["405 for a patch of no name", maps, patch("merge-patch+json", {}), 405, /patch is not supported/],
    ["405 for a create at a name", `${maps}/x`, post(configMap("x")), 405, /create is not supported/],
    ["406 for a list that shall be one", maps, as("PartialObjectMetadata"), 406, /but the requested object is a list/],
    ["406 for one that shall be a list", `${maps}/a`, as("PartialObjectMetadataList"), 406, /is not a list/],
    [
      "406 for protobuf of metadata alone",
      maps,
      { headers: { accept: "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1" } },
      406,
      /media types/,
    ],
    ["422 for a dry run of a part", `${maps}?dryRun=Some`, post(configMap("x")), 422, /Unsupported value: "Some"/],
    ["422 for a validation that is none", `${maps}?fieldValidation=Some`, post(configMap("x")), 422, /Unsupported va/],
    ["400 for a version at creation", maps, post({ metadata: { name: "x", resourceVersion: "1" } }), 400, /should not/],
    ["422 for no name", maps, post({ metadata: {} }), 422, /name or generateName is required/],
    ["422 for a bad base", maps, post({ metadata: { generateName: "Bad_" } }), 422, /metadata.generateName: Invalid/],
    ["409 for what is there", maps, post(configMap("a")), 409, /^configmaps "a" already exists$/],
    ["400 for another name", `${maps}/a`, { method: "PUT", body: configMap("b") }, 400, /does not match the name on/],
    ["404 for what is not", `${maps}/x`, { method: "PUT", body: configMap("x") }, 404, /^configmaps "x" not found$/],
    ["409 for another uid", `${maps}/a`, patch("merge-patch+json", { metadata: { uid: "x" } }), 409, /UID in precondi/],
    [
      "409 for an old version",
      `${maps}/a`,
      patch("merge-patch+json", { metadata: { resourceVersion: "1" } }),
      409,
      /mod/,
    ],
    [
      "409 for an old version in a JSON patch",
      `${maps}/a`,
      patch("json-patch+json", [{ op: "replace", path: "/metadata/resourceVersion", value: "1" }]),
      409,
      /the object has been modified; please apply your changes to the latest version and try again$/,
    ],
    [
      "422 for a patch that makes nonsense of the object",
      `${maps}/a`,
      patch("merge-patch+json", { data: 1 }),
      422,
      /^ "" is invalid: patch: Invalid value: "\{.*\\"data\\":1\}": json: cannot unmarshal number into Go struct field/,
    ],
    [
      "422 for a strategic one with an unknown field",
      `${maps}/a?fieldValidation=Strict`,
      patch("strategic-merge-patch+json", { bar: [{ a: null }] }),
      422,
      /patch: Invalid value: "map\[bar:\[map\[a:<nil>\]\]\]": strict decoding error: unknown field "bar"$/,
    ],
    ["415 for a patch of no type", `${maps}/a`, { method: "PATCH", body: "{}" }, 415, /strategic-merge-patch/],
    ["422 for force without apply", `${maps}/a?force=true`, patch("merge-patch+json", {}), 422, /non-apply patch/],
    [
      "409 for the wrong precondition",
      `${maps}/a`,
      { method: "DELETE", body: { preconditions: { uid: "x" } } },
      409,
      /the UID in the precondition \(x\) does not match the UID in record/,
    ],
    [
      "422 for two ways to cascade",
      `${maps}/a`,
      { method: "DELETE", body: { orphanDependents: true, propagationPolicy: "Orphan" } },
      422,
      /orphanDependents and deletionPropagation cannot be both set/,
    ],
    ["400 for truncated options", `${maps}/a`, { method: "DELETE", body: '{"kind":' }, 400, /unexpected end of JSON/],
    [
      "400 for a number that is too large",
      deployments,
      post('{"spec":{"replicas":99999999999}}'),
      400,
      /of type int32/,
    ],
    ["400 for a number without end", maps, post('{"metadata":{"generation":1e400}}'), 400, /cannot unmarshal number/],
    ["400 for half a replica", deployments, post('{"spec":{"replicas":1.5}}'), 400, /cannot unmarshal number 1.5/],
    [
      "400 for fields that are unknown or stand twice",
      `${maps}?fieldValidation=Strict`,
      post('{"metadata":{"name":"d","name":"e","foo":1},"data":{"a":"1","a":"2"},"bar":1}'),
      400,
      /duplicate field "metadata.name", unknown field "metadata.foo", duplicate field "data.a", unknown field "bar"$/,
    ],
    [
      "400 for the same in YAML",
      `${maps}?fieldValidation=Strict`,
      post("metadata:\n  name: d\n  name: e\nbar: 1\n", yaml),
      400,
      /yaml: unmarshal errors:\n {2}line 3: key "name" already set in map, unknown field "bar"$/,
    ],
  ])("%s", async (_name, path, request, code, message) => {
    const { code: found, text, json } = await call(server, path, request);
    assert.equal(found, code, text);
    assert.match(json.message, message);
    assert.deepEqual([json.kind, json.status, json.code], ["Status", "Failure", code]);
    assert.ok(json.reason);
  });
});

describe("dry runs", () => {
  const dry = (path: string, request: TestRequest) => call(server, `${path}?dryRun=All`, request);

  test("answer as the real thing would, and leave no trace", async () => {
    const before = (await call(server, maps)).json;
    const created = await dry(maps, post({ metadata: { generateName: "g-" } }));
    assert.match(created.json.metadata.name, /^g-[bcdfghjklmnpqrstvwxz2456789]{5}$/);
    assert.deepEqual([created.code, created.json.metadata.resourceVersion], [201, undefined]);
    const finalized = { ...before.items[0].metadata, finalizers: ["kubelab.io/x"] };
    const updated = await dry(`${maps}/a`, { method: "PUT", body: { ...before.items[0], metadata: finalized } });
    assert.deepEqual(updated.json.metadata.finalizers, ["kubelab.io/x"]);
    const patched = await dry(`${maps}/a`, patch("merge-patch+json", { data: { k: "other" } }));
    assert.equal(patched.json.data.k, "other");
    const deleted = await call(server, `${maps}/a`, { method: "DELETE", body: { dryRun: ["All"] } });
    assert.deepEqual([deleted.code, deleted.json.status], [200, "Success"]);
    const all = await dry(maps, { method: "DELETE" });
    assert.equal(all.json.items.length, before.items.length);
    assert.deepEqual((await call(server, maps)).json.items, before.items);
    assert.equal((await dry(maps, post(configMap("a")))).code, 409);
  });

  test("give no address and no port away", async () => {
    const services = "/api/v1/namespaces/machinery/services";
    const service = { metadata: { name: "s" }, spec: { type: "NodePort", ports: [{ port: 80, nodePort: 30080 }] } };
    for (let i = 0; i < 2; i++) assert.equal((await dry(services, post(service))).code, 201);
    assert.equal((await call(server, services, post(service))).code, 201);
  });
});

describe("forms of an answer", () => {
  test("JSON, YAML, a Table with its objects or without", async () => {
    const yaml = await call(server, `${maps}/a`, { headers: { accept: "application/yaml" } });
    assert.equal(yaml.headers["content-type"], "application/yaml");
    assert.match(yaml.text, /^kind: ConfigMap\napiVersion: v1\nmetadata:\n/);
    const rows = async (include: string) =>
      (await call(server, `${maps}?includeObject=${include}&limit=1`, as("Table"))).json.rows[0].object;
    assert.equal(await rows("None"), null);
    assert.equal((await rows("Metadata")).kind, "PartialObjectMetadata");
    assert.deepEqual((await rows("Object")).data, { k: "a" });
  });

  test("metadata alone, of one, of a list, of a watch and of a patch", async () => {
    const one = await call(server, `${maps}/a`, as("PartialObjectMetadata"));
    assert.deepEqual(Object.keys(one.json), ["kind", "apiVersion", "metadata"]);
    const list = await call(server, maps, as("PartialObjectMetadataList"));
    assert.deepEqual([list.json.kind, list.json.items[0].kind], ["PartialObjectMetadataList", "PartialObjectMetadata"]);
    const watch = new TestWatch(server, `${maps}?watch=true`, as("PartialObjectMetadata").headers);
    await watch.until(() => watch.events.length >= 3);
    assert.ok(watch.events.every(({ object }) => object.kind === "PartialObjectMetadata" && !object.data));
    watch.close();
    const { headers } = as("PartialObjectMetadata");
    const patched = await call(server, `${maps}/a`, {
      ...patch("merge-patch+json", { metadata: { labels: { x: "y" } } }),
      headers: { ...headers, "content-type": "application/merge-patch+json" },
    });
    assert.deepEqual([patched.json.kind, patched.json.metadata.labels], ["PartialObjectMetadata", { x: "y" }]);
  });

  test("a body may come as YAML, with its Content-Type in any spelling", async () => {
    const yaml = "kind: ConfigMap\napiVersion: v1\nmetadata:\n  name: yaml\ndata: {k: v}\n";
    const created = await call(server, maps, post(yaml, { "content-type": "application/yaml; charset=utf-8" }));
    assert.deepEqual([created.code, created.json.data], [201, { k: "v" }]);
  });
});

describe("watches", () => {
  test("the older path of a watch still is one", async () => {
    const watch = new TestWatch(server, "/api/v1/watch/namespaces/machinery/configmaps/a");
    await watch.until(() => watch.events.length > 0);
    assert.deepEqual(watch.lines, ["ADDED a"]);
    watch.close();
  });

  test("WatchList: what is there, the bookmark that says so, then live; nothing is missed in between", async () => {
    const query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    const watch = new TestWatch(server, `${maps}?${query}&fieldSelector=metadata.name%3Db`);
    await watch.until(() => watch.events.some(({ type }) => type === "BOOKMARK"));
    await call(server, `${maps}/b`, patch("merge-patch+json", { data: { live: "1" } }));
    await watch.until(() => watch.events.length === 3);
    assert.deepEqual(
      watch.events.map(({ type }) => type),
      ["ADDED", "BOOKMARK", "MODIFIED"],
    );
    const [, bookmark] = watch.events;
    assert.deepEqual(bookmark!.object.metadata.annotations, { "k8s.io/initial-events-end": "true" });
    assert.deepEqual([bookmark!.object.kind, bookmark!.object.apiVersion], ["ConfigMap", "v1"]);
    watch.close();
  });
});

describe("deletion", () => {
  test("of one that stays says 202 only to who asks the old way not to orphan", async () => {
    const held = (name: string) =>
      call(server, maps, post({ ...configMap(name), metadata: { name, finalizers: ["kubelab.io/x"] } }));
    await held("held-1");
    await held("held-2");
    assert.equal((await call(server, `${maps}/held-1`, { method: "DELETE" })).code, 200);
    const old = await call(server, `${maps}/held-2`, { method: "DELETE", body: { orphanDependents: false } });
    assert.equal(old.code, 202);
    const more = patch("merge-patch+json", { metadata: { finalizers: ["kubelab.io/x", "kubelab.io/y"] } });
    const added = await call(server, `${maps}/held-1`, more);
    assert.match(added.json.message, /no new finalizers can be added if the object is being deleted/);
  });

  test("of a collection goes by labels, fields and limit", async () => {
    const set = { labels: { set: "1" } };
    for (const name of ["d-1", "d-2", "d-3"])
      await call(server, maps, post({ ...configMap(name), metadata: { name, ...set } }));
    const byField = await call(server, `${maps}?fieldSelector=metadata.name%3Dd-3`, { method: "DELETE" });
    assert.deepEqual(
      byField.json.items.map(({ metadata }: { metadata: { name: string } }) => metadata.name),
      ["d-3"],
    );
    const one = await call(server, `${maps}?labelSelector=set%3D1&limit=1`, { method: "DELETE" });
    assert.equal(one.json.items.length, 1);
    assert.equal((await call(server, `${maps}?labelSelector=set`)).json.items.length, 1);
  });
});

/** The example of the articles: what `kubectl run` sends, and all that comes back. */
test("a bare Pod is defaulted exactly", async () => {
  const sent = {
    kind: "Pod",
    apiVersion: "v1",
    metadata: { name: "nginx-17", creationTimestamp: null, labels: { run: "nginx-17" } },
    spec: {
      containers: [{ name: "nginx-17", image: "nginx:alpine", resources: {} }],
      restartPolicy: "Always",
      dnsPolicy: "ClusterFirst",
    },
    status: {},
  };
  const path = "/api/v1/namespaces/machinery/pods?dryRun=All&fieldManager=kubectl-run";
  const { code, json } = await call(server, path, post(sent));
  assert.equal(code, 201);
  // What admission adds beside (an account, its token's volume, a priority) is admission's to test.
  const { serviceAccountName, serviceAccount, priority, preemptionPolicy, volumes = [], ...spec } = json.spec;
  const [{ volumeMounts: _, ...container }] = spec.containers;
  assert.deepEqual(
    { ...spec, containers: [container] },
    {
      containers: [
        {
          name: "nginx-17",
          image: "nginx:alpine",
          resources: {},
          terminationMessagePath: "/dev/termination-log",
          terminationMessagePolicy: "File",
          imagePullPolicy: "IfNotPresent",
        },
      ],
      restartPolicy: "Always",
      terminationGracePeriodSeconds: 30,
      dnsPolicy: "ClusterFirst",
      securityContext: {},
      schedulerName: "default-scheduler",
      tolerations: ["not-ready", "unreachable"].map((key) => ({
        key: `node.kubernetes.io/${key}`,
        operator: "Exists",
        effect: "NoExecute",
        tolerationSeconds: 300,
      })),
      enableServiceLinks: true,
    },
  );
  assert.deepEqual(json.status, { phase: "Pending", qosClass: "BestEffort" });
  const { uid, creationTimestamp, managedFields, ...metadata } = json.metadata;
  assert.deepEqual(metadata, {
    name: "nginx-17",
    namespace: "machinery",
    labels: { run: "nginx-17" },
    generation: 1,
  });
  assert.equal(managedFields[0].manager, "kubectl-run");
  assert.equal((await call(server, "/api/v1/namespaces/machinery/pods")).json.items.length, 0);
});

describe("hostile clients", () => {
  test("URLs of absurd length and depth get their answer", async () => {
    const long = `${maps}?labelSelector=${encodeURIComponent(`a in (${"b,".repeat(20_000)}b)`)}`;
    assert.equal((await call(server, long)).code, 200);
    assert.equal((await call(server, `${maps}/${"a/".repeat(5000)}`)).code, 404);
    assert.equal((await call(server, "/%00")).code, 400);
    assert.equal((await call(server, `/api/v1//namespaces//machinery/configmaps/a`)).code, 200);
  });

  test("selectors of any kind are matched or refused, quickly", async () => {
    for (const selector of [
      "=",
      "!",
      "a in (",
      "a in (b",
      "(",
      ",",
      "a==b==c",
      "!a=b",
      "a notin",
      `${"!".repeat(999)}a`,
    ])
      assert.ok(
        [200, 400].includes((await call(server, `${maps}?labelSelector=${encodeURIComponent(selector)}`)).code),
      );
    const many = Array.from({ length: 2000 }, (_, i) => `k${i}!=v`).join(",");
    assert.equal((await call(server, `${maps}?labelSelector=${encodeURIComponent(many)}`)).code, 200);
  });

  test("a JSON patch that doubles what it copies is refused before it is large", async () => {
    const doubling = Array.from({ length: 60 }, (_, i) => ({ op: "copy", from: "/data", path: `/data/x${i}` }));
    const { code } = await call(server, `${maps}/c`, patch("json-patch+json", doubling));
    assert.equal(code, 422);
  });

  test("a YAML bomb is refused before it is expanded", async () => {
    const bomb = ["a: &a [x,x,x,x,x,x,x,x,x]"];
    for (const [i, name] of [..."bcdefghi"].entries())
      bomb.push(`${name}: &${name} [${Array(9).fill(`*${"abcdefgh"[i]}`).join(",")}]`);
    const { code, json } = await call(server, maps, post(bomb.join("\n"), { "content-type": "application/yaml" }));
    assert.equal(code, 400);
    assert.match(json.message, /Excessive alias count|excessive aliasing/);
  });

  test("a client that sends its body byte by byte holds nobody up, and idle watches cost nothing", async () => {
    const url = new URL(server.url);
    const { cert, key, ca } = server.certs.admin;
    const options = { host: url.hostname, port: Number(url.port), cert, key, ca, ALPNProtocols: ["http/1.1"] };
    const slow = tls.connect(options);
    slow.write(`POST ${maps} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{`);
    const watches = Array.from({ length: 50 }, () => new TestWatch(server, `${maps}?watch=true&labelSelector=never`));
    await Promise.all(Array.from({ length: 20 }, () => call(server, `${maps}/a`)));
    for (const watch of watches) watch.close();
    slow.destroy();
    assert.equal((await call(server, "/readyz")).text, "ok");
  });

  test("a Pod's rejected status says everything that is wrong with it at once", async () => {
    const bad = pod("UPPER", { containers: [{ name: "-", image: "" }], restartPolicy: "Sometimes" });
    const { json } = await call(server, "/api/v1/namespaces/machinery/pods", post(bad));
    assert.deepEqual(
      json.details.causes.map(({ field }: { field: string }) => field),
      ["metadata.name", "spec.containers[0].name", "spec.containers[0].image", "spec.restartPolicy"],
    );
  });
});
