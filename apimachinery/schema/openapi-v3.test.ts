import { expect, test } from "vitest";
import { resources } from "../../api/resources.ts";
import { schema } from "../../api/schema.ts";
import { type Json, openApiV3 } from "./openapi-v3.ts";

const rows = resources();
const documentOf = (group: string, version = "v1") =>
  openApiV3(
    schema,
    { group, version },
    rows.filter((r) => r.group === group && r.version === version),
  ) as {
    paths: Record<string, Record<string, Json>>;
    components: { schemas: Record<string, Json> };
  };

test.each([...new Set(rows.map(({ group, version }) => `${group}/${version}`))])(
  "the document of %s refers to nothing that it lacks",
  (groupVersion) => {
    const [group, version] = groupVersion.split("/") as [string, string];
    const document = documentOf(group, version);
    const references = [...JSON.stringify(document).matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map((m) => m[1]!);
    expect(references.filter((name) => !document.components.schemas[name])).toEqual([]);
    expect(references.length).toBeGreaterThan(10);
  },
);

test("every resource that can be patched has a PATCH that declares what kubectl looks for", () => {
  for (const row of rows.filter(({ verbs }) => verbs.includes("patch"))) {
    const { group, version, kind } = row;
    const root = group ? `/apis/${group}/${version}` : `/api/${version}`;
    const path = `${root}${row.namespaced ? "/namespaces/{namespace}" : ""}/${row.resource}/{name}`;
    const patch = documentOf(group, version).paths[path]!["patch"] as {
      parameters: { name: string }[];
      requestBody: { content: object };
    };
    expect(patch).toMatchObject({ "x-kubernetes-group-version-kind": { group, version, kind } });
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
