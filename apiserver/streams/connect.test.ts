import assert from "node:assert/strict";
import { once } from "node:events";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { type Duplex, duplexPair } from "node:stream";
import { text } from "node:stream/consumers";
import type { TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, test } from "vitest";
import { call, pod } from "../http.testing.ts";
import { startTestApiserver, type TestApiserver } from "../testing.ts";
import { join } from "./connect.ts";

/** The apiserver's part of exec, attach and port-forward, against an agent that answers upgrades with an echo. */
let server: TestApiserver;
let agent: https.Server;
/** What the agent was asked for, and by whom. */
const asked: string[] = [];
let agentSide: TLSSocket;
const pods = "/api/v1/namespaces/default/pods";

beforeAll(async () => {
  server = await startTestApiserver();
  const pair = await server.authority.issue({
    commonName: "system:node:n1",
    ipAddresses: ["127.0.0.1"],
    usages: ["server"],
  });
  agent = https.createServer({ ...pair, ca: server.authority.cert, requestCert: true, rejectUnauthorized: true });
  agent.on("upgrade", (request, socket: TLSSocket) => {
    const { CN } = socket.getPeerCertificate().subject as unknown as { CN: string };
    asked.push(`${request.method} ${request.url} ${request.headers.upgrade} by ${CN} ${request.headers.authorization}`);
    agentSide = socket;
    socket.on("error", () => {});
    if (request.url!.includes("/refusing/"))
      return void socket.end("HTTP/1.1 404 Not Found\r\nContent-Length: 13\r\nConnection: close\r\n\r\nno container\n");
    socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\nhello ",
    );
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => agent.listen(0, "127.0.0.1", resolve));
  for (const [name, port] of [
    ["n1", (agent.address() as AddressInfo).port],
    ["down", 1],
  ] as const) {
    const status = {
      addresses: [{ type: "InternalIP", address: "127.0.0.1" }],
      daemonEndpoints: { kubeletEndpoint: { Port: port } },
    };
    await call(server, "/api/v1/nodes", { method: "POST", body: { metadata: { name } } });
    const headers = { "content-type": "application/merge-patch+json" };
    await call(server, `/api/v1/nodes/${name}/status`, { method: "PATCH", body: { status }, headers });
  }
  const two = [
    { name: "a", image: "x" },
    { name: "b", image: "x" },
  ];
  for (const [name, spec] of [
    ["one", { nodeName: "n1" }],
    ["refusing", { nodeName: "n1" }],
    ["two", { nodeName: "n1", containers: two }],
    ["silent", { nodeName: "down" }],
    ["lost", { nodeName: "nowhere" }],
    ["unbound", {}],
  ] as const)
    await call(server, pods, { method: "POST", body: pod(name, spec) });
});
afterAll(async () => {
  agent?.close();
  agent?.closeAllConnections();
  await server?.close();
});

const wanting = {
  connection: "Upgrade",
  upgrade: "SPDY/3.1",
  "x-stream-protocol-version": "v4.channel.k8s.io",
  "content-length": "0",
};

function upgraded(path: string, method = "POST"): Promise<{ socket: Duplex; first: Buffer; protocol: unknown }> {
  const { hostname: host, port } = new URL(server.url);
  return new Promise((resolve, reject) => {
    const options = { host, port, path, method, headers: wanting, agent: false as const, ...server.certs.admin };
    const request = https.request(options);
    request.on("upgrade", ({ headers }, socket, first) =>
      resolve({ socket, first, protocol: headers["x-stream-protocol-version"] }),
    );
    request.on("response", ({ statusCode }) => reject(new Error(`answered ${statusCode}`)));
    request.on("error", reject);
    request.end();
  });
}

