import assert from "node:assert/strict";
import { setMaxListeners } from "node:events";
import { Worker } from "node:worker_threads";
import { afterEach, beforeEach, describe, test } from "vitest";
import { ConfigMaps } from "../api/generated/resources.ts";
import { createGrpcClient } from "../client/grpc-client.ts";
import { ApiService, WatchRequest } from "../proto/generated/api.ts";
import { liveBytes } from "./http.testing.ts";
import { startTestApiserver, type TestApiserver } from "./testing.ts";

const count = 3000;
let server: TestApiserver;
beforeEach(async () => {
  server = await startTestApiserver();
  const client = createGrpcClient({ servers: [server.grpcAddress], tls: server.certs.admin });
  await client.create(ConfigMaps, { metadata: { namespace: "default", name: "one" } });
  client.close();
});
afterEach(() => server?.close());

/** A heap of its own, so that the server's can be weighed. Opens streams and says when each has told its first event. */
const opener = `
  const http2 = require("node:http2");
  const { parentPort, workerData } = require("node:worker_threads");
  const { authority, tls, headers, body, count, perSession } = workerData;
  let told = 0;
  for (let i = 0, session; i < count; i++) {
    if (i % perSession === 0) session = http2.connect(authority, { ...tls, servername: "kubernetes", maxSessionMemory: 1000 });
    const stream = session.request(headers, { endStream: body === undefined });
    if (body) stream.end(body);
    stream.once("data", () => ++told === count && parentPort.postMessage("open"));
    stream.on("error", (error) => { throw error; });
    stream.resume();
  }`;

function framed(message: Uint8Array): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

describe(`${count} idle watches`, () => {
  const watch = { target: { version: "v1", resource: "configmaps", namespace: "default" }, allowBookmarks: true };
  const rows = [
    {
      front: "gRPC, in one session",
      authority: () => `https://${server.grpcAddress}`,
      headers: {
        ":path": ApiService.Watch.path,
        ":method": "POST",
        "content-type": "application/grpc",
        te: "trailers",
      },
      body: framed(WatchRequest.encode(watch as never)),
      perSession: count,
      bytes: 8 * 1024,
    },
    {
      front: "REST, a thousand a session",
      authority: () => server.url,
      headers: { ":path": "/api/v1/namespaces/default/configmaps?watch=1&allowWatchBookmarks=true" },
      body: undefined,
      perSession: 1000,
      bytes: 16 * 1024,
    },
  ];
  test.each(rows)("of one client cost less than $bytes bytes each over $front", async (row) => {
    const { authority, headers, body, perSession, bytes } = row;
    const tls = server.certs.admin;
    const before = liveBytes();
    const workerData = { authority: authority(), tls, headers, body, count, perSession };
    const worker = new Worker(opener, { eval: true, workerData });
    try {
      await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
      const each = (liveBytes() - before) / count;
      assert.ok(each < bytes, `${each} bytes`);
    } finally {
      await worker.terminate();
    }
  });

  test("of our own client all hear of a change", async () => {
    const client = createGrpcClient({ servers: [server.grpcAddress], tls: server.certs.admin });
    const stop = new AbortController();
    setMaxListeners(0, stop.signal);
    try {
      const { resourceVersion } = await client.list(ConfigMaps, { namespace: "default" });
      const options = { namespace: "default", resourceVersion, signal: stop.signal };
      const first = Array.from({ length: count }, () =>
        client.watch(ConfigMaps, options)[Symbol.asyncIterator]().next(),
      );
      const created = await client.create(ConfigMaps, { metadata: { namespace: "default", name: "two" } });
      for (const { value } of await Promise.all(first)) assert.deepEqual(value, [{ type: "ADDED", object: created }]);
    } finally {
      stop.abort();
      client.close();
    }
  });
});
