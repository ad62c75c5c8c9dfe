import assert from "node:assert/strict";
import { once } from "node:events";
import http, { type IncomingMessage, type ServerResponse } from "node:http";
import http2 from "node:http2";
import https from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { text } from "node:stream/consumers";
import type { TLSSocket } from "node:tls";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, test } from "vitest";
import { call, pod } from "../http.testing.ts";
import { startTestApiserver, type TestApiserver } from "../testing.ts";
import { htmlRewriter, rewriteUrl } from "./pass-request.ts";

/** proxy of Pods, Services and nodes, to servers that tell what they were asked. */
let server: TestApiserver;
const servers: (http.Server | https.Server)[] = [];
let plain: number;
let secure: number;
let agent: number;
const core = "/api/v1/namespaces/default";
const audited: { stage: string; responseStatus?: { code: number }; requestURI: string }[] = [];

/** What the other side does with a request, by its path; else it echoes. */
const answers: Record<string, (request: IncomingMessage, response: ServerResponse) => void> = {};

async function echo(request: IncomingMessage, response: ServerResponse) {
  const answer = answers[request.url!];
  if (answer) return answer(request, response);
  const { CN } = ((request.socket as TLSSocket).getPeerCertificate?.()?.subject ?? {}) as { CN?: string };
  const { method, url, headers } = request;
  response.writeHead(200, { "content-type": "application/json", "access-control-allow-origin": "*", "x-own": "1" });
  response.end(JSON.stringify({ method, url, headers, by: CN, body: await text(request) }));
}

