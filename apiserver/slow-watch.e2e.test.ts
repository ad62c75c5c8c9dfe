import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import https from "node:https";
import { test } from "vitest";
import { call, configMap, TestWatch } from "./http.testing.ts";
import { startTestApiserver } from "./testing.ts";

const maps = "/api/v1/namespaces/default/configmaps";
const size = 900_000;
const writes = 85; // more than a reader may be behind, together
/** What waited for it in sockets and their buffers; what waited in the apiserver is gone. */
const heldBytes = 16 * 1024 * 1024;

test("who watches without reading is cut off, holds up nobody, and finds the way back", async () => {
  const server = await startTestApiserver();
  try {
    const { resourceVersion } = (await call(server, maps)).json.metadata;
    const path = `${maps}?watch=true&resourceVersion=${resourceVersion}`;
    const { hostname: host, port } = new URL(server.url);
    const request = https.request({ host, port, path, agent: false, ...server.certs.admin });
    request.end();
    const [slow] = (await once(request, "response")) as [IncomingMessage];
    slow.pause();
    const quick = new TestWatch(server, path);
    let revision = "";
    for (let i = 0; i < writes; i++) {
      const body = { ...configMap("large"), data: { random: randomBytes(size / 2).toString("hex") } };
      const sent = { method: i === 0 ? "POST" : "PUT", body, headers: { "content-type": "application/json" } };
      const { code, text, json } = await call(server, i === 0 ? maps : `${maps}/large`, sent);
      assert.ok(code < 300, text);
      revision = json.metadata.resourceVersion;
    }
    await quick.until(() => quick.events.length === writes);
    quick.close();
    quick.events.length = 0;
    let bytes = 0;
    let last = "";
    slow.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      last = (last + chunk.toString("latin1")).slice(-2 * size);
    });
    slow.resume();
    await once(slow, "close");
    assert.ok(bytes > 0 && bytes < heldBytes, `${bytes} bytes`);
    const told = [...last.matchAll(/"resourceVersion":"(\d+)"/g)].at(-1)![1]!;
    assert.ok(Number(told) < Number(revision));
    const again = new TestWatch(server, `${maps}?watch=true&resourceVersion=${told}`);
    await again.until(() => again.events.length > 0);
    const [{ type, object }] = again.events as [TestWatch["events"][0]];
    assert.deepEqual([type, object.code], ["ERROR", 410]); // that is long ago by now: it lists anew
    again.close();
  } finally {
    await server.close();
  }
});
