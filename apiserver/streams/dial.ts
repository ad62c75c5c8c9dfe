import http, { type ClientRequest, type IncomingMessage } from "node:http";
import https from "node:https";
import type { Readable } from "node:stream";
import type { Clock } from "../../base/clock.ts";
import { faultyAgent } from "../../net/faulty-link.ts";
import type { HttpRequest, HttpResponse } from "../http/server.ts";
import { protocolsOf } from "../http/web-socket.ts";
import type { Location } from "./location.ts";

/** A request to where its Location says; silent for as long as it likes once the connection is there. */
export function dial({ host, port, path, tls, faults }: Location, options: https.RequestOptions): ClientRequest {
  const security = tls === "any" ? { rejectUnauthorized: false } : tls;
  const { Agent, request } = tls ? https : http;
  const target = {
    host,
    port,
    path: path.startsWith("/") ? path : `/${path}`,
    agent: faultyAgent(new Agent(), faults),
  };
  const call = request({ ...target, ...security, ...options });
  call.on("socket", (socket) => {
    socket.setTimeout(dialMs, () => call.destroy(new Error("i/o timeout")));
    socket.once(tls ? "secureConnect" : "connect", () => socket.setTimeout(0));
  });
  return call;
}

/** Sends `body`, and takes the whole answer into memory; with `streams` a good one is left to come as it does. */
export function exchange(
  call: ClientRequest,
  limits: { clock: Clock; timeoutMs: number; maxBytes: number; streams?: boolean },
  body?: Buffer,
): Promise<{ code: number; text: string; stream?: IncomingMessage }> {
  return new Promise((resolve, reject) => {
    const cancel = limits.clock.after(limits.timeoutMs, () => void call.destroy(new Error(timeoutText)));
    call.on("close", cancel);
    call.on("error", reject);
    call.on("response", (answer) => {
      if (limits.streams && answer.statusCode === 200) {
        cancel();
        return resolve({ code: 200, text: "", stream: answer });
      }
      const chunks: Buffer[] = [];
      let length = 0;
      answer.on("error", reject);
      answer.on("data", (chunk: Buffer) => {
        length += chunk.length;
        if (length > limits.maxBytes) call.destroy(new Error("the answer is too large"));
        else chunks.push(chunk);
      });
      answer.on("end", () => resolve({ code: answer.statusCode ?? 500, text: Buffer.concat(chunks).toString() }));
    });
    call.end(body);
  });
}

export const timeoutText = "context deadline exceeded";

export const hostOf = ({ host, port, tls }: Location): string =>
  `${host.includes(":") ? `[${host}]` : host}:${port ?? (tls ? 443 : 80)}`;

export function dialText(location: Location, { code, message }: NodeJS.ErrnoException): string {
  return `dial tcp ${hostOf(location)}: ${code === "ECONNREFUSED" ? "connect: connection refused" : message}`;
}

export function copy(from: Readable, response: HttpResponse): void {
  from.on("data", (chunk: Buffer) => {
    if (!response.write(chunk)) from.pause();
  });
  response.on("drain", () => from.resume());
  from.on("end", () => response.end());
  from.on("error", () => response.destroy());
}

/** Headers that are for the next hop only (RFC 9110, 7.6.1), and HTTP/2's pseudo headers. */
export function endToEnd<T>(headers: Readonly<Record<string, T | undefined>>): Record<string, T> {
  const named = String(headers["connection"] ?? "")
    .toLowerCase()
    .split(/[ ,]+/);
  const result: Record<string, T> = {};
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined && !hop.test(name) && !named.includes(name)) result[name] = value;
  return result;
}

const hop = /^(:.*|connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|http2-settings|expect)$/;

/** All headers but those that say who the client is: towards the agent the apiserver speaks for itself. */
export function forwarded(headers: HttpRequest["headers"]): Record<string, string | string[]> {
  const result: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined && !/^(authorization|impersonate-.*|x-remote-.*)$/.test(name)) result[name] = value;
  if (result["sec-websocket-protocol"]) result["sec-websocket-protocol"] = protocolsOf({ headers }).join(", ");
  return result;
}

const dialMs = 10_000;
