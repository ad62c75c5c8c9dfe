import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import https from "node:https";
import type { TLSSocket } from "node:tls";
import type { Clock } from "../base/clock.ts";
import type { Logger } from "../base/logger.ts";
import type { Registry } from "../base/metrics.ts";
import { handle as handleOps } from "../base/ops-server.ts";
import { StartError } from "../base/process.ts";
import type { TlsMaterial } from "../net/tls.ts";
import { type LogOptions, readLog } from "./log-reader.ts";
import type { PodWorker } from "./pod-worker.ts";
import type { NodePods } from "./pods.ts";

export interface ServerOptions {
  host: string;
  port: number;
  /** `ca` signs the client certificates. */
  tls: TlsMaterial;
  pods: NodePods;
  registry: Registry;
  notReady: () => string | undefined;
  clock: Clock;
  log: Logger;
}

/**
 * The kubelet's API on 10250, for the apiserver: `/containerLogs/NAMESPACE/POD/CONTAINER`, `/pods`, `/healthz`,
 * `/metrics`. Callers show a client certificate of the cluster's authority; only group system:masters is let in, which
 * is the apiserver's client (Differs: upstream asks the apiserver by SubjectAccessReview).
 */
export async function startServer(options: ServerOptions): Promise<{ port: number; close(): void }> {
  const { tls, host, port, log } = options;
  const server = https.createServer({ ...tls, requestCert: true, rejectUnauthorized: false }, (request, response) => {
    response.on("error", () => {});
    handle(options, request, response).catch((err) => {
      log.error({ err, url: request.url }, "Request failed");
      if (!response.headersSent) fail(response, 500, (err as Error).message);
      else response.destroy();
    });
  });
  await once(server.listen(port, host), "listening").catch((cause: NodeJS.ErrnoException) => {
    throw new StartError(`cannot listen on ${host}:${port}: ${cause.code ?? cause.message}`, { cause });
  });
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { port: (server.address() as { port: number }).port, close };
}

async function handle(options: ServerOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const socket = request.socket as TLSSocket;
  if (!socket.authorized) return fail(response, 401, "Unauthorized");
  const { CN: user = "", O: groups = [] } = socket.getPeerCertificate().subject as {
    CN?: string;
    O?: string | string[];
  };
  const url = new URL(request.url ?? "/", "https://node");
  const verb = request.method === "GET" ? "get" : (request.method ?? "").toLowerCase();
  if (![groups].flat().includes("system:masters")) {
    const subresource = url.pathname.startsWith("/containerLogs/") ? "log" : "proxy";
    return fail(
      response,
      403,
      `Forbidden (user=${user}, verb=${verb}, resource=nodes, subresource(s)=[${subresource}])`,
    );
  }
  if (request.method !== "GET") return fail(response, 405, "Method Not Allowed");
  const [, root, namespace, pod, container, ...more] = url.pathname.split("/").map(decodeURIComponent);
  if (root === "containerLogs" && container && more.length === 0)
    return containerLogs(options, { namespace: namespace!, pod: pod!, container }, url.searchParams, response);
  if (url.pathname === "/pods" || url.pathname === "/pods/") {
    const items = [...options.pods.workers].flatMap(({ pod: item, status }) =>
      item ? [{ ...item, ...(status && { status: { ...item.status, ...status } }) }] : [],
    );
    response.writeHead(200, { "content-type": "application/json" });
    return void response.end(JSON.stringify({ kind: "PodList", apiVersion: "v1", metadata: {}, items }));
  }
  await handleOps(options, request, response);
}

async function containerLogs(
  { pods, clock }: ServerOptions,
  of: { namespace: string; pod: string; container: string },
  query: URLSearchParams,
  response: ServerResponse,
): Promise<void> {
  const worker = pods.find(of.namespace, of.pod);
  if (worker === undefined) return fail(response, 404, `pod "${of.pod}" does not exist`);
  let options: LogOptions;
  let id: string;
  try {
    options = logOptions(query, clock.now());
    id = logContainer(worker, of, isTrue(query.get("previous")));
  } catch (error) {
    return fail(response, 400, (error as Error).message);
  }
  const info = worker.containers.find((container) => container.id === id);
  if (info === undefined) return fail(response, 404, `container "${of.container}" in pod "${of.pod}" is not available`);
  const gone = new AbortController();
  response.on("close", () => gone.abort());
  const isRunning = () => worker.containers.some((container) => container.id === id && container.state === "running");
  response.writeHead(200, { "content-type": "text/plain" });
  response.flushHeaders();
  try {
    for await (const bytes of readLog(info.logPath, options, { clock, signal: gone.signal, isRunning })) {
      if (gone.signal.aborted) return;
      if (!response.write(bytes))
        await new Promise((resolve) => response.once("drain", resolve).once("close", resolve));
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    response.write(`failed to try resolving symlinks in path "${info.logPath}": no such file or directory\n`);
  }
  response.end();
}

/** The id of the container whose log is meant, by what the status says. Throws upstream's text. */
export function logContainer(
  { status }: Pick<PodWorker, "status">,
  { pod, container }: { pod: string; container: string },
  previous: boolean,
): string {
  const all = [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])];
  const found = all.find(({ name }) => name === container);
  if (found === undefined) throw new Error(`container "${container}" in pod "${pod}" is not available`);
  const { state = {}, lastState = {} } = found;
  const last = lastState.terminated?.containerID;
  const idOf = (containerID: string | undefined) => containerID?.replace(/^\w+:\/\//, "");
  if (previous) {
    const id = idOf(last);
    if (id === undefined) throw new Error(`previous terminated container "${container}" in pod "${pod}" not found`);
    return id;
  }
  const id = idOf(state.running ? found.containerID : (state.terminated?.containerID ?? last));
  if (id !== undefined) return id;
  const reasons: Record<string, string> = {
    ErrImagePull: "image can't be pulled",
    ImagePullBackOff: "trying and failing to pull image",
  };
  const reason = state.waiting?.reason ?? "";
  throw new Error(`container "${container}" in pod "${pod}" is waiting to start: ${reasons[reason] ?? reason}`);
}

function logOptions(query: URLSearchParams, nowMs: number): LogOptions {
  const number = (name: string, least: number) => {
    const text = query.get(name);
    if (text === null || text === "") return undefined;
    const value = Number(text);
    if (!Number.isInteger(value) || value < least) throw new Error(`invalid value for ${name}: ${text}`);
    return value;
  };
  const sinceSeconds = number("sinceSeconds", 1);
  const sinceTime = query.get("sinceTime");
  const sinceMs =
    sinceSeconds !== undefined ? nowMs - sinceSeconds * 1000 : sinceTime ? Date.parse(sinceTime) : undefined;
  if (Number.isNaN(sinceMs)) throw new Error(`invalid value for sinceTime: ${sinceTime}`);
  const tailLines = number("tailLines", 0);
  const limitBytes = number("limitBytes", 1);
  return {
    follow: isTrue(query.get("follow")),
    timestamps: isTrue(query.get("timestamps")),
    ...(tailLines !== undefined && { tailLines }),
    ...(limitBytes !== undefined && { limitBytes }),
    ...(sinceMs !== undefined && { sinceMs }),
  };
}

const isTrue = (text: string | null): boolean => text === "true" || text === "1";

function fail(response: ServerResponse, code: number, text: string): void {
  response.writeHead(code, { "content-type": "text/plain; charset=utf-8" });
  response.end(text);
}