describe("a stream of a Pod", () => {
  test.each([
    [
      "POST",
      "one/exec?command=sh&command=-c&command=a%20b&stdin=true&stdout=1&stderr=false",
      "/exec/default/one/c?command=sh&command=-c&command=a+b&input=1&output=1",
    ],
    ["GET", "two/attach?container=b&stdout=true&tty=true", "/attach/default/two/b?output=1&tty=1"],
    ["POST", "one/portforward", "/portForward/default/one"],
    ["GET", "one/portforward?ports=80,81", "/portForward/default/one?port=80%2C81"],
  ])("%s %s goes to the agent's %s as the apiserver", async (method, path, at) => {
    const { socket, protocol } = await upgraded(`${pods}/${path}`, method);
    socket.destroy();
    assert.equal(protocol, "v4.channel.k8s.io");
    assert.equal(asked.at(-1), `${method} ${at} SPDY/3.1 by kube-apiserver-kubelet-client undefined`);
  });

  test("carries bytes both ways to the last one, after the client has said its end", async () => {
    const { socket, first } = await upgraded(`${pods}/one/exec?command=cat&stdin=true`);
    const sent = "0123456789abcdef".repeat(200_000);
    const all = text(socket);
    socket.end(sent);
    const [got, wanted] = [Buffer.from(first.toString() + (await all)), Buffer.from(`hello ${sent}`)];
    assert.equal(got.length, wanted.length);
    assert.ok(got.equals(wanted)); // no text of megabytes to compare
  });

  test("ends at the agent when the client is cut off, and at the client when the agent is", async () => {
    const one = await upgraded(`${pods}/one/exec?command=cat`);
    one.socket.on("error", () => {});
    one.socket.destroy();
    if (!agentSide.closed) await once(agentSide, "close");
    const other = await upgraded(`${pods}/one/exec?command=cat`);
    other.socket.on("error", () => {});
    agentSide.destroy();
    if (!other.socket.closed) await once(other.socket.resume(), "close");
  });

  test("pauses who writes while the other does not read", async () => {
    const [client, ours] = duplexPair({ highWaterMark: 10 });
    const [agentOurs, agentTheirs] = duplexPair({ highWaterMark: 10 });
    join(ours, agentOurs);
    let written = 0;
    for (let turn = 0; turn < 50; turn++) {
      await new Promise((resolve) => setImmediate(resolve));
      if (client.writableNeedDrain) continue;
      client.write(Buffer.alloc(10));
      written += 10;
    }
    assert.ok(client.writableNeedDrain);
    assert.ok(written <= 100, `${written} bytes were taken`);
    for (const end of [client, ours, agentOurs, agentTheirs]) end.destroy();
  });

  test.each([
    ["nope/exec?command=x", 404, 'pods "nope" not found'],
    ["two/exec?command=x", 400, "a container name must be specified for pod two, choose one of: [a b]"],
    ["two/attach?container=z", 400, "container z is not valid for pod two"],
    ["unbound/exec?command=x", 400, "pod unbound does not have a host assigned"],
    ["unbound/portforward", 400, "pod unbound does not have a host assigned"],
    ["lost/exec?command=x", 404, 'nodes "nowhere" not found'],
    ["silent/exec?command=x", 500, "error dialing backend: dial tcp 127.0.0.1:1: connect: connection refused"],
  ])("%s is refused with %i and upstream's words", async (path, code, message) => {
    const answer = await call(server, `${pods}/${path}`, { method: "POST", headers: wanting });
    assert.deepEqual([answer.code, answer.json.message], [code, message]);
  });

  test("needs an upgrade", async () => {
    const { code, json } = await call(server, `${pods}/one/exec?command=x`, { method: "POST" });
    assert.deepEqual([code, json.reason, json.message], [400, "BadRequest", "Upgrade request required"]);
  });

  test("that the agent refuses is answered with the agent's words", async () => {
    const { code, text: body } = await call(server, `${pods}/refusing/exec?command=x`, {
      method: "POST",
      headers: wanting,
    });
    assert.deepEqual([code, body], [404, "no container\n"]);
  });

  test.each([
    ["POST", "create"],
    ["GET", "get"],
  ])("over %s needs the verb %s on pods/exec", async (method, verb) => {
    const cert = await server.certs.node("n1");
    const answer = await call(server, `${pods}/one/exec?command=x`, { method, headers: wanting, cert });
    assert.equal(answer.code, 403);
    assert.match(answer.json.message, new RegExp(`cannot ${verb} resource "pods/exec" in API group ""`));
  });

  test("may be forbidden by a policy, which sees CONNECT and the command", async () => {
    const base = "/apis/admissionregistration.k8s.io/v1";
    const spec = {
      failurePolicy: "Fail",
      matchConstraints: {
        resourceRules: [{ apiGroups: [""], apiVersions: ["v1"], operations: ["CONNECT"], resources: ["pods/exec"] }],
      },
      validations: [{ expression: "object.command[0] != 'rm'", message: "not that one" }],
    };
    await call(server, `${base}/validatingadmissionpolicies`, {
      method: "POST",
      body: { metadata: { name: "p" }, spec },
    });
    const binding = { metadata: { name: "b" }, spec: { policyName: "p", validationActions: ["Deny"] } };
    await call(server, `${base}/validatingadmissionpolicybindings`, { method: "POST", body: binding });
    // The policy is in force once the apiserver's cache has it, which a consistent list waits for.
    await call(server, `${base}/validatingadmissionpolicybindings`);
    const answer = await call(server, `${pods}/one/exec?command=rm`, { method: "POST", headers: wanting });
    assert.match(answer.json.message, /not that one/);
    assert.equal(answer.code, 422);
    (await upgraded(`${pods}/one/exec?command=ls`)).socket.destroy();
  });
});

test("other requests that would like an upgrade are answered as if they had not", async () => {
  const { code, json } = await call(server, pods, { headers: { connection: "Upgrade", upgrade: "h2c" } });
  assert.deepEqual([code, json.kind], [200, "PodList"]);
  const warnings: Error[] = [];
  const onWarning = (warning: Error) => void warnings.push(warning);
  process.on("warning", onWarning);
  const { hostname: host, port } = new URL(server.url);
  const body = JSON.stringify({ metadata: { name: "upgrading" }, data: { text: "x".repeat(300_000) } });
  const headers = {
    connection: "Upgrade",
    upgrade: "h2c",
    "content-type": "application/json",
    "content-length": body.length,
  };
  const path = "/api/v1/namespaces/default/configmaps";
  const request = https.request({ host, port, path, method: "POST", headers, agent: false, ...server.certs.admin });
  request.end(body);
  const [answer] = await once(request, "response");
  assert.equal(answer.statusCode, 201);
  assert.equal(JSON.parse(await text(answer)).data.text.length, 300_000);
  process.off("warning", onWarning);
  assert.deepEqual(warnings, []); // of listeners that are left behind
});
