import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import { afterAll, beforeAll, describe, test } from "vitest";
import { routes } from "../../proto/generated/etcd-json.ts";
import { EtcdClient } from "../client/client.ts";
import { startTestMember } from "../server/testing.ts";

const base64 = (text: string) => Buffer.from(text).toString("base64");

/** HTTP/1.1 on the port that also serves gRPC. */
describe("the client port over HTTP/1.1", () => {
  let store: Awaited<ReturnType<typeof startTestMember>>;
  let etcd: EtcdClient;
  beforeAll(async () => {
    store = await startTestMember();
    etcd = new EtcdClient({ endpoints: [store.endpoint] });
    await etcd.put({ key: "ready", value: "1" });
  });
  afterAll(async () => {
    etcd?.close();
    await store?.close();
  });

  const post = async (path: string, body: object | string, method = "POST") => {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    const response = await fetch(`${store.endpoint}${path}`, { method, ...(method === "POST" ? { body: text } : {}) });
    return { status: response.status, json: (await response.json()) as Record<string, unknown> };
  };
  const call = async (path: string, body: object) => {
    const { status, json } = await post(path, body);
    assert.equal(status, 200, JSON.stringify(json));
    return json;
  };

  test("version, health, livez, readyz and metrics", async () => {
    const get = async (path: string) => {
      const response = await fetch(`${store.endpoint}${path}`);
      return [response.status, await response.text()] as const;
    };
    assert.match((await get("/version"))[1], /"etcdserver":"3\.6/);
    for (const path of ["/health", "/health?serializable=true"]) {
      assert.deepEqual(await get(path), [200, '{"health":"true","reason":""}']);
    }
    for (const path of ["/livez", "/readyz"]) assert.equal((await get(path))[0], 200);
    assert.match((await get("/metrics"))[1], /etcd_server_has_leader 1/);
    assert.equal((await get("/nothing"))[0], 404);
  });

  test("put, range, deleterange and txn", async () => {
    const put = await call("/v3/kv/put", { key: base64("foo"), value: base64("bar"), prev_kv: true });
    const header = put["header"] as Record<string, string>;
    assert.match(header["cluster_id"]!, /^\d+$/);
    const { kvs, count } = await call("/v3/kv/range", { key: base64("foo") });
    const revision = header["revision"];
    const kv = { create_revision: revision, mod_revision: revision, version: "1" };
    assert.deepEqual([kvs, count], [[{ key: base64("foo"), value: base64("bar"), ...kv }], "1"]);
    const txn = await call("/v3/kv/txn", {
      compare: [{ target: "VALUE", key: base64("foo"), value: base64("bar") }],
      success: [{ requestPut: { key: base64("foo"), value: base64("baz") } }],
    });
    assert.equal(txn["succeeded"], true);
    assert.equal((await call("/v3/kv/deleterange", { key: base64("foo") }))["deleted"], "1");
    assert.equal((await call("/v3/kv/range", { key: base64("foo") }))["kvs"], undefined);
    const compacted = await post("/v3/kv/compaction", { revision: "1" });
    assert.equal(compacted.status, 200);
  });

  test("leases, members and status", async () => {
    const { ID, TTL } = await call("/v3/lease/grant", { TTL: 60 });
    assert.equal(TTL, "60");
    const kept = (await call("/v3/lease/keepalive", { ID }))["result"] as Record<string, unknown>;
    assert.equal(kept["TTL"], "60");
    assert.deepEqual((await call("/v3/lease/leases", {}))["leases"], [{ ID }]);
    await call("/v3/kv/lease/revoke", { ID });
    const { members } = await call("/v3/cluster/member/list", {});
    assert.equal((members as { name: string }[])[0]!.name, "m0");
    assert.match((await call("/v3/maintenance/status", {}))["version"] as string, /^3\.6/);
  });

  test("a watch streams results, one a line, after the request's body has ended", async () => {
    const body = JSON.stringify({ create_request: { key: base64("w") } });
    const response = await fetch(`${store.endpoint}/v3/watch`, { method: "POST", body });
    const reader = response.body!.getReader();
    let text = "";
    const lines = () => text.split("\n").slice(0, -1);
    const line = async (count: number) => {
      while (lines().length < count) text += Buffer.from((await reader.read()).value!).toString();
      return (JSON.parse(lines()[count - 1]!) as { result: Record<string, unknown> }).result;
    };
    assert.equal((await line(1))["created"], true);
    await etcd.put({ key: "w", value: "1" });
    const { events } = (await line(2)) as { events: { kv: { value: string } }[] };
    assert.equal(events[0]!.kv.value, base64("1"));
    await reader.cancel();
  });

  test.each([
    ["an empty key", "/v3/kv/range", {}, 400, { code: 3, message: "etcdserver: key is not provided", details: [] }],
    [
      "a lease that is not there",
      "/v3/lease/revoke",
      { ID: "5" },
      404,
      { code: 5, message: "etcdserver: requested lease not found", details: [] },
    ],
    ["an unknown path", "/v3/kv/nothing", {}, 404, { code: 5, message: "Not Found", details: [] }],
  ])("%s: etcd's error as JSON", async (_, path, body, status, json) => {
    assert.deepEqual(await post(path, body), { status, json });
  });

  test("every rpc has its path", async () => {
    const unserved: string[] = [];
    for (const [path, { method }] of Object.entries(routes)) {
      if (method.path.endsWith("/Watch") || method.path.endsWith("/Observe")) continue; // they wait for ever: own tests
      const response = await fetch(`${store.endpoint}${path}`, {
        method: "POST",
        body: JSON.stringify({ name: base64(path) }),
      });
      await response.text();
      if (response.status === 501) unserved.push(method.path.replace(/^.*\//, ""));
    }
    assert.deepEqual(unserved, []);
  });

  test("a snapshot streams blobs of at most 32 KiB, the last of them the hash of the others", async () => {
    await etcd.put({ key: "large", value: "x".repeat(200_000) });
    const response = await fetch(`${store.endpoint}/v3/maintenance/snapshot`, { method: "POST", body: "{}" });
    const lines = (await response.text()).trim().split("\n");
    const results = lines.map(
      (line) => (JSON.parse(line) as { result: { blob: string; remaining_bytes?: string } }).result,
    );
    const blobs = results.map(({ blob }) => Buffer.from(blob, "base64"));
    const hash = blobs.pop()!;
    assert.equal(Math.max(...blobs.map(({ length }) => length)), 32 * 1024);
    assert.deepEqual(hash, createHash("sha256").update(Buffer.concat(blobs)).digest());
    assert.equal(Number(results[0]!.remaining_bytes), Buffer.concat(blobs.slice(1)).length);
  });

  test("keep-alives: one answer a line for each object of the body", async () => {
    const { ID } = await call("/v3/lease/grant", { TTL: 60 });
    const body = JSON.stringify({ ID }) + JSON.stringify({ ID: "404" });
    const response = await fetch(`${store.endpoint}/v3/lease/keepalive`, { method: "POST", body });
    const lines = (await response.text()).trim().split("\n");
    const results = lines.map((line) => (JSON.parse(line) as { result: Record<string, string> }).result);
    assert.deepEqual(
      results.map(({ ID: id, TTL }) => [id, TTL]),
      [
        [ID, "60"],
        ["404", undefined],
      ],
    );
  });

  test("with auth the token comes in Authorization", async () => {
    await call("/v3/auth/user/add", { name: "root", password: "pw" });
    await call("/v3/auth/role/add", { name: "root" });
    await call("/v3/auth/user/grant", { user: "root", role: "root" });
    await call("/v3/auth/enable", {});
    assert.deepEqual(await post("/v3/kv/range", { key: base64("foo") }), {
      status: 400,
      json: { code: 3, message: "etcdserver: user name is empty", details: [] },
    });
    const { token } = (await call("/v3/auth/authenticate", { name: "root", password: "pw" })) as { token: string };
    const as = async (authorization: string, path: string, body: object) => {
      const headers = { authorization };
      const response = await fetch(`${store.endpoint}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
      return [response.status, ((await response.json()) as { code?: number }).code];
    };
    assert.deepEqual(await as(token, "/v3/kv/range", { key: base64("foo") }), [200, undefined]);
    assert.deepEqual(await as("nonsense", "/v3/kv/range", { key: base64("foo") }), [401, 16]);
    assert.deepEqual(await as(token, "/v3/auth/disable", {}), [200, undefined]);
  });

  test("a body larger than any request may be is refused", async () => {
    const { status, json } = await post("/v3/kv/put", { key: base64("big"), value: "A".repeat(4 << 20) });
    assert.deepEqual([status, json["code"], json["message"]], [429, 8, "http: request body too large"]);
  });

  test("what goes wrong in the middle of a stream is its last line", async () => {
    const { ID } = await call("/v3/lease/grant", { TTL: 60 });
    const request = http.request(`${store.endpoint}/v3/lease/keepalive`, { method: "POST" });
    request.write(JSON.stringify({ ID }));
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    let text = "";
    for await (const chunk of response) {
      if (text === "") request.end('{"ID":"x"}');
      text += chunk;
    }
    const lines = text.trim().split("\n");
    assert.deepEqual(
      lines.map((line) => Object.keys(JSON.parse(line) as object)),
      [["result"], ["error"]],
    );
    assert.equal((JSON.parse(lines[1]!) as { error: { code: number } }).error.code, 3);
  });

  test("a watch ends with its caller", async () => {
    const watchers = async () =>
      /^etcd_debugging_mvcc_watcher_total (\d+)$/m.exec(await (await fetch(`${store.endpoint}/metrics`)).text())![1];
    const body = JSON.stringify({ create_request: { key: base64("gone") } });
    const controller = new AbortController();
    const response = await fetch(`${store.endpoint}/v3/watch`, { method: "POST", body, signal: controller.signal });
    await response.body!.getReader().read();
    assert.equal(await watchers(), "1");
    controller.abort();
    const deadline = performance.now() + 10_000;
    while ((await watchers()) !== "0") assert.ok(performance.now() < deadline, "it goes on without its caller");
  });

  test("a body that is no JSON, and another method", async () => {
    assert.equal((await post("/v3/kv/range", "{")).json["code"], 3);
    assert.equal((await post("/v3/kv/range", "", "GET")).status, 501);
  });
});
