import http from "node:http";
import type { AddressInfo } from "node:net";
import { hostname } from "node:os";

/**
 * Image `kubelab/echo`: an HTTP server that answers with who it is and what it was asked, so that one sees which Pod of a
 * Service took a request. Text for people, JSON for `Accept: application/json`; `/healthz` answers `ok`.
 *
 * Environment: PORT (8080), HOST (0.0.0.0), POD_NAME (else the hostname), POD_NAMESPACE, NODE_NAME, POD_IP, IMAGE_NAME,
 * IMAGE_TAG. After SIGTERM it serves on for two seconds, so that the proxies can learn that it leaves, and ends each
 * connection after its answer; then it exits 0. One line a request on stdout. Only node:http: it starts in milliseconds.
 */
const { env } = process;
const identity = {
  pod: env["POD_NAME"] || hostname(),
  namespace: env["POD_NAMESPACE"] ?? "",
  node: env["NODE_NAME"] ?? "",
  ip: env["POD_IP"] ?? "",
  image: `${env["IMAGE_NAME"] ?? "kubelab/echo"}:${env["IMAGE_TAG"] ?? "latest"}`,
};
const drainMs = 2000;
let leaving = false;

const server = http.createServer((request, response) => {
  request.resume();
  if (leaving) response.setHeader("connection", "close");
  const line = `${request.method} ${request.url} HTTP/${request.httpVersion}`;
  const client = `${request.socket.remoteAddress}:${request.socket.remotePort}`;
  if (request.url === "/healthz") {
    response.setHeader("content-type", "text/plain; charset=utf-8");
    response.end("ok");
  } else if (request.headers.accept?.includes("application/json")) {
    response.setHeader("content-type", "application/json");
    response.end(`${JSON.stringify({ ...identity, client, request: line, headers: request.headers })}\n`);
  } else {
    response.setHeader("content-type", "text/plain; charset=utf-8");
    response.end(asText(client, line, request.rawHeaders));
  }
  console.log(`${client} ${line} ${response.statusCode}`);
});

function asText(client: string, line: string, rawHeaders: string[]): string {
  const facts = { ...identity, client };
  const head = Object.entries(facts).map(([name, value]) => `${`${name}:`.padEnd(11)}${value || "-"}`);
  const headers: string[] = [];
  for (let i = 0; i < rawHeaders.length; i += 2) headers.push(`${rawHeaders[i]}: ${rawHeaders[i + 1]}`);
  return `${[...head, "", line, ...headers].join("\n")}\n`;
}

process.on("SIGTERM", () => {
  if (leaving) return;
  leaving = true;
  console.log("SIGTERM: serving on for 2 s");
  setTimeout(() => {
    server.close(() => process.exit(0));
    server.closeIdleConnections();
    setTimeout(() => process.exit(0), drainMs).unref(); // a request that never ends does not keep us
  }, drainMs);
});

server.on("error", (error) => {
  console.error(error.message);
  process.exit(1);
});
server.listen({ host: env["HOST"] || "0.0.0.0", port: Number(env["PORT"] || 8080) }, () => {
  const { address, port } = server.address() as AddressInfo;
  console.log(`${identity.image} listens on ${address}:${port}`);
});
