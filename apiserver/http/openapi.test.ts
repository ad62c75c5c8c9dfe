import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import protobuf from "protobufjs";
import { afterAll, beforeAll, describe, test } from "vitest";
import { define, definition, definitionsPath, patchAs } from "../crd/testing.ts";
import { call } from "../http.testing.ts";
import { startTestApiserver, type TestApiserver } from "../testing.ts";

let server: TestApiserver;
beforeAll(async () => {
  server = await startTestApiserver();
  const schema = {
    type: "object",
    properties: {
      spec: {
        type: "object",
        description: "What shall be.",
        properties: {
          size: { type: "integer", maximum: 3 },
          port: { "x-kubernetes-int-or-string": true },
          free: { type: "object", "x-kubernetes-preserve-unknown-fields": true, properties: { a: { type: "string" } } },
          maybe: { type: "string", nullable: true },
        },
      },
    },
  };
  await define(server, definition("foos", "Foo", schema));
});
afterAll(() => server?.close());

const protobufType = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

describe("OpenAPI v2", () => {
  test("[CustomResourcePublishOpenAPI] the JSON document has the kinds, in what v2 can say", async () => {
    const { json, headers } = await call(server, "/openapi/v2");
    assert.equal(json.swagger, "2.0");
    assert.match(String(headers["etag"]), /^"[0-9A-F]{64}"$/);
    const { properties } = json.definitions["com.example.v1.Foo"];
    assert.deepEqual(properties.spec.properties, {
      size: { type: "integer", maximum: 3 },
      port: { "x-kubernetes-int-or-string": true, type: "string", format: "int-or-string" },
      free: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
      maybe: {},
    });
    assert.equal(properties.metadata.$ref, "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    const pods = json.paths["/api/v1/namespaces/{namespace}/pods"];
    assert.deepEqual(pods.post["x-kubernetes-group-version-kind"], { group: "", kind: "Pod", version: "v1" });
    assert.deepEqual(pods.post.parameters[0].schema, { $ref: "#/definitions/io.k8s.api.core.v1.Pod" });
    const refs = JSON.stringify(json).matchAll(/"\$ref":"#\/definitions\/([^"]+)"/g);
    for (const [, name] of refs) assert.ok(json.definitions[name!], name);
  });

  test("the protobuf document is the same, by the field numbers of gnostic", async () => {
    const { json } = await call(server, "/openapi/v2");
    const bytes = await raw(server, { accept: protobufType });
    const { swagger, definitions, paths } = documentType().toObject(documentType().decode(bytes), { longs: Number });
    assert.equal(swagger, "2.0");
    const names = definitions.additionalProperties.map(({ name }: { name: string }) => name);
    assert.deepEqual(names, Object.keys(json.definitions));
    const foo = definitions.additionalProperties.find(
      ({ name }: { name: string }) => name === "com.example.v1.Foo",
    ).value;
    const spec = foo.properties.additionalProperties.find(({ name }: { name: string }) => name === "spec").value;
    assert.equal(spec.description, "What shall be.");
    assert.deepEqual(spec.properties.additionalProperties[0], {
      name: "size",
      value: { type: { value: ["integer"] }, maximum: 3 },
    });
    assert.deepEqual(JSON.parse(foo.vendorExtension[0].value.yaml), [
      { group: "example.com", kind: "Foo", version: "v1" },
    ]);
    const { value } = paths.path.find(
      ({ name }: { name: string }) => name === "/api/v1/namespaces/{namespace}/pods/{name}",
    );
    const dryRun = value.patch.parameters.find(
      (p: { parameter: { nonBodyParameter?: { queryParameterSubSchema?: { name: string } } } }) =>
        p.parameter.nonBodyParameter?.queryParameterSubSchema?.name === "dryRun",
    );
    assert.ok(dryRun);
    assert.equal(value.patch.parameters[0].parameter.bodyParameter.in, "body");
  });

  test("it is made in slices: much else has its turn meanwhile", async () => {
    const change = patchAs("json-patch+json", [
      { op: "add", path: "/spec/versions/0/schema/openAPIV3Schema/description", value: "Sliced." },
    ]);
    await call(server, `${definitionsPath}/foos.example.com`, change);
    let turns = 0;
    let done = false;
    const turn = () => {
      turns++;
      if (!done) setImmediate(turn);
    };
    turn();
    await call(server, "/openapi/v2");
    done = true;
    assert.ok(turns > 500, `${turns} turns`);
  });

  test("it is gzipped when asked, kept by its ETag, and new after each change of a definition", async () => {
    const plain = await raw(server, { accept: protobufType });
    const zipped = await raw(server, { accept: protobufType, "accept-encoding": "gzip" });
    assert.deepEqual(gunzipSync(zipped), plain);
    const { headers } = await call(server, "/openapi/v2");
    const again = await call(server, "/openapi/v2", { headers: { "if-none-match": String(headers["etag"]) } });
    assert.equal(again.code, 304);
    const change = patchAs("json-patch+json", [
      { op: "add", path: "/spec/versions/0/schema/openAPIV3Schema/description", value: "Other." },
    ]);
    await call(server, `${definitionsPath}/foos.example.com`, change);
    const next = await call(server, "/openapi/v2", { headers: { "if-none-match": String(headers["etag"]) } });
    assert.deepEqual([next.code, next.json.definitions["com.example.v1.Foo"].description], [200, "Other."]);
    assert.equal((await call(server, "/openapi/v2", { headers: { accept: "text/html" } })).code, 406);
  });
});

/** The recorded message facts as protobufjs types. */
function documentType(): protobuf.Type {
  const facts = JSON.parse(readFileSync(new URL("./testdata/openapi-v2.json", import.meta.url), "utf8"));
  const nested: Record<string, object> = {};
  for (const [name, fields] of Object.entries<Record<string, { n: number; t: string; label?: string }>>(facts)) {
    const entries = Object.entries(fields).map(([key, { n, t, label }]) => [
      key.replace(/_([a-z])/g, (_, c: string) => c.toUpperCase()),
      { id: n, type: t, ...(label ? { rule: label } : {}) },
    ]);
    nested[name] = { fields: Object.fromEntries(entries) };
  }
  return protobuf.Root.fromJSON({ nested } as never).lookupType("Document");
}

const raw = async (of: TestApiserver, headers: Record<string, string>): Promise<Buffer> =>
  (await call(of, "/openapi/v2", { headers })).bytes;