function listen(made: http.Server | https.Server): Promise<number> {
  servers.push(made);
  made.on("upgrade", (request, socket: Duplex) => {
    socket.on("error", () => {});
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n${request.url} `);
    socket.pipe(socket);
  });
  return new Promise((resolve) => made.listen(0, "127.0.0.1", () => resolve((made.address() as AddressInfo).port)));
}

beforeAll(async () => {
  const write = (line: string) => audited.push(JSON.parse(line));
  server = await startTestApiserver({
    audit: {
      policy: { omitStages: ["RequestReceived"], rules: [{ level: "Metadata" }] } as never,
      log: { write: (line) => void write(line), close() {} },
    },
  });
  const pair = await server.authority.issue({ commonName: "n1", ipAddresses: ["127.0.0.1"], usages: ["server"] });
  const strangers = await server.authority.issue({ commonName: "x", dnsNames: ["nobody"], usages: ["server"] });
  plain = await listen(http.createServer(echo));
  secure = await listen(https.createServer({ ...strangers, requestCert: true, rejectUnauthorized: false }, echo));
  agent = await listen(https.createServer({ ...pair, ca: server.authority.cert, requestCert: true }, echo));
  const patch = (path: string, status: object) =>
    call(server, `${path}/status`, {
      method: "PATCH",
      body: { status },
      headers: { "content-type": "application/merge-patch+json" },
    });
  await call(server, "/api/v1/nodes", { method: "POST", body: { metadata: { name: "n1" } } });
  const addresses = [{ type: "InternalIP", address: "127.0.0.1" }];
  await patch("/api/v1/nodes/n1", { addresses, daemonEndpoints: { kubeletEndpoint: { Port: agent } } });
  for (const [name, ip] of Object.entries({ web: "127.0.0.1", odd: "169.254.1.1", none: undefined })) {
    const containers = [{ name: "c", image: "x", ports: [{ containerPort: plain }] }];
    await call(server, `${core}/pods`, { method: "POST", body: pod(name, { containers }) });
    if (ip) await patch(`${core}/pods/${name}`, { podIP: ip, podIPs: [{ ip }] });
  }
  const ports = [
    { name: "http", port: 80 },
    { name: "tls", port: 443 },
  ];
  for (const name of ["web", "empty", "forged"])
    await call(server, `${core}/services`, { method: "POST", body: { metadata: { name }, spec: { ports } } });
  for (const [service, target] of [
    ["web", "web"],
    ["forged", "none"],
  ] as const) {
    const slice = {
      metadata: { name: service, labels: { "kubernetes.io/service-name": service } },
      addressType: "IPv4",
      ports: [
        { name: "http", port: plain },
        { name: "tls", port: secure },
      ],
      endpoints: [
        { addresses: ["127.0.0.9"] },
        { addresses: ["127.0.0.1"], targetRef: { kind: "Pod", name: target, namespace: "default" } },
      ],
    };
    const path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    assert.equal((await call(server, path, { method: "POST", body: slice })).code, 201);
  }
});
afterAll(async () => {
  for (const one of servers) {
    one.close();
    one.closeAllConnections();
  }
  await server?.close();
});

describe("a proxied request", () => {
  test.each(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])("%s comes with all that it has", async (method) => {
    const headers = { authorization: "Bearer x", "x-mine": "1", connection: "x-hop", "x-hop": "1", accept: "image/*" };
    const path = `${core}/pods/web/proxy//a/../%2F?b=%zz`;
    const body = method === "GET" ? undefined : "a=b";
    const { code, json, headers: told } = await call(server, path, { method, headers, body: body! });
    assert.equal(code, 200);
    assert.deepEqual([json.method, json.url, json.body], [method, "//a/../%2F?b=%zz", body ?? ""]);
    const { authorization, accept, host } = json.headers;
    assert.deepEqual([authorization, accept, host], [undefined, "image/*", new URL(server.url).host]);
    const { "x-mine": mine, "x-hop": hop, "x-forwarded-for": from, "x-forwarded-uri": uri } = json.headers;
    assert.deepEqual([mine, hop, from, uri], ["1", undefined, "127.0.0.1", path.replace("?b=%zz", "")]);
    assert.deepEqual([told["x-own"], told["access-control-allow-origin"]], ["1", undefined]);
  });

  test.each([
    ["pods/web/proxy/x", undefined],
    ["pods/http:web:PLAIN/proxy/x", undefined],
    ["pods/https:web:SECURE/proxy/x", undefined],
    ["services/web:http/proxy/x", undefined],
    ["services/web:80/proxy/x", undefined],
    ["services/https:web:tls/proxy/x", undefined],
    ["services/https:web:443/proxy/x", undefined],
    ["nodes/n1/proxy/x", "kube-apiserver-kubelet-client"],
    ["nodes/n1:AGENT/proxy/x", "kube-apiserver-kubelet-client"],
    ["nodes/n1:PLAIN/proxy/x", undefined],
    ["nodes/https:n1:SECURE/proxy/x", undefined],
  ])("to %s is by %s", async (path, by) => {
    const at = path.replace("PLAIN", String(plain)).replace("SECURE", String(secure)).replace("AGENT", String(agent));
    const { json } = await call(server, at.startsWith("nodes") ? `/api/v1/${at}` : `${core}/${at}`);
    assert.deepEqual([json.url, json.by], ["/x", by]);
  });

  test.each([
    ["pods/nope/proxy/", 404, "NotFound", 'pods "nope" not found'],
    ["pods/ftp:web:80/proxy/", 400, "BadRequest", 'invalid pod request "ftp:web:80"'],
    ["pods/odd/proxy/", 400, "BadRequest", "address not allowed"],
    ["pods/none/proxy/", 400, "BadRequest", "address not allowed"],
    [
      "pods/web:1/proxy/",
      503,
      "ServiceUnavailable",
      "error trying to reach service: dial tcp 127.0.0.1:1: connect: connection refused",
    ],
    ["services/a:b:c:d/proxy/", 400, "BadRequest", 'invalid service request "a:b:c:d"'],
    ["services/nope/proxy/", 404, "NotFound", 'services "nope" not found'],
    ["services/web:81/proxy/", 503, "ServiceUnavailable", 'no service port 81 found for service "web"'],
    ["services/web/proxy/", 503, "ServiceUnavailable", 'no endpoints available for service "web"'],
    ["services/empty:http/proxy/", 503, "ServiceUnavailable", 'no endpoints available for service "empty"'],
    // Its only address is of a Pod that has none: not to be reached by who may write endpoints.
    ["services/forged:http/proxy/", 503, "ServiceUnavailable", 'no endpoints available for service "forged"'],
    ["configmaps/a/proxy/", 404, "NotFound", "the server could not find the requested resource"],
  ])("to %s is refused with %i %s: %s", async (path, code, reason, message) => {
    const { json } = await call(server, `${core}/${path}`);
    assert.deepEqual([json.code, json.reason, json.message], [code, reason, message]);
  });

  test.each([
    ["GET", "get"],
    ["POST", "create"],
    ["PUT", "update"],
    ["PATCH", "patch"],
    ["DELETE", "delete"],
  ])("%s needs the verb %s on pods/proxy of the name with its port", async (method, verb) => {
    const cert = await server.certs.node("n9");
    const { json } = await call(server, `${core}/pods/https:web:1/proxy/`, { method, cert });
    const wanted = `pods "https:web:1" is forbidden: User "system:node:n9" cannot ${verb} resource "pods/proxy" in API group "" in the namespace "default"`;
    assert.equal(json.message.slice(0, wanted.length), wanted);
  });

  test("without a path is sent to the one with a slash, so that relative links lead on", async () => {
    const { code, headers } = await call(server, `${core}/pods/web/proxy?a=b`);
    assert.deepEqual([code, headers["location"]], [301, `${core}/pods/web/proxy/?a=b`]);
    const { json } = await call(server, `${core}/pods/web/proxy`, { method: "POST" });
    assert.equal(json.url, "/");
  });

  test("streams both ways over HTTP/2, and the body of a DELETE without a length is one", async () => {
    answers["/stream"] = (request, response) => {
      response.write("first ");
      request.pipe(response);
    };
    const session = http2.connect(server.url, { ...server.certs.admin });
    const stream = session.request(
      { ":method": "DELETE", ":path": `${core}/pods/web/proxy/stream` },
      { endStream: false },
    );
    stream.setEncoding("utf8");
    assert.equal((await once(stream, "data"))[0], "first ");
    stream.write("second ");
    assert.equal((await once(stream, "data"))[0], "second ");
    stream.end("third");
    assert.equal((await once(stream, "data"))[0], "third");
    await once(stream, "end");
    session.close();
  });

  test("that its client gives up is given up at the other side; one cut off there is cut off", async () => {
    const closed = new Promise((resolve) => {
      answers["/hang"] = (request, response) => {
        response.write("x");
        request.on("close", resolve);
      };
    });
    const { hostname: host, port } = new URL(server.url);
    const path = (name: string) => `${core}/pods/web/proxy/${name}`;
    const options = { host, port, agent: false as const, ...server.certs.admin };
    const request = https.get({ ...options, path: path("hang") });
    await once(request, "response");
    request.destroy();
    await closed;
    answers["/cut"] = (_, response) => {
      response.writeHead(200, { "content-length": "10" });
      response.write("x", () => response.destroy());
    };
    await assert.rejects(call(server, path("cut")));
  });

  test("is no matter of size or time: more than the limit of bodies passes", async () => {
    const body = Buffer.alloc(5_000_000, "a");
    const { json } = await call(server, `${core}/pods/web/proxy/?timeout=1ms`, { method: "POST", body });
    assert.equal(json.body.length, body.length);
  });

  test("that asks for an upgrade passes as it is", async () => {
    const { hostname: host, port } = new URL(server.url);
    for (const path of [`${core}/pods/web/proxy/up?a`, `${core}/services/https:web:tls/proxy/up?a`]) {
      const headers = { connection: "Upgrade", upgrade: "x" };
      const request = https.request({ host, port, path, headers, agent: false, ...server.certs.admin });
      request.end();
      const [, socket, first] = (await once(request, "upgrade")) as [unknown, Duplex, Buffer];
      socket.end("said");
      assert.equal(first + (await text(socket)), "/up?a said");
    }
  });

  test("stands in the audit log with the code that was answered", async () => {
    answers["/teapot"] = (_, response) => void response.writeHead(418).end();
    await call(server, `${core}/pods/web/proxy/teapot`);
    await call(server, `${core}/pods/web:1/proxy/teapot`);
    const codes = audited.filter(({ requestURI, stage }) => /teapot/.test(requestURI) && stage === "ResponseStarted");
    assert.deepEqual(
      codes.map(({ responseStatus }) => responseStatus?.code),
      [418, 503],
    );
  });
});

