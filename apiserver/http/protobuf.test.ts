import { afterAll, beforeAll, expect, test } from "vitest";
import { schema } from "../../api/schema.ts";
import { decodeStored } from "../../apimachinery/schema/decode.ts";
import { Reader } from "../../proto/wire.ts";
import { define, definition } from "../crd/testing.ts";
import { call, configMap } from "../http.testing.ts";
import { startTestApiserver, type TestApiserver } from "../testing.ts";
import { protobufType } from "./protobuf.ts";

const maps = "/api/v1/namespaces/default/configmaps";
const asks = { accept: `${protobufType},application/json` };

let server: TestApiserver;
beforeAll(async () => {
  server = await startTestApiserver();
});
afterAll(() => server?.close());

/** Of an envelope; how messages are written is shown with protobufjs in apimachinery/schema/protobuf.test.ts. */
const decoded = (bytes: Uint8Array) => decodeStored(schema, bytes);

test("what is created, read and listed comes as protobuf to who prefers it, and says the same", async () => {
  const created = await call(server, maps, { method: "POST", body: configMap("a"), headers: asks });
  expect([created.code, created.headers["content-type"]]).toEqual([201, protobufType]);
  const json = (await call(server, `${maps}/a`)).json;
  expect(decoded(created.bytes)).toEqual(json);
  const got = await call(server, `${maps}/a`, { headers: { accept: protobufType } });
  expect(decoded(got.bytes)).toEqual(json);
  await call(server, maps, { method: "POST", body: configMap("b") });
  const list = await call(server, `${maps}?limit=1`, { headers: asks });
  const { kind: _, apiVersion: __, ...item } = json;
  const { metadata, ...rest } = decoded(list.bytes) as { metadata: object };
  expect(rest).toEqual({ kind: "ConfigMapList", apiVersion: "v1", items: [item] });
  expect(metadata).toEqual({
    resourceVersion: expect.stringMatching(/^\d+$/),
    continue: expect.any(String),
    remainingItemCount: 1,
  });
});

test("so do what is not of its kind, and a Status of success; who prefers JSON gets that", async () => {
  const review = { spec: { resourceAttributes: { verb: "get", resource: "pods" } } };
  const path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
  const reviewed = await call(server, path, { method: "POST", body: review, headers: asks });
  expect(decoded(reviewed.bytes)).toMatchObject({ kind: "SelfSubjectAccessReview", status: { allowed: true } });
  await call(server, maps, { method: "POST", body: configMap("gone") });
  const deleted = await call(server, `${maps}/gone`, { method: "DELETE", headers: asks });
  expect(decoded(deleted.bytes)).toMatchObject({ kind: "Status", status: "Success", details: { name: "gone" } });
  const json = await call(server, maps, { headers: { accept: `application/json,${protobufType}` } });
  expect(json.headers["content-type"]).toBe("application/json");
  const missing = await call(server, `${maps}/gone`, { headers: { accept: protobufType } });
  expect([missing.code, missing.json.reason]).toEqual([404, "NotFound"]);
});

test("a watch is frames of WatchEvents, with its bookmarks", async () => {
  const { json } = await call(server, maps);
  const query = `?watch=true&resourceVersion=${json.metadata.resourceVersion}&timeoutSeconds=2&allowWatchBookmarks=true`;
  const watching = call(server, maps + query, { headers: { accept: protobufType } });
  await call(server, maps, { method: "POST", body: configMap("watched") });
  await call(server, `${maps}/watched`, { method: "DELETE" });
  const { headers, bytes } = await watching;
  expect(headers["content-type"]).toBe(`${protobufType};stream=watch`);
  const events: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 4 + bytes.readUInt32BE(at);
    const event = eventOf(bytes.subarray(at + 4, end));
    events.push(`${event.type} ${event.object.kind} ${event.object.metadata.name ?? ""}`);
    at = end;
  }
  expect(events.filter((line) => !line.startsWith("BOOKMARK"))).toEqual([
    "ADDED ConfigMap watched",
    "DELETED ConfigMap watched",
  ]);
  expect(new Set(events.filter((line) => line.startsWith("BOOKMARK")))).toEqual(new Set(["BOOKMARK ConfigMap "]));
});

/** `{ type = 1, object = 2 { raw = 1 } }` */
function eventOf(bytes: Uint8Array) {
  const reader = Reader.create(bytes);
  expect(reader.uint32()).toBe(0x0a);
  const type = reader.string();
  expect(reader.uint32()).toBe(0x12);
  reader.uint32();
  expect(reader.uint32()).toBe(0x0a);
  return { type, object: decoded(reader.bytes()) as { kind: string; metadata: { name?: string } } };
}

test("custom resources have no protobuf: JSON, or 406 before anything is done", async () => {
  await define(server, definition("things", "Thing"));
  const path = "/apis/example.com/v1/namespaces/default/things";
  const body = { apiVersion: "example.com/v1", kind: "Thing", metadata: { name: "a" } };
  const refused = await call(server, path, { method: "POST", body, headers: { accept: protobufType } });
  expect([refused.code, refused.json.reason]).toEqual([406, "NotAcceptable"]);
  const created = await call(server, path, { method: "POST", body, headers: asks });
  expect([created.code, created.headers["content-type"]]).toEqual([201, "application/json"]);
});
