import { call, type TestResponse, TestWatch } from "../http.testing.ts";
import type { TestApiserver } from "../testing.ts";

export const definitionsPath = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/** A definition of `plural`.example.com, with one version v1 unless told otherwise. */
export function definition(
  plural: string,
  kind: string,
  schema: object = preserving,
  more: { version?: object; spec?: object } = {},
) {
  const version = { name: "v1", served: true, storage: true, schema: { openAPIV3Schema: schema }, ...more.version };
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.example.com` },
    spec: { group: "example.com", scope: "Namespaced", names: { plural, kind }, versions: [version], ...more.spec },
  };
}

export const preserving = { type: "object", "x-kubernetes-preserve-unknown-fields": true };

/** Creates a definition and waits for it to be served. */
export async function define(server: TestApiserver, body: { metadata: { name: string } }): Promise<TestResponse> {
  const created = await call(server, definitionsPath, { method: "POST", body });
  if (created.code !== 201) throw new Error(created.text);
  await established(server, body.metadata.name);
  return created;
}

export async function established(server: TestApiserver, name: string): Promise<void> {
  const watch = new TestWatch(server, `${definitionsPath}?watch=true&fieldSelector=metadata.name%3D${name}`);
  const isSo = ({ type, status }: { type: string; status: string }) => type === "Established" && status === "True";
  await watch.until(() => watch.events.some(({ object }) => object.status?.conditions?.some(isSo)));
  watch.close();
}

export const patchAs = (type: string, body: object | string) => ({
  method: "PATCH",
  body,
  headers: { "content-type": `application/${type}` },
});
