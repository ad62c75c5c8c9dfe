import { chmodSync, mkdirSync, rmSync } from "node:fs";
import http from "node:http";
import { dirname } from "node:path";
import type { Registry } from "../../base/metrics.ts";
import { handle as handleOps } from "../../base/ops-server.ts";
import { FaultRefused, type FaultReport, type HealReport } from "../../lab/faults/types.ts";
import type { LabEvent } from "./events.ts";
import type { LabStatus } from "./status.ts";

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
  status(): Promise<LabStatus>;
  events(): readonly LabEvent[];
  follow(listener: (event: LabEvent) => void): () => void;
  /** Both return the names of the processes that were meant. */
  kill(process: string, signal: string): Promise<string[]>;
  start(process: string): Promise<string[]>;
  fault(request: Record<string, unknown>): Promise<FaultReport>;
  faults(): Promise<FaultReport[]>;
  heal(id: string | undefined): Promise<HealReport[]>;
  stop(): Promise<void>;
  /** What the lab still waits for; undefined once it is up. */
  notReady(): string | undefined;
  registry: Registry;
}

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
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  rmSync(path, { force: true }); // of a supervisor that was killed: the slot is ours, so it is dead
  const streams = new Set<http.ServerResponse>();
  const server = http.createServer((request, response) => {
    handle(api, streams, request, response).catch((error: Error) => {
      if (response.headersSent) return response.destroy();
      respond(response, error instanceof RequestError || error instanceof FaultRefused ? 400 : 500, {
        error: error.message,
      });
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    const mask = process.umask(0o177);
    server.listen(path, resolve);
    process.umask(mask);
  });
  chmodSync(path, 0o600);
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
  switch (`${request.method} ${request.url}`) {
    case "GET /v1/status":
      return respond(response, 200, await api.status());
    case "GET /v1/events": {
      response.writeHead(200, { "content-type": "application/x-ndjson" });
      const stop = api.follow((event) => response.write(`${JSON.stringify(event)}\n`));
      streams.add(response);
      response.on("close", () => {
        streams.delete(response);
        stop();
      });
      return;
    }
    case "GET /v1/events?follow=false":
      return respond(response, 200, api.events());
    case "POST /v1/kill": {
      const { process, signal = "SIGKILL" } = await readBody(request);
      return respond(response, 200, { processes: await api.kill(text(process, "process"), text(signal, "signal")) });
    }
    case "POST /v1/start": {
      const { process } = await readBody(request);
      return respond(response, 200, { processes: await api.start(text(process, "process")) });
    }
    case "POST /v1/fault":
      return respond(response, 200, await api.fault(await readBody(request)));
    case "GET /v1/faults":
      return respond(response, 200, await api.faults());
    case "POST /v1/heal": {
      const { id } = await readBody(request);
      return respond(response, 200, await api.heal(id === undefined ? undefined : text(id, "id")));
    }
    case "GET /healthz":
    case "GET /livez":
    case "GET /readyz":
    case "GET /metrics":
      await handleOps(api, request, response);
      return;
    case "POST /v1/stop":
      await api.stop();
      return respond(response, 200, {});
    default:
      return respond(response, 404, { error: `no such request: ${request.method} ${request.url}` });
  }
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
