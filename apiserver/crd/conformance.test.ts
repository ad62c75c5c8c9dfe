import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { call, TestWatch } from "../http.testing.ts";
import { startTestApiserver, type TestApiserver } from "../testing.ts";
import { define, definition, definitionsPath, patchAs, preserving } from "./testing.ts";

/** Tests of upstream's conformance suite about custom resources, each under its name (docs/conformance.md). */
let server: TestApiserver;
beforeAll(async () => {
  server = await startTestApiserver();
});
afterAll(() => server?.close());

const at = (plural: string, version = "v1", group = "example.com") =>
  `/apis/${group}/${version}/namespaces/default/${plural}`;
const post = (body: object) => ({ method: "POST", body });
const foo = (kind: string, name: string, more: object = {}) => ({
  apiVersion: "example.com/v1",
  kind,
  metadata: { name },
  ...more,
});
const schema = {
  type: "object",
  properties: { spec: { type: "object", properties: { a: { type: "string" }, embedded: preserving } } },
};
const v3 = async (groupVersion: string) => {
  const { paths } = (await call(server, "/openapi/v3")).json;
  const url = paths[`apis/${groupVersion}`]?.serverRelativeURL;
  return url === undefined ? {} : (await call(server, url)).json.components.schemas;
};
const v2 = async () => (await call(server, "/openapi/v2")).json.definitions;
const versions = (...names: string[]) =>
  names.map((name, i) => ({ name, served: true, storage: i === 0, schema: { openAPIV3Schema: schema } }));

describe("CustomResourceDefinition", () => {
  test("Simple CustomResourceDefinition listing custom resource definition objects works", async () => {
    for (const name of ["one", "two"]) {
      const body = definition(`${name}s`, name[0]!.toUpperCase() + name.slice(1));
      await define(server, { ...body, metadata: { ...body.metadata, labels: { listed: "yes" } } as never });
    }
    const query = `${definitionsPath}?labelSelector=listed%3Dyes`;
    assert.equal((await call(server, query)).json.items.length, 2);
    const watch = new TestWatch(server, `${query}&watch=true`);
    assert.equal((await call(server, query, { method: "DELETE" })).code, 200);
    await watch.until(() => watch.lines.filter((line) => line.startsWith("DELETED")).length === 2);
    watch.close();
    assert.deepEqual((await call(server, query)).json.items, []);
  });

  test("CustomResourceDefinition Watch watch on custom resource definition objects", async () => {
    await define(server, definition("watcheds", "Watched", undefined, { spec: { scope: "Cluster" } }));
    const url = "/apis/example.com/v1/watcheds";
    const watch = new TestWatch(server, `${url}?watch=true`);
    for (const name of ["a", "b"]) await call(server, url, post(foo("Watched", name)));
    await call(server, `${url}/a`, patchAs("merge-patch+json", { spec: 1 }));
    for (const name of ["a", "b"]) await call(server, `${url}/${name}`, { method: "DELETE" });
    await watch.until(() => watch.events.length === 5);
    assert.deepEqual(watch.lines, ["ADDED a", "ADDED b", "MODIFIED a", "DELETED a", "DELETED b"]);
    watch.close();
  });
});

describe("AggregatedDiscovery", () => {
  const accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
  const groupOf = async () => {
    const { json, headers } = await call(server, "/apis", { headers: { accept } });
    assert.equal(headers["content-type"], accept);
    return json.items.find((item: { metadata: { name: string } }) => item.metadata.name === "example.com");
  };

  test("should support aggregated discovery interface for CRDs", async () => {
    await define(server, definition("disks", "Disk", undefined, { spec: { versions: versions("v1", "v2beta1") } }));
    const group = await groupOf();
    assert.deepEqual(
      group.versions.map(({ version }: { version: string }) => version),
      ["v1", "v2beta1"],
    );
  });

  test("should support raw aggregated discovery request for CRDs", async () => {
    const [v1] = (await groupOf()).versions;
    const disks = v1.resources.find(({ resource }: { resource: string }) => resource === "disks");
    assert.deepEqual(disks, {
      resource: "disks",
      responseKind: { group: "example.com", version: "v1", kind: "Disk" },
      scope: "Namespaced",
      singularResource: "disk",
      verbs: ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
    });
  });
});

