import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { call, configMap, TestWatch } from "../http.testing.ts";
import { startTestApiserver, type TestApiserver } from "../testing.ts";

let server: TestApiserver;
beforeAll(async () => {
  server = await startTestApiserver();
});
afterAll(() => server?.close());

const maps = "/api/v1/namespaces/default/configmaps";
const send = (path: string, body: object | string, query = "fieldManager=me", type = "application/apply-patch+yaml") =>
  call(server, `${path}?${query}`, { method: "PATCH", body, headers: { "content-type": type } });
const data = (name: string, entries: object) => configMap(name, { data: entries });
const ownersOf = (object: { metadata: { managedFields?: { manager: string; operation: string }[] } }) =>
  (object.metadata.managedFields ?? []).map(({ manager, operation }) => `${manager} ${operation}`);

describe("PATCH with application/apply-patch+yaml", () => {
  test("creates what is not there, with 201, and its owner", async () => {
    const { code, json } = await send(`${maps}/new`, data("new", { a: "1" }));
    expect(code).toBe(201);
    expect(json).toMatchObject({ data: { a: "1" }, metadata: { name: "new", namespace: "default" } });
    expect(json.metadata.managedFields).toEqual([
      {
        manager: "me",
        operation: "Apply",
        apiVersion: "v1",
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/), // a second may pass after the creation's
        fieldsType: "FieldsV1",
        fieldsV1: { "f:data": { "f:a": {} } },
      },
    ]);
  });
  test("merges into what is there, with 200, and takes YAML", async () => {
    await send(`${maps}/merged`, data("merged", { a: "1" }), "fieldManager=other");
    const text = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: merged }\ndata: { b: '2' }\n";
    const { code, json } = await send(`${maps}/merged`, text);
    expect([code, json.data, ownersOf(json).sort()]).toEqual([200, { a: "1", b: "2" }, ["me Apply", "other Apply"]]);
  });
  test("of the same config keeps resourceVersion and times", async () => {
    const first = await send(`${maps}/twice`, data("twice", { a: "1" }));
    const second = await send(`${maps}/twice`, data("twice", { a: "1" }));
    expect([second.code, second.json]).toEqual([200, first.json]);
  });
  test("keeps them also where defaults were added and quantities rewritten", async () => {
    const pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "p" },
      spec: { containers: [{ name: "c", image: "i", resources: { requests: { cpu: "1000m" } } }] },
    };
    const path = "/api/v1/namespaces/default/pods/p";
    const first = await send(path, pod);
    expect(first.code).toBe(201);
    expect((await send(path, pod)).json).toEqual(first.json);
  });
  test("with a foreign value is a 409 with its causes, and force takes over", async () => {
    await call(server, maps, {
      method: "POST",
      body: data("c", { a: "1" }),
      headers: { "user-agent": "curl/8", "content-type": "application/json" },
    });
    const { code, json } = await send(`${maps}/c`, data("c", { a: "2" }));
    expect([code, json.reason, json.message]).toEqual([
      409,
      "Conflict",
      'Apply failed with 1 conflict: conflict with "curl" using v1: .data.a',
    ]);
    expect(json.details.causes).toEqual([
      { reason: "FieldManagerConflict", message: 'conflict with "curl" using v1', field: ".data.a" },
    ]);
    const forced = await send(`${maps}/c`, data("c", { a: "2" }), "fieldManager=me&force=true");
    expect([forced.code, forced.json.data]).toEqual([200, { a: "2" }]);
  });
  test("as a dry run tells, and writes nothing", async () => {
    expect((await send(`${maps}/dry`, data("dry", {}), "fieldManager=me&dryRun=All")).code).toBe(201);
    expect((await call(server, `${maps}/dry`)).code).toBe(404);
  });
  test("does not create through a subresource", async () => {
    const path = "/apis/apps/v1/namespaces/default/deployments/none/status";
    const body = { apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "none" } };
    expect((await send(path, body)).code).toBe(404);
  });
  test.each([
    [
      "without fieldManager",
      "dryRun=All",
      data("x", {}),
      422,
      'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
    ],
    ["with a bell in fieldManager", "fieldManager=a%20b%07", data("x", {}), 422, "invalid character U+0007 (at 3)"],
    ["with a fieldManager that is too long", `fieldManager=${"m".repeat(129)}`, data("x", {}), 422, "Too long"],
    [
      "with managedFields",
      undefined,
      { ...configMap("x"), metadata: { name: "x", managedFields: [] } },
      400,
      "metadata.managedFields must be nil",
    ],
    [
      "for another name",
      undefined,
      data("y", {}),
      400,
      "the name of the object (y) does not match the name on the URL (x)",
    ],
    ["of another kind", undefined, { ...configMap("x"), kind: "Pod" }, 400, "invalid object type: /v1, Kind=Pod"],
    ["that is no YAML", undefined, "a: [", 400, "error decoding YAML: "],
    [
      "with a field twice, when Strict",
      "fieldManager=me&fieldValidation=Strict",
      '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"a":"1","a":"2"}}',
      400,
      'error strict decoding YAML: duplicate field "data.a"',
    ],
    ["with an unknown field", undefined, configMap("x", { foo: 1 }), 500, ".foo: field not declared in schema"],
  ])("%s is refused", async (_, query, body, code, text) => {
    const { json } = await send(`${maps}/x`, body, query);
    expect([json.code, json.message]).toEqual([code, expect.stringContaining(text)]);
  });
});

