import assert from "node:assert/strict";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, test } from "vitest";
import type { Pod } from "../../api/generated/core-v1.ts";
import { call, pod } from "../http.testing.ts";
import { startTestApiserver, type TestApiserver } from "../testing.ts";
import { chooseContainer } from "./log.ts";

let server: TestApiserver;
let agent: https.Server;
/** What the agent's side of 10250 was asked, and by whom. */
const asked: string[] = [];

beforeAll(async () => {
  server = await startTestApiserver();
  const pair = await server.authority.issue({
    commonName: "system:node:n1",
    ipAddresses: ["127.0.0.1"],
    usages: ["server"],
  });
  agent = https.createServer(
    { ...pair, ca: server.authority.cert, requestCert: true, rejectUnauthorized: true },
    (request, response) => {
      const { CN } = (request.socket as import("node:tls").TLSSocket).getPeerCertificate().subject as unknown as {
        CN: string;
      };
      asked.push(`${CN} ${request.url}`);
      if (request.url!.includes("/waiting/")) {
        response.writeHead(400);
        return void response.end('container "c" in pod "waiting" is waiting to start: ContainerCreating');
      }
      if (request.url!.includes("limitBytes=8000000")) return void response.end("x".repeat(8_000_000));
      response.write("one\n");
      response.end("two\n");
    },
  );
  await new Promise<void>((resolve) => agent.listen(0, "127.0.0.1", resolve));
  await node("n1", (agent.address() as AddressInfo).port);
  await node("down", 1);
  for (const [name, nodeName] of [
    ["told", "n1"],
    ["waiting", "n1"],
    ["silent", "down"],
  ])
    await call(server, pods, { method: "POST", body: pod(name!, { nodeName }) });
  await call(server, pods, { method: "POST", body: pod("unbound") });
});
afterAll(async () => {
  agent?.close();
  await server?.close();
});

const pods = "/api/v1/namespaces/default/pods";

async function node(name: string, port: number): Promise<void> {
  const status = {
    addresses: [{ type: "InternalIP", address: "127.0.0.1" }],
    daemonEndpoints: { kubeletEndpoint: { Port: port } },
  };
  await call(server, "/api/v1/nodes", { method: "POST", body: { metadata: { name } } });
  const headers = { "content-type": "application/merge-patch+json" };
  await call(server, `/api/v1/nodes/${name}/status`, { method: "PATCH", body: { status }, headers });
}

describe("a Pod's log", () => {
  test("comes from the agent of its node, which is asked with the kubelet client certificate", async () => {
    const options =
      "follow=true&previous=true&sinceTime=2026-01-01T00%3A00%3A00Z&timestamps=true&tailLines=5&limitBytes=9";
    const { code, text, headers } = await call(server, `${pods}/told/log?${options}&nope=1`);
    assert.deepEqual([code, text, headers["content-type"]], [200, "one\ntwo\n", "text/plain"]);
    assert.deepEqual(asked, [`kube-apiserver-kubelet-client /containerLogs/default/told/c?${options}`]);
  });

  test("of any length comes piece by piece, and each leaves no listener behind", async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error) => void warnings.push(warning);
    process.on("warning", onWarning);
    const { text } = await call(server, `${pods}/told/log?limitBytes=8000000`);
    process.off("warning", onWarning);
    assert.deepEqual([text.length, warnings], [8_000_000, []]);
  });

  test("of a container that has not started is a 400 with the agent's words", async () => {
    const { code, json } = await call(server, `${pods}/waiting/log?container=c`);
    assert.deepEqual(
      [code, json.message],
      [400, 'container "c" in pod "waiting" is waiting to start: ContainerCreating'],
    );
  });

  test("is an error that names the agent when that is down", async () => {
    const { code, json } = await call(server, `${pods}/silent/log`);
    assert.equal(code, 500);
    assert.match(
      json.message,
      /Get "https:\/\/127.0.0.1:1\/containerLogs\/default\/silent\/c": dial tcp 127.0.0.1:1: connect: connection refused/,
    );
  });

  test("of a Pod without a node is empty", async () => {
    assert.equal((await call(server, `${pods}/unbound/log`)).text, "");
  });

  test.each([
    ["nope", 400, /container nope is not valid for pod told/],
    ["c&tailLines=x", 400, /^strconv.ParseInt: parsing "x": invalid syntax$/],
    [
      "c&tailLines=-1",
      422,
      /^PodLogOptions "told" is invalid: tailLines: Invalid value: -1: must be greater than or equal/,
    ],
    ["c&limitBytes=0", 422, /limitBytes: Invalid value: 0: must be greater than 0$/],
    ["c&sinceSeconds=0", 422, /sinceSeconds: Invalid value: 0: must be greater than 0$/],
    [
      "c&sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z",
      422,
      /at most one of `sinceTime` or `sinceSeconds` may be spec/,
    ],
  ])("with container=%s is refused", async (query, code, message) => {
    const answer = await call(server, `${pods}/told/log?container=${query}`);
    assert.equal(answer.code, code);
    assert.match(answer.json.message, message);
  });

  test("needs a name when there are several containers", () => {
    const several: Pod = {
      metadata: { name: "p" },
      spec: { containers: [{ name: "a" }, { name: "b" }], initContainers: [{ name: "i" }] },
    };
    assert.throws(() => chooseContainer(several, ""), /choose one of: \[a b\] or one of the init containers: \[i\]/);
    assert.equal(chooseContainer(several, "i"), "i");
  });
});
