import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import type { Registry } from "prom-client";

/**
 * The operator's door of a process: `/healthz` and `/livez` (200 as long as the process answers), `/readyz` (200 once
 * ready, else 503 and why), `/metrics` (Prometheus text). Plain HTTP, on an address inside the lab.
 */
export interface OpsServerOptions {
  host: string;
  port: number;
  registry: Registry;
  /** Undefined when ready, else what is still missing. */
  notReady: () => string | undefined;
}

export async function startOpsServer(options: OpsServerOptions): Promise<{ port: number; close(): void }> {
  const server = http.createServer((request, response) => void handle(options, request, response));
  await once(server.listen(options.port, options.host), "listening");
  return { port: (server.address() as AddressInfo).port, close: () => server.close() };
}

/** Also mounted by processes that serve these paths on a port of their own. Returns false for other paths. */
export async function handle(
  { registry, notReady }: Pick<OpsServerOptions, "registry" | "notReady">,
  request: http.IncomingMessage,
  response: http.ServerResponse,
): Promise<boolean> {
  const path = (request.url ?? "/").split("?")[0];
  const text = (code: number, body: string, type = "text/plain; charset=utf-8") => {
    response.writeHead(code, { "content-type": type });
    response.end(body);
    return true;
  };
  if (path === "/healthz" || path === "/livez") return text(200, "ok");
  if (path === "/readyz") {
    const missing = notReady();
    return missing === undefined ? text(200, "ok") : text(503, `not ready: ${missing}\n`);
  }
  if (path === "/metrics") return text(200, await registry.metrics(), registry.contentType);
  text(404, "404 page not found\n");
  return false;
}
