import assert from "node:assert/strict";
import { once } from "node:events";
import { createRequire } from "node:module";
import { afterAll, beforeAll, describe, test } from "vitest";
import { call, configMap } from "../http.testing.ts";
import { startTestApiserver, type TestApiserver } from "../testing.ts";

/** A watch on a WebSocket, by the package `ws`, which is what Node's clients use. */
// biome-ignore lint/suspicious/noExplicitAny: the package has no types
const WebSocket = createRequire(import.meta.url)("ws") as any;
const path = "/api/v1/namespaces/default/configmaps";

let server: TestApiserver;
beforeAll(async () => {
  server = await startTestApiserver();
});
afterAll(() => server?.close());

function open(query: string, protocols: string[] = [], more: object = server.certs.admin) {
  const options = { origin: "https://page.example.com", ...more };
  const socket = new WebSocket(server.url.replace("https", "wss") + path + query, protocols, options);
  const messages: { text: boolean; event: { type: string; object: { metadata: { name: string } } } }[] = [];
  const waiting: (() => void)[] = [];
  socket.on("message", (data: Buffer, binary: boolean) => {
    messages.push({ text: !binary, event: JSON.parse(data.toString()) });
    for (const wake of waiting.splice(0)) wake();
  });
  const until = async (count: number) => {
    while (messages.length < count) await new Promise<void>((resolve) => waiting.push(resolve));
    return messages.map(
      ({ text, event: { type, object } }) => `${text ? "" : "binary "}${type} ${object.metadata.name}`,
    );
  };
  return { socket, until };
}

describe("a watch on a WebSocket", () => {
  test("is one text message an event, and ends with its time", async () => {
    const { socket, until } = open("?watch=true&fieldSelector=metadata.name%3Da&timeoutSeconds=2", ["any"]);
    await once(socket, "open");
    assert.equal(socket.protocol, "any");
    await call(server, path, { method: "POST", body: configMap("a") });
    await call(server, `${path}/a`, { method: "DELETE" });
    assert.deepEqual(await until(2), ["ADDED a", "DELETED a"]);
    const [code] = await once(socket, "close");
    assert.equal(code, 1000);
  });

  test("that is closed by the client is over", async () => {
    const before = await watches();
    const { socket } = open("?watch=1");
    await once(socket, "open");
    assert.equal(await watches(), before + 1);
    socket.close(1000);
    await once(socket, "close");
    while ((await watches()) > before);
  });

  test("is refused as any other, with its Status", async () => {
    const { socket } = open("?watch=true&fieldSelector=spec.nope%3Da");
    const [, response] = await once(socket, "unexpected-response");
    assert.equal(response.statusCode, 400);
    response.resume();
  });

  test.each([
    ["without an Origin", undefined],
    ["from a page without an origin of its own", "null"],
  ])("%s is 403, as upstream has it", async (_name, origin) => {
    const { socket } = open("?watch=true", [], { ...server.certs.admin, origin });
    const [, response] = await once(socket, "unexpected-response");
    assert.equal(response.statusCode, 403);
    response.resume();
  });

  test("takes a token from the protocols, which it does not give back", async () => {
    const path = "/api/v1/namespaces/default/serviceaccounts/default/token";
    await call(server, "/api/v1/namespaces/default/serviceaccounts", {
      method: "POST",
      body: { metadata: { name: "default" } },
    });
    const { json } = await call(server, path, { method: "POST", body: { spec: {} } });
    const token = `base64url.bearer.authorization.k8s.io.${Buffer.from(json.status.token).toString("base64url")}`;
    const { ca } = server.certs.admin;
    const refused = async (protocols: string[]) => {
      const { socket } = open("?watch=true", protocols, { ca });
      const [, response] = await once(socket, "unexpected-response");
      response.resume();
      return response.statusCode;
    };
    assert.equal(await refused(["x"]), 401);
    assert.equal(await refused([token]), 401); // one that names a protocol must be left
    assert.equal(await refused([token, "x"]), 403);
    await call(server, "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {
      method: "POST",
      body: {
        metadata: { name: "reads" },
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "cluster-admin" },
        subjects: [{ kind: "ServiceAccount", name: "default", namespace: "default" }],
      },
    });
    let { socket } = open("?watch=true", [token, "x"], { ca });
    while ((await Promise.race([once(socket, "open"), once(socket, "unexpected-response")])).length > 0) {
      ({ socket } = open("?watch=true", [token, "x"], { ca })); // until the binding is in force
    }
    assert.equal(socket.protocol, "x");
    socket.terminate();
  });
});

async function watches(): Promise<number> {
  const { text } = await call(server, "/metrics");
  return Number(/^apiserver_longrunning_requests (\d+)/m.exec(text)![1]);
}