describe("managedFields are kept", () => {
  test("by create, update and patch, each its own manager; a PUT without them forgets nothing", async () => {
    const json = (agent: string) => ({ "content-type": "application/json", "user-agent": agent });
    await call(server, maps, { method: "POST", body: data("m", { a: "1" }), headers: json("creator/1") });
    await call(server, `${maps}/m`, { method: "PUT", body: data("m", { a: "1", b: "1" }), headers: json("putter/1") });
    const patch = { data: { c: "1" } };
    const patched = await send(`${maps}/m`, patch, "fieldManager=patcher", "application/merge-patch+json");
    expect(ownersOf(patched.json).sort()).toEqual(["creator Update", "patcher Update", "putter Update"]);
  });
  test("of a scale as a subresource of the object", async () => {
    const deployments = "/apis/apps/v1/namespaces/default/deployments";
    const template = { metadata: { labels: { a: "b" } }, spec: { containers: [{ name: "c", image: "i" }] } };
    const spec = { replicas: 1, selector: { matchLabels: { a: "b" } }, template };
    await call(server, deployments, { method: "POST", body: { metadata: { name: "d" }, spec } });
    const body = { spec: { replicas: 3 } };
    await send(`${deployments}/d/scale`, body, "fieldManager=hpa", "application/merge-patch+json");
    const { json } = await call(server, `${deployments}/d`);
    const entry = json.metadata.managedFields.find((e: { manager: string }) => e.manager === "hpa");
    expect(entry).toMatchObject({ subresource: "scale", fieldsV1: { "f:spec": { "f:replicas": {} } } });
  });
  test("and can be replaced, or given up with [{}]", async () => {
    await send(`${maps}/given`, data("given", { a: "1" }));
    const patch = [{ op: "replace", path: "/metadata/managedFields", value: [{}] }];
    const { code, json } = await send(`${maps}/given`, patch, "fieldManager=x", "application/json-patch+json");
    expect([code, ownersOf(json)]).toEqual([200, []]);
  });
  test("without a write when only their times would change", async () => {
    await send(`${maps}/still`, data("still", { a: "1" }));
    const watch = new TestWatch(server, `${maps}?watch=1&fieldSelector=metadata.name%3Dstill`);
    await watch.until(() => watch.events.length > 0);
    await send(`${maps}/still`, data("still", { a: "1" }));
    await send(`${maps}/still`, data("still", { a: "2" }));
    await watch.until(() => watch.events.length > 1);
    expect(watch.events.map(({ object }) => object.data.a)).toEqual(["1", "2"]);
    watch.close();
  });
});
