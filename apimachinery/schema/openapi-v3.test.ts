import { expect, test } from "vitest";
import { resources } from "../../api/resources.ts";
import { schema } from "../../api/schema.ts";
import { type Json, openApiV3 } from "./openapi-v3.ts";

const rows = resources();
const documentOf = (group: string) =>
  openApiV3(
    schema,
    { group, version: "v1" },
    rows.filter((r) => r.group === group),
  ) as {
    paths: Record<string, Record<string, Json>>;
    components: { schemas: Record<string, Json> };
  };

test.each(["", "apps", "discovery.k8s.io", "coordination.k8s.io"])(
  "the document of %j refers to nothing that it lacks",
  (group) => {
    const document = documentOf(group);
    const references = [...JSON.stringify(document).matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map((m) => m[1]!);
    expect(references.filter((name) => !document.components.schemas[name])).toEqual([]);
    expect(references.length).toBeGreaterThan(10);
  },
);

test("every resource has a PATCH that declares what kubectl looks for", () => {
  for (const row of rows) {
    const root = row.group ? `/apis/${row.group}/v1` : "/api/v1";
    const path = `${root}${row.namespaced ? "/namespaces/{namespace}" : ""}/${row.resource}/{name}`;
    const patch = documentOf(row.group).paths[path]!["patch"] as {
      parameters: { name: string }[];
      requestBody: { content: object };
    };
    expect(patch).toMatchObject({
      "x-kubernetes-group-version-kind": { group: row.group, version: "v1", kind: row.kind },
    });
    expect(patch.parameters.map((p) => p.name)).toEqual(["dryRun", "fieldManager", "fieldValidation", "force"]);
    expect(Object.keys(patch.requestBody.content)).toContain("application/strategic-merge-patch+json");
  }
});

test("schemas carry their kind, how lists merge, and what may be a number or a string", () => {
  const { schemas } = documentOf("").components;
  const pod = schemas["io.k8s.api.core.v1.Pod"]!;
  expect(pod["x-kubernetes-group-version-kind"]).toEqual([{ group: "", kind: "Pod", version: "v1" }]);
  const spec = schemas["io.k8s.api.core.v1.PodSpec"] as { properties: Record<string, Json>; required: string[] };
  expect(spec.required).toEqual(["containers"]);
  expect(spec.properties["containers"]).toMatchObject({
    "x-kubernetes-patch-merge-key": "name",
    "x-kubernetes-patch-strategy": "merge",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
  });
  expect(spec.properties["volumes"]).toMatchObject({ "x-kubernetes-patch-strategy": "merge,retainKeys" });
  expect(schemas["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]).toMatchObject({ format: "int-or-string" });
});
