import http from "node:http";
import https from "node:https";
import net from "node:net";
import type { Container, HTTPGetAction, TCPSocketAction } from "../api/generated/core-v1.ts";

/** One try of a probe or hook over the network, from the node to the Pod; texts are those of upstream's probes. */
export interface ProbeOutcome {
  ok: boolean;
  message: string;
}

/** Any answer from 200 to 399 is a success. */
export async function httpGet(
  action: HTTPGetAction,
  container: Container,
  podIP: string,
  timeoutMs: number,
): Promise<ProbeOutcome> {
  const port = portNumber(action.port, container);
  const scheme = (action.scheme ?? "HTTP").toLowerCase();
  const host = action.host || podIP;
  // As Go writes a URL: what may not stand in one is escaped.
  const path = (action.path ?? "/").replace(/^(?!\/)/, "/").replace(/[^\x21-\x7e]/gu, encodeURIComponent);
  const url = `${scheme}://${host}:${port}${path}`;
  const headers: http.OutgoingHttpHeaders = { "user-agent": "kube-probe/1.34", accept: "*/*", connection: "close" };
  for (const { name, value } of action.httpHeaders ?? []) headers[name.toLowerCase()] = value;
  return new Promise((resolve) => {
    const options = { host, port, path, headers, agent: false, signal: timeout(timeoutMs) };
    const done = (response: http.IncomingMessage) => {
      response.resume();
      const code = response.statusCode ?? 0;
      if (code >= 200 && code < 400) resolve({ ok: true, message: "" });
      else resolve({ ok: false, message: `HTTP probe failed with statuscode: ${code}` });
    };
    const request =
      scheme === "https"
        ? https.get({ ...options, rejectUnauthorized: false }, done)
        : http.get({ ...options, protocol: "http:" }, done);
    request.on("error", (error: NodeJS.ErrnoException) => {
      const timedOut = error.name === "AbortError" || error.name === "TimeoutError";
      const why = timedOut
        ? "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        : dialError(host, port, error);
      resolve({ ok: false, message: `Get "${url}": ${why}` });
    });
  });
}

/** A connection that comes about is a success. */
export async function tcpSocket(
  action: TCPSocketAction,
  container: Container,
  podIP: string,
  timeoutMs: number,
): Promise<ProbeOutcome> {
  const port = portNumber(action.port, container);
  const host = action.host || podIP;
  return new Promise((resolve) => {
    const socket = net.connect({ host, port, signal: timeout(timeoutMs) });
    socket.once("connect", () => {
      resolve({ ok: true, message: "" });
      socket.destroy();
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      resolve({ ok: false, message: dialError(host, port, error) });
    });
  });
}

/** Timers know no longer one. */
const timeout = (ms: number): AbortSignal => AbortSignal.timeout(Math.min(ms, 2 ** 31 - 1));

/** A port by number, or by the name that the container gives it. Throws when it is none. */
export function portNumber(port: number | string, { ports = [] }: Container): number {
  const named = typeof port === "string" ? ports.find(({ name }) => name === port)?.containerPort : undefined;
  const number = named ?? Number(port);
  if (number > 0 && number < 65536) return number;
  throw new Error(`invalid port: ${port}`);
}

function dialError(host: string, port: number, error: NodeJS.ErrnoException): string {
  const reasons: Record<string, string> = {
    ECONNREFUSED: "connect: connection refused",
    EHOSTUNREACH: "connect: no route to host",
    ENETUNREACH: "connect: network is unreachable",
    ABORT_ERR: "i/o timeout",
  };
  if (error.code === "ECONNRESET") return "EOF";
  return `dial tcp ${host}:${port}: ${reasons[error.code ?? ""] ?? error.message}`;
}
