import http from "node:http";
import type { Registry } from "../../base/metrics.ts";
import { handle as handleOps } from "../../base/ops-server.ts";
import { listenPrivately } from "../../base/private-socket.ts";
import { FaultRefused } from "../../lab/faults/types.ts";
import type { EventLog } from "./events.ts";
import type { Supervisor } from "./supervisor.ts";

/**
 * The supervisor's door: HTTP/JSON on a unix socket that only its user may open.
 *
 *   GET  /v1/status                       LabStatus
 *   GET  /v1/events                       LabEvents so far and from now on, one JSON object a line
 *   GET  /v1/events?follow=false          LabEvents so far, as an array
 *   POST /v1/kill   {process, signal}     stays down until start; `process` may be a role (`leader`) or a node
 *   POST /v1/start  {process}
 *   POST /v1/fault  FaultRequest          FaultReport (lab/faults/types.ts)
 *   GET  /v1/faults                       FaultReports of those that can still be undone
 *   POST /v1/heal   {id?}                 HealReports; without an id all
 *   POST /v1/stop                         takes the lab down; answers when all is gone
 *   GET  /healthz /livez /readyz /metrics  as on every process; ready when the lab is up
 *
 * A request that cannot be met is 4xx with {"error": "one line"}.
 */
export interface SupervisorApi {
  supervisor: Pick<Supervisor, "status" | "kill" | "start" | "faults">;
  events: Pick<EventLog, "all" | "follow">;
  stop(): Promise<void>;
  /** What the lab still waits for; undefined once it is up. */
  notReady(): string | undefined;
  registry: Registry;
}

type Route = (api: SupervisorApi, body: Record<string, unknown>) => unknown;

const routes: Record<string, Route> = {
  "GET /v1/status": ({ supervisor }) => supervisor.status(),
  "GET /v1/events?follow=false": ({ events }) => events.all(),
  "POST /v1/kill": async ({ supervisor }, { process, signal = "SIGKILL" }) => ({
    processes: await supervisor.kill(text(process, "process"), text(signal, "signal")),
  }),
  "POST /v1/start": async ({ supervisor }, { process }) => ({
    processes: await supervisor.start(text(process, "process")),
  }),
  "POST /v1/fault": ({ supervisor }, body) => supervisor.faults.fault(body),
  "GET /v1/faults": ({ supervisor }) => supervisor.faults.list(),
  "POST /v1/heal": ({ supervisor }, { id }) => supervisor.faults.heal(id === undefined ? undefined : text(id, "id")),
  "POST /v1/stop": ({ stop }) => stop().then(() => ({})),
};

/** The caller's mistake; its message is the answer. */
export class RequestError extends Error {
  override name = "RequestError";
}

export interface Door {
  /** No new requests from here on. */
  stopListening(): void;
  /** Resolves when every answer has been handed to the kernel; streams end here. */
  drained(): Promise<void>;
}

export async function serveApi(path: string, api: SupervisorApi): Promise<Door> {
  const streams = new Set<http.ServerResponse>();
  const server = http.createServer((request, response) => {
    handle(api, streams, request, response).catch((error: Error) => {
      if (response.headersSent) return response.destroy();
      const refused = error instanceof RequestError || error instanceof FaultRefused;
      respond(response, refused ? 400 : 500, { error: error.message });
    });
  });
  await listenPrivately(server, path); // in place of a supervisor that was killed: the slot is ours, so it is dead
  return {
    stopListening: () => void server.close(),
    drained: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const stream of streams) stream.end();
        server.closeIdleConnections();
      }),
  };
}

async function handle(
  api: SupervisorApi,
  streams: Set<http.ServerResponse>,
  request: http.IncomingMessage,
  response: http.ServerResponse,
): Promise<void> {
  const asked = `${request.method} ${request.url}`;
  if (asked === "GET /v1/events") {
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    const stop = api.events.follow((event) => response.write(`${JSON.stringify(event)}\n`));
    streams.add(response);
    response.on("close", () => {
      streams.delete(response);
      stop();
    });
    return;
  }
  if (/^GET \/(healthz|livez|readyz|metrics)$/.test(asked)) return void (await handleOps(api, request, response));
  const route = Object.hasOwn(routes, asked) ? routes[asked] : undefined;
  if (route === undefined) return respond(response, 404, { error: `no such request: ${asked}` });
  respond(response, 200, await route(api, request.method === "POST" ? await readBody(request) : {}));
}

async function readBody(request: http.IncomingMessage): Promise<Record<string, unknown>> {
  let body = "";
  for await (const chunk of request) {
    body += chunk;
    if (body.length > 65_536) throw new RequestError("the request is too long");
  }
  try {
    return Object(JSON.parse(body || "{}")) as Record<string, unknown>;
  } catch {
    throw new RequestError("the request is not JSON");
  }
}

function text(value: unknown, field: string): string {
  if (typeof value !== "string" || value === "") throw new RequestError(`"${field}" is required`);
  return value;
}

function respond(response: http.ServerResponse, code: number, body: unknown): void {
  response.writeHead(code, { "content-type": "application/json", connection: "close" });
  response.end(`${JSON.stringify(body)}\n`);
}
