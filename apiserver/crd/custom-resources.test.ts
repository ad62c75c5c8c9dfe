import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { call, TestWatch } from "../http.testing.ts";
import { startTestApiserver, type TestApiserver } from "../testing.ts";
import { define, definition, definitionsPath, established, patchAs } from "./testing.ts";

let server: TestApiserver;
beforeAll(async () => {
  server = await startTestApiserver();
});
afterAll(() => server?.close());

const post = (body: object) => ({ method: "POST", body });
const at = (plural: string, name = "", version = "v1") =>
  `/apis/example.com/${version}/namespaces/default/${plural}${name && `/${name}`}`;
const codeAndText = ({ code, json }: Awaited<ReturnType<typeof call>>) => [code, json.message];

const cronTab = {
  type: "object",
  required: ["spec"],
  properties: {
    spec: {
      type: "object",
      required: ["cron"],
      properties: {
        cron: { type: "string", pattern: "^\\d+$", maxLength: 5 },
        replicas: { type: "integer", minimum: 1, maximum: 10, default: 1 },
        mode: { type: "string", enum: ["fast", "slow"] },
        port: { "x-kubernetes-int-or-string": true },
        when: { type: "string", format: "date-time" },
        note: { type: "string", nullable: true },
        labels: { type: "object", additionalProperties: { type: "string" } },
        tags: { type: "array", "x-kubernetes-list-type": "set", items: { type: "string" }, maxItems: 2 },
        parts: {
          type: "array",
          "x-kubernetes-list-type": "map",
          "x-kubernetes-list-map-keys": ["name"],
          items: {
            type: "object",
            required: ["name"],
            properties: { name: { type: "string" }, size: { type: "integer", default: 7 } },
          },
        },
        template: {
          type: "object",
          "x-kubernetes-embedded-resource": true,
          "x-kubernetes-preserve-unknown-fields": true,
        },
        free: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
        either: {
          type: "object",
          properties: { a: { type: "string" }, b: { type: "string" } },
          oneOf: [{ required: ["a"] }, { required: ["b"] }],
        },
      },
    },
    status: {
      type: "object",
      properties: { replicas: { type: "integer" }, selector: { type: "string" }, phase: { type: "string" } },
    },
  },
};
const columns = [
  { name: "Cron", type: "string", jsonPath: ".spec.cron" },
  { name: "Replicas", type: "integer", jsonPath: ".spec.replicas", priority: 1 },
  { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
];
const subresources = {
  status: {},
  scale: {
    specReplicasPath: ".spec.replicas",
    statusReplicasPath: ".status.replicas",
    labelSelectorPath: ".status.selector",
  },
};
const object = (name: string, spec: object, more: object = {}) => ({
  apiVersion: "example.com/v1",
  kind: "CronTab",
  metadata: { name },
  spec,
  ...more,
});

describe("a custom resource with a schema", () => {
  beforeAll(async () => {
    const version = { additionalPrinterColumns: columns, subresources, selectableFields: [{ jsonPath: ".spec.mode" }] };
    const names = { plural: "crontabs", kind: "CronTab", shortNames: ["ct"], categories: ["all"] };
    await define(server, definition("crontabs", "CronTab", cronTab, { version, spec: { names } }));
  });

  test("is created with defaults, pruned, with uid and generation", async () => {
    const body = object(
      "one",
      { cron: "12", extra: 1, parts: [{ name: "a" }], note: null },
      { status: { phase: "x" } },
    );
    const { code, json } = await call(server, at("crontabs"), post(body));
    assert.equal(code, 201, JSON.stringify(json));
    assert.deepEqual(json.spec, { cron: "12", replicas: 1, parts: [{ name: "a", size: 7 }], note: null });
    assert.deepEqual([json.status, json.metadata.generation], [undefined, 1]);
    assert.match(json.metadata.uid, /-/);
    const stored = await server.etcd.range({ key: "/registry/example.com/crontabs/default/one" });
    assert.match(Buffer.from(stored.kvs[0]!.value).toString(), /^\{"kind":"CronTab","apiVersion":"example.com\/v1",/);
  });

  test("tells every problem in upstream's words", async () => {
    const spec = {
      cron: "a123456",
      replicas: 11,
      mode: "odd",
      port: true,
      when: "yesterday",
      labels: { a: 1 },
      tags: ["a", "a", "b"],
      parts: [{ name: "x" }, { name: "x" }],
      either: {},
      template: { kind: "Pod" },
    };
    const { code, json } = await call(server, at("crontabs"), post(object("bad", spec)));
    assert.equal(code, 422);
    const causes = json.details.causes.map(
      ({ field, message }: { field: string; message: string }) => `${field}: ${message}`,
    );
    assert.deepEqual(
      causes.sort(),
      [
        '<nil>: Invalid value: "": "spec.either" must validate one and only one schema (oneOf). Found none valid',
        "spec.cron: Invalid value: \"a123456\": spec.cron in body should match '^\\d+$'",
        "spec.cron: Too long: may not be more than 5 bytes",
        'spec.labels.a: Invalid value: "integer": spec.labels.a in body must be of type string: "integer"',
        'spec.mode: Unsupported value: "odd": supported values: "fast", "slow"',
        'spec.parts[1]: Duplicate value: {"name":"x"}',
        'spec.port: Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean"',
        "spec.replicas: Invalid value: 11: spec.replicas in body should be less than or equal to 10",
        'spec.tags[1]: Duplicate value: "a"',
        "spec.tags: Too many: 3: must have at most 2 items",
        "spec.template.apiVersion: Required value: must not be empty",
        'spec.when: Invalid value: "yesterday": spec.when in body must be of type date-time: "yesterday"',
      ].sort(),
    );
    const none = await call(server, at("crontabs"), post({ ...object("none", {}), spec: undefined }));
    assert.deepEqual(codeAndText(none), [422, 'CronTab.example.com "none" is invalid: spec: Required value']);
  });

  test("status is written at /status only, and generation counts the rest", async () => {
    await call(server, at("crontabs"), post(object("two", { cron: "1" })));
    const { json: old } = await call(server, at("crontabs", "two"));
    const main = await call(server, at("crontabs", "two"), {
      method: "PUT",
      body: { ...old, spec: { cron: "2" }, status: { phase: "no" } },
    });
    assert.deepEqual([main.json.metadata.generation, main.json.status], [2, undefined]);
    const status = await call(server, `${at("crontabs", "two")}/status`, {
      method: "PUT",
      body: {
        ...main.json,
        metadata: { ...main.json.metadata, labels: { a: "b" } },
        spec: { cron: "3" },
        status: { phase: "yes" },
      },
    });
    assert.deepEqual(
      [status.json.metadata.generation, status.json.metadata.labels, status.json.spec.cron, status.json.status],
      [2, undefined, "2", { phase: "yes" }],
    );
    const { resourceVersion: _, ...metadata } = old.metadata;
    const blind = await call(server, at("crontabs", "two"), { method: "PUT", body: { ...old, metadata } });
    assert.deepEqual(codeAndText(blind), [
      422,
      'CronTab.example.com "two" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update',
    ]);
  });

  test("scale reads and writes by the paths of the definition", async () => {
    await call(server, at("crontabs"), post(object("scaled", { cron: "1", replicas: 3 })));
    await call(
      server,
      `${at("crontabs", "scaled")}/status`,
      patchAs("merge-patch+json", { status: { replicas: 2, selector: "a=b" } }),
    );
    const url = `${at("crontabs", "scaled")}/scale`;
    const { json } = await call(server, url);
    assert.deepEqual([json.kind, json.spec, json.status], ["Scale", { replicas: 3 }, { replicas: 2, selector: "a=b" }]);
    const put = await call(server, url, { method: "PUT", body: { ...json, spec: { replicas: 5 } } });
    assert.equal(put.json.spec.replicas, 5, put.text);
    assert.equal((await call(server, at("crontabs", "scaled"))).json.spec.replicas, 5);
    const patched = await call(server, url, patchAs("merge-patch+json", { spec: { replicas: 50 } }));
    assert.match(patched.json.message, /spec.replicas: Invalid value: 50/);
  });

  test("tables have the columns of the definition", async () => {
    const accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    const { json } = await call(server, at("crontabs", "one"), { headers: { accept } });
    assert.deepEqual(
      json.columnDefinitions.map(({ name, type, priority }: { name: string; type: string; priority: number }) => [
        name,
        type,
        priority,
      ]),
      [
        ["Name", "string", 0],
        ["Cron", "string", 0],
        ["Replicas", "integer", 1],
        ["Age", "date", 0],
      ],
    );
    assert.deepEqual(json.rows[0].cells.slice(0, 3), ["one", "12", 1]);
    assert.match(json.rows[0].cells[3], /^\d+s$/);
  });

  test("field selectors know the selectable fields, and no others", async () => {
    await call(server, at("crontabs"), post(object("fast", { cron: "1", mode: "fast" })));
    const { json } = await call(server, `${at("crontabs")}?fieldSelector=spec.mode%3Dfast`);
    assert.deepEqual(
      json.items.map((item: { metadata: { name: string } }) => item.metadata.name),
      ["fast"],
    );
    assert.equal((await call(server, `${at("crontabs")}?fieldSelector=spec.cron%3D1`)).code, 400);
  });

  test("patches: JSON and merge are taken, strategic merge is not", async () => {
    await call(server, at("crontabs"), post(object("patched", { cron: "1" })));
    const url = at("crontabs", "patched");
    const merged = await call(server, url, patchAs("merge-patch+json", { spec: { replicas: 4 } }));
    assert.equal(merged.json.spec.replicas, 4);
    const json = await call(
      server,
      url,
      patchAs("json-patch+json", [{ op: "replace", path: "/spec/cron", value: "9" }]),
    );
    assert.equal(json.json.spec.cron, "9");
    assert.deepEqual(codeAndText(await call(server, url, patchAs("strategic-merge-patch+json", {}))), [
      415,
      "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
    ]);
  });

  test("server-side apply merges lists by the keys of the schema", async () => {
    const url = (manager: string) => `${at("crontabs", "applied")}?fieldManager=${manager}`;
    const apply = (manager: string, spec: object) =>
      call(server, url(manager), patchAs("apply-patch+yaml", object("applied", spec)));
    const first = await apply("a", { cron: "1", parts: [{ name: "x", size: 1 }], free: { deep: { n: 1 } } });
    assert.equal(first.code, 201, first.text);
    const second = await apply("b", { cron: "1", parts: [{ name: "y", size: 2 }], free: { deep: { m: [1] } } });
    assert.deepEqual(second.json.spec.parts, [
      { name: "x", size: 1 },
      { name: "y", size: 2 },
    ]);
    assert.deepEqual(second.json.spec.free, { deep: { n: 1, m: [1] } });
    assert.deepEqual(second.json.metadata.managedFields[1].fieldsV1["f:spec"]["f:parts"], {
      'k:{"name":"y"}': { ".": {}, "f:name": {}, "f:size": {} },
    });
    const conflict = await apply("b", { cron: "2", parts: [{ name: "y", size: 2 }] });
    assert.equal(conflict.code, 409);
    assert.match(conflict.json.message, /conflict with "a": \.spec\.cron/);
    const less = await apply("a", { cron: "1" });
    assert.deepEqual([less.json.spec.parts, less.json.spec.free], [[{ name: "y", size: 2 }], { deep: { m: [1] } }]);
    const wrong = await apply("a", { cron: "1", unknown: 1 });
    assert.match(wrong.json.message, /\.spec\.unknown: field not declared in schema/);
  });

  test("watch tells every change; dry run, finalizers and deletecollection work", async () => {
    const watch = new TestWatch(server, `${at("crontabs")}?watch=true&labelSelector=watched&allowWatchBookmarks=true`);
    const labelled = (name: string, metadata: object = {}) => ({
      ...object(name, { cron: "1" }),
      metadata: { name, labels: { watched: "" }, ...metadata },
    });
    await call(server, `${at("crontabs")}?dryRun=All`, post(labelled("dry")));
    assert.equal((await call(server, at("crontabs", "dry"))).code, 404);
    await call(server, at("crontabs"), post(labelled("w1", { finalizers: ["example.com/wait"] })));
    await call(server, at("crontabs"), post(labelled("w2")));
    const deleted = await call(server, `${at("crontabs")}?labelSelector=watched`, { method: "DELETE" });
    assert.equal(deleted.json.items.length, 2, deleted.text);
    await call(server, at("crontabs", "w1"), patchAs("merge-patch+json", { metadata: { finalizers: null } }));
    await watch.until(() => watch.lines.includes("DELETED w1"));
    assert.deepEqual([...watch.lines].sort(), ["ADDED w1", "ADDED w2", "DELETED w1", "DELETED w2", "MODIFIED w1"]);
    watch.close();
  });

  test("should create/apply an invalid CR with extra properties for CRD with validation schema", async () => {
    const body = object("strict", { cron: "1", extra: 1, parts: [{ name: "a", odd: 1 }] });
    const { code, json } = await call(server, `${at("crontabs")}?fieldValidation=Strict`, post(body));
    assert.deepEqual(
      [code, json.message],
      [
        400,
        'CronTab in version "v1" cannot be handled as a CronTab: strict decoding error: unknown field "spec.extra", unknown field "spec.parts[0].odd"',
      ],
    );
    const warned = await call(server, at("crontabs"), post(body));
    assert.match(String(warned.headers["warning"]), /299 - "unknown field \\"spec.extra\\""/);
  });

  test("should detect unknown metadata fields in both the root and embedded object of a CR", async () => {
    const template = { apiVersion: "v1", kind: "Pod", metadata: { name: "p", odd: 1 }, spec: { any: 1 } };
    const body = object("meta", { cron: "1", template }, { metadata: { name: "meta", odd: 1 } });
    const { json } = await call(server, `${at("crontabs")}?fieldValidation=Strict`, post(body));
    assert.match(
      json.message,
      /strict decoding error: unknown field "metadata.odd", unknown field "spec.template.metadata.odd"$/,
    );
  });

  test("should detect duplicates in a CR when preserving unknown fields", async () => {
    const text = JSON.stringify(object("twice", { cron: "1", free: { a: 1 } })).replace('"a":1', '"a":1,"a":2');
    const { json } = await call(server, `${at("crontabs")}?fieldValidation=Strict`, { method: "POST", body: text });
    assert.match(json.message, /strict decoding error: duplicate field "spec.free.a"$/);
  });

  test("protobuf bodies are refused; another apiVersion is told", async () => {
    const headers = { "content-type": "application/vnd.kubernetes.protobuf" };
    assert.equal(
      (await call(server, at("crontabs"), { method: "POST", body: Buffer.from("k8s\0"), headers })).code,
      415,
    );
    const other = await call(
      server,
      at("crontabs"),
      post({ ...object("v", { cron: "1" }), apiVersion: "example.com/v2" }),
    );
    assert.deepEqual(codeAndText(other), [
      400,
      "the API version in the data (example.com/v2) does not match the expected API version (example.com/v1)",
    ]);
  });

  test("what has not changed is not validated again", async () => {
    await call(server, at("crontabs"), post(object("ratchet", { cron: "1", mode: "slow" })));
    const tighter = structuredClone(cronTab) as { properties: { spec: { properties: Record<string, object> } } };
    tighter.properties.spec.properties["mode"] = { type: "string", enum: ["fast"] };
    const crd = await call(server, `${definitionsPath}/crontabs.example.com`);
    crd.json.spec.versions[0].schema.openAPIV3Schema = tighter;
    const put = await call(server, `${definitionsPath}/crontabs.example.com`, { method: "PUT", body: crd.json });
    assert.equal(put.code, 200, put.text);
    assert.equal(
      (await call(server, at("crontabs", "ratchet"), patchAs("merge-patch+json", { spec: { cron: "2" } }))).code,
      200,
    );
    const changed = await call(
      server,
      at("crontabs", "ratchet"),
      patchAs("merge-patch+json", { spec: { mode: "odd" } }),
    );
    assert.match(changed.json.message, /Unsupported value: "odd": supported values: "fast"/);
  });
});

describe("definitions", () => {
  test("should include custom resource definition resources in discovery documents", async () => {
    const groups = (await call(server, "/apis")).json.groups.map(({ name }: { name: string }) => name);
    assert.ok(groups.includes("apiextensions.k8s.io") && groups.includes("example.com"));
    const list = (await call(server, "/apis/example.com/v1")).json.resources.map(({ name }: { name: string }) => name);
    assert.deepEqual(list, ["crontabs", "crontabs/status", "crontabs/scale"]);
    const accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    const { items } = (await call(server, "/apis", { headers: { accept } })).json;
    const own = items.find(({ metadata }: { metadata: { name: string } }) => metadata.name === "example.com");
    assert.deepEqual(own.versions[0].resources[0].shortNames, ["ct"]);
  });

  test("Simple CustomResourceDefinition getting/updating/patching custom resource definition status sub-resource works", async () => {
    const url = `${definitionsPath}/crontabs.example.com/status`;
    const { json } = await call(server, url);
    assert.deepEqual(json.status.acceptedNames, {
      plural: "crontabs",
      singular: "crontab",
      shortNames: ["ct"],
      kind: "CronTab",
      listKind: "CronTabList",
      categories: ["all"],
    });
    assert.deepEqual(
      json.status.conditions.map((c: Record<string, string>) => [c["type"], c["status"], c["reason"], c["message"]]),
      [
        ["NamesAccepted", "True", "NoConflicts", "no conflicts found"],
        ["Established", "True", "InitialNamesAccepted", "the initial names have been accepted"],
      ],
    );
    assert.deepEqual(json.status.storedVersions, ["v1"]);
    const condition = {
      type: "Test",
      status: "True",
      reason: "R",
      message: "M",
      lastTransitionTime: "2026-01-01T00:00:00Z",
    };
    const patched = await call(
      server,
      url,
      patchAs("merge-patch+json", { status: { conditions: [...json.status.conditions, condition] } }),
    );
    assert.equal(patched.json.status.conditions.length, 3);
  });

  test("names that others have are not accepted, until they are free", async () => {
    const rival = definition("rivals", "Rival", undefined, {
      spec: { names: { plural: "rivals", kind: "CronTab", shortNames: ["ct"] } },
    });
    await call(server, definitionsPath, post(rival));
    const watch = new TestWatch(
      server,
      `${definitionsPath}?watch=true&fieldSelector=metadata.name%3Drivals.example.com`,
    );
    const state = (object: { status?: { conditions?: Record<string, string>[] } }) =>
      object.status?.conditions?.map((c) => `${c["type"]}=${c["status"]}/${c["reason"]}`).join(" ");
    await watch.until(() => watch.events.some(({ object }) => state(object)));
    assert.equal(
      state(watch.events.at(-1)!.object),
      "NamesAccepted=False/ListKindConflict Established=False/NotAccepted",
    );
    assert.equal((await call(server, at("rivals"))).code, 404);
    const renamed = { spec: { names: { kind: "Rival", listKind: "RivalList", singular: "rival", shortNames: null } } };
    await call(server, `${definitionsPath}/rivals.example.com`, patchAs("merge-patch+json", renamed));
    await established(server, "rivals.example.com");
    assert.equal((await call(server, at("rivals"))).code, 200);
    watch.close();
  });

  test("a definition is decoded strictly, below items and additionalProperties, too", async () => {
    const items = { type: "string", odd: 1 };
    const schema = {
      type: "object",
      properties: { a: { type: "array", items }, b: { type: "object", additionalProperties: items } },
    };
    const { json } = await call(
      server,
      `${definitionsPath}?fieldValidation=Strict`,
      post(definition("stricts", "Strict", schema)),
    );
    const at = "spec.versions[0].schema.openAPIV3Schema.properties";
    assert.match(json.message, /strict decoding error: unknown field/);
    for (const place of ["a.items.odd", "b.additionalProperties.odd"])
      assert.ok(json.message.includes(`"${at}.${place}"`));
  });

  test("a bad definition is told all its problems", async () => {
    const schema = {
      type: "object",
      properties: { spec: { properties: { a: { type: "array" }, b: { type: "string", default: 1 } } } },
    };
    const bad = definition("bads", "Bad", schema, { spec: { group: "nodot", scope: "Odd" } });
    const { code, json } = await call(
      server,
      definitionsPath,
      post({ ...bad, metadata: { name: "bads.example.com" } }),
    );
    assert.equal(code, 422);
    assert.deepEqual(
      json.details.causes.map(({ field, message }: { field: string; message: string }) => `${field}: ${message}`),
      [
        'metadata.name: Invalid value: "bads.example.com": must be spec.names.plural+"."+spec.group',
        'spec.group: Invalid value: "nodot": should be a domain with at least one dot',
        'spec.scope: Unsupported value: "Odd": supported values: "Cluster", "Namespaced"',
        "spec.validation.openAPIV3Schema.properties[spec].type: Required value: must not be empty for specified object fields",
        "spec.validation.openAPIV3Schema.properties[spec].properties[a].items: Required value: must be specified",
        'spec.validation.openAPIV3Schema.properties[spec].properties[b].default: Invalid value: "integer": spec.validation.openAPIV3Schema.properties[spec].properties[b].default in body must be of type string: "integer"',
      ],
    );
  });

  test("Simple CustomResourceDefinition creating/deleting custom resource definition objects works", async () => {
    await define(server, definition("shorts", "Short"));
    const body = {
      apiVersion: "example.com/v1",
      kind: "Short",
      metadata: { name: "s", finalizers: ["example.com/wait"] },
    };
    assert.equal((await call(server, at("shorts"), post(body))).code, 201);
    const watch = new TestWatch(
      server,
      `${definitionsPath}?watch=true&fieldSelector=metadata.name%3Dshorts.example.com`,
    );
    const deleted = await call(server, `${definitionsPath}/shorts.example.com`, { method: "DELETE" });
    assert.deepEqual(deleted.json.metadata.finalizers, ["customresourcecleanup.apiextensions.k8s.io"]);
    assert.deepEqual(deleted.json.status.conditions.at(-1).reason, "InstanceDeletionPending");
    assert.equal((await call(server, at("shorts"), post({ ...body, metadata: { name: "late" } }))).code, 405);
    await call(server, at("shorts", "s"), patchAs("merge-patch+json", { metadata: { finalizers: [] } }));
    await watch.until(() => watch.lines.includes("DELETED shorts.example.com"));
    assert.equal((await call(server, at("shorts", "s"))).code, 404);
    assert.equal(
      (await server.etcd.range({ key: "/registry/example.com/shorts/", rangeEnd: "/registry/example.com/shorts0" })).kvs
        .length,
      0,
    );
    watch.close();
  });

  test("custom resource defaulting for requests and from storage works", async () => {
    const schema = (properties: object) => ({ type: "object", properties });
    const first = definition("defaulted", "Defaulted", schema({ a: { type: "string", default: "A" } }));
    await define(server, first);
    const body = { apiVersion: "example.com/v1", kind: "Defaulted", metadata: { name: "d" } };
    assert.equal((await call(server, at("defaulted"), post(body))).json.a, "A");
    const both = schema({ a: { type: "string" }, b: { type: "string", default: "B" } });
    await call(
      server,
      `${definitionsPath}/defaulted.example.com`,
      patchAs("json-patch+json", [{ op: "replace", path: "/spec/versions/0/schema/openAPIV3Schema", value: both }]),
    );
    const { json } = await call(server, at("defaulted", "d"));
    assert.deepEqual([json.a, json.b], ["A", "B"]);
    const list = await call(server, at("defaulted"));
    assert.equal(list.json.items[0].b, "B");
  });

  test("several versions without a webhook differ in apiVersion only; the deprecated one warns", async () => {
    const version = (name: string, more: object) => ({
      name,
      served: true,
      storage: false,
      schema: { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } },
      ...more,
    });
    await define(
      server,
      definition("multis", "Multi", undefined, {
        spec: { versions: [version("v1beta1", { deprecated: true }), version("v1", { storage: true })] },
      }),
    );
    await call(
      server,
      at("multis"),
      post({ apiVersion: "example.com/v1", kind: "Multi", metadata: { name: "m" }, x: 1 }),
    );
    const old = await call(server, at("multis", "m", "v1beta1"));
    assert.deepEqual(
      [old.json.apiVersion, old.json.x, old.headers["warning"]],
      ["example.com/v1beta1", 1, '299 - "example.com/v1beta1 Multi is deprecated"'],
    );
    const watch = new TestWatch(server, `${at("multis", "", "v1beta1")}?watch=true`);
    await call(server, at("multis", "m", "v1beta1"), patchAs("merge-patch+json", { x: 2 }));
    await watch.until(() => watch.events.length >= 2);
    assert.deepEqual(
      watch.events.map(({ object }) => [object.apiVersion, object.x]),
      [
        ["example.com/v1beta1", 1],
        ["example.com/v1beta1", 2],
      ],
    );
    watch.close();
    const stored = await server.etcd.range({ key: "/registry/example.com/multis/default/m" });
    assert.match(Buffer.from(stored.kvs[0]!.value).toString(), /"apiVersion":"example.com\/v1"/);
    const versions = (await call(server, "/apis/example.com")).json.versions.map(
      ({ version: name }: { version: string }) => name,
    );
    assert.deepEqual(versions, ["v1", "v1beta1"]);
  });
});

describe("[CustomResourcePublishOpenAPI]", () => {
  const document = async (groupVersion: string) => {
    const { paths } = (await call(server, "/openapi/v3")).json;
    const url = paths[`apis/${groupVersion}`]?.serverRelativeURL;
    return url === undefined ? undefined : { url, json: (await call(server, url)).json };
  };

  test("works for CRD with validation schema", async () => {
    const { json } = (await document("example.com/v1"))!;
    const kind = json.components.schemas["com.example.v1.CronTab"];
    assert.deepEqual(kind["x-kubernetes-group-version-kind"], [
      { group: "example.com", kind: "CronTab", version: "v1" },
    ]);
    assert.equal(kind.properties.spec.properties.replicas.maximum, 10);
    const patch = json.paths["/apis/example.com/v1/namespaces/{namespace}/crontabs/{name}"].patch;
    assert.ok(patch.parameters.some(({ name }: { name: string }) => name === "fieldValidation"));
    assert.deepEqual(Object.keys(patch.requestBody.content), [
      "application/json-patch+json",
      "application/merge-patch+json",
      "application/apply-patch+yaml",
    ]);
  });

  test("removes definition from spec when one version gets changed to not be served", async () => {
    const before = (await document("example.com/v1"))!.url;
    assert.notEqual(await document("example.com/v1beta1"), undefined);
    await call(
      server,
      `${definitionsPath}/multis.example.com`,
      patchAs("json-patch+json", [{ op: "replace", path: "/spec/versions/0/served", value: false }]),
    );
    assert.equal(await document("example.com/v1beta1"), undefined);
    assert.equal((await call(server, at("multis", "m", "v1beta1"))).code, 404);
    assert.equal((await document("example.com/v1"))!.url, before);
  });
});