describe("links lead through the proxy again", () => {
  test("in Location and in HTML, packed or not", async () => {
    const prefix = `${core}/pods/web/proxy`;
    const page = `<a href="/x?y">é</a><img src='/i.png'><a href="z">`;
    answers["/page"] = (_, response) => {
      response.writeHead(201, { location: `http://127.0.0.1:${plain}/n/`, "content-type": "text/html; charset=utf-8" });
      response.end(page);
    };
    answers["/packed"] = (_, response) => {
      response.writeHead(200, { "content-type": "text/html", "content-encoding": "gzip" });
      response.end(gzipSync(page));
    };
    const wanted = `<a href="${prefix}/x?y">é</a><img src='${prefix}/i.png'><a href="z">`;
    const first = await call(server, `${prefix}/page`);
    assert.deepEqual([first.code, first.headers["location"], first.text], [201, `${prefix}/n/`, wanted]);
    assert.equal((await call(server, `${prefix}/packed`)).text, wanted);
  });

  test.each([
    ["/a/b/?c#d", "/p/proxy/a/b/?c#d"],
    ["/p/proxy/a", "/p/proxy/a"],
    ["http://pod:80/a", "/p/proxy/a"],
    ["//pod:80/a", "/p/proxy/a"],
    ["https://elsewhere/a", "https://elsewhere/a"],
    ["a/b", "a/b"],
    ["#x", "#x"],
    ["mailto:a@b", "mailto:a@b"],
  ])("%s becomes %s", (url, wanted) => {
    assert.equal(rewriteUrl(url, "/p/proxy", ["pod:80"]), wanted);
  });

  test("wherever the page is cut", async () => {
    const page = `<p>1 < 2</p><a\n href=/x>é</a><form action="/y"></form><b href`;
    for (let cut = 0; cut < page.length; cut++) {
      const rewriter = htmlRewriter((url) => `/p${url}`);
      const bytes = Buffer.from(page);
      rewriter.write(bytes.subarray(0, cut));
      rewriter.end(bytes.subarray(cut));
      assert.equal(await text(rewriter), page.replace("/x", "/p/x").replace("/y", "/p/y"), `at ${cut}`);
    }
  });
});