describe("CustomResourcePublishOpenAPI", () => {
  const published = async (groupVersion: string, name: string) => {
    const [three, two] = [await v3(groupVersion), await v2()];
    assert.equal(three[name] === undefined, two[name] === undefined, "v2 and v3 agree");
    return three[name] && { three: three[name], two: two[name] };
  };

  test("works for CRD without validation schema", async () => {
    await define(server, definition("plains", "Plain"));
    const { three } = (await published("example.com/v1", "com.example.v1.Plain"))!;
    assert.equal(three["x-kubernetes-preserve-unknown-fields"], true);
    assert.equal(
      (await call(server, `${at("plains")}?fieldValidation=Strict`, post(foo("Plain", "p", { any: 1 })))).json.any,
      1,
    );
  });

  test("works for CRD preserving unknown fields at the schema root", async () => {
    const root = { ...schema, "x-kubernetes-preserve-unknown-fields": true };
    await define(server, definition("roots", "Root", root));
    const { two } = (await published("example.com/v1", "com.example.v1.Root"))!;
    assert.deepEqual([two.type, two.properties], ["object", undefined]);
    const made = await call(
      server,
      `${at("roots")}?fieldValidation=Strict`,
      post(foo("Root", "r", { any: 1, spec: { a: "x" } })),
    );
    assert.deepEqual([made.json.any, made.json.spec], [1, { a: "x" }]);
  });

  test("works for CRD preserving unknown fields in an embedded object", async () => {
    await define(server, definition("embeds", "Embed", schema));
    const { two, three } = (await published("example.com/v1", "com.example.v1.Embed"))!;
    for (const one of [two, three])
      assert.equal(one.properties.spec.properties.embedded["x-kubernetes-preserve-unknown-fields"], true);
    const made = await call(
      server,
      `${at("embeds")}?fieldValidation=Strict`,
      post(foo("Embed", "e", { spec: { embedded: { b: 1 } } })),
    );
    assert.deepEqual(made.json.spec.embedded, { b: 1 });
  });

  test("works for multiple CRDs of different groups", async () => {
    const other = definition("others", "Other", schema, { spec: { group: "other.io" } });
    await define(server, { ...other, metadata: { name: "others.other.io" } });
    assert.ok(await published("other.io/v1", "io.other.v1.Other"));
    assert.ok(await published("example.com/v1", "com.example.v1.Embed"));
  });

  test("works for multiple CRDs of same group and version but different kinds", async () => {
    await define(server, definition("seconds", "Second", schema));
    for (const kind of ["Embed", "Second"]) assert.ok(await published("example.com/v1", `com.example.v1.${kind}`));
  });

  test("works for multiple CRDs of same group but different versions", async () => {
    await define(server, definition("thirds", "Third", schema, { spec: { versions: versions("v3") } }));
    assert.ok(await published("example.com/v3", "com.example.v3.Third"));
    assert.equal(await published("example.com/v3", "com.example.v3.Embed"), undefined);
  });

  test("updates the published spec when one version gets renamed", async () => {
    await define(server, definition("renames", "Rename", schema, { spec: { versions: versions("v3", "v4") } }));
    assert.ok(await published("example.com/v4", "com.example.v4.Rename"));
    const rename = [{ op: "replace", path: "/spec/versions/1/name", value: "v5" }];
    await call(server, `${definitionsPath}/renames.example.com`, patchAs("json-patch+json", rename));
    assert.equal(await published("example.com/v4", "com.example.v4.Rename"), undefined);
    assert.ok(await published("example.com/v5", "com.example.v5.Rename"));
    assert.ok(await published("example.com/v3", "com.example.v3.Rename"));
  });
});

describe("FieldValidation", () => {
  const apply = (plural: string, body: { metadata: { name: string } }, strict = "Strict") =>
    call(
      server,
      `${at(plural)}/${body.metadata.name}?fieldManager=me&fieldValidation=${strict}`,
      patchAs("apply-patch+yaml", body),
    );

  test("should create/apply a CR with unknown fields for CRD with no validation schema", async () => {
    const made = await call(
      server,
      `${at("plains")}?fieldValidation=Strict`,
      post(foo("Plain", "f", { unknown: { a: 1 } })),
    );
    assert.deepEqual([made.code, made.json.unknown], [201, { a: 1 }]);
    const applied = await apply("plains", foo("Plain", "g", { unknown: { a: 1 } }));
    assert.deepEqual([applied.code, applied.json.unknown], [201, { a: 1 }]);
  });

  test("should create/apply a valid CR for CRD with validation schema", async () => {
    assert.equal(
      (await call(server, `${at("embeds")}?fieldValidation=Strict`, post(foo("Embed", "v", { spec: { a: "x" } }))))
        .code,
      201,
    );
    assert.equal((await apply("embeds", foo("Embed", "w", { spec: { a: "x" } }))).code, 201);
  });
});
