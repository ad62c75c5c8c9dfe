import type { IncomingMessage } from "node:http";
import https from "node:https";
import type { Duplex } from "node:stream";
import { badRequest, failure } from "../../apimachinery/status.ts";
import type { TlsMaterial } from "../../net/tls.ts";
import type { HttpRequest, HttpResponse } from "../http/server.ts";

/** An agent's address for one stream. */
export interface AgentLocation {
  host: string;
  port: number;
  path: string;
  tls: TlsMaterial;
}

/**
 * Passes an upgraded connection through: the client's request goes to the agent with the kubelet client certificate,
 * and from its 101 on bytes go both ways as they come, whatever protocol they are of. What the agent says instead of a
 * 101 is the client's answer. Resolves with the code as soon as there is one.
 *
 * Who reads slowly pauses the other side (`pipe`): no more than the sockets' buffers is ever held.
 */
export function passUpgrade(
  { host, port, path, tls }: AgentLocation,
  request: HttpRequest,
  response: HttpResponse,
): Promise<number> {
  const { upgrade } = request;
  if (upgrade === undefined) throw badRequest("Upgrade request required");
  return new Promise((resolve, reject) => {
    const headers = { ...forwarded(request.headers), host: `${host}:${port}` };
    const call = https.request({ host, port, path, method: request.method, headers, ...tls, agent: false });
    const gone = () => void call.destroy();
    response.on("close", gone);
    call.setTimeout(dialMs, () => call.destroy(new Error("i/o timeout")));
    call.on("error", (error: NodeJS.ErrnoException) => {
      const reason = error.code === "ECONNREFUSED" ? "connect: connection refused" : error.message;
      reject(failure(500, "", `error dialing backend: dial tcp ${host}:${port}: ${reason}`));
    });
    call.on("upgrade", (answer, agent, first) => {
      agent.setTimeout(0); // a shell may be silent for as long as it likes
      const { socket: client, head } = upgrade();
      for (const socket of [client, agent]) socket.allowHalfOpen = true; // who has said all still hears the rest
      client.write(headOf(answer));
      if (first.length > 0) client.write(first);
      if (head.length > 0) agent.write(head);
      join(client, agent);
      resolve(101);
    });
    call.on("response", (answer) => {
      const code = answer.statusCode ?? 500;
      response.writeHead(code, { "content-type": answer.headers["content-type"] ?? "text/plain; charset=utf-8" });
      answer.on("data", (chunk: Buffer) => {
        if (!response.write(chunk)) answer.pause();
      });
      response.on("drain", () => answer.resume());
      answer.on("end", () => response.end());
      answer.on("error", () => response.destroy());
      resolve(code);
    });
    call.end();
  });
}

/** All headers but those that say who the client is: towards the agent the apiserver speaks for itself. */
function forwarded(headers: HttpRequest["headers"]): Record<string, string | string[]> {
  const result: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined && !/^(authorization|impersonate-.*|x-remote-.*)$/.test(name)) result[name] = value;
  return result;
}

function headOf({ statusCode, statusMessage, rawHeaders }: IncomingMessage): string {
  let text = `HTTP/1.1 ${statusCode} ${statusMessage}\r\n`;
  for (let i = 0; i < rawHeaders.length; i += 2) text += `${rawHeaders[i]}: ${rawHeaders[i + 1]}\r\n`;
  return `${text}\r\n`;
}

/** Each side's end is the other's: half-closed stays half-closed, cut off is cut off. */
export function join(a: Duplex, b: Duplex): void {
  for (const [one, other] of [
    [a, b],
    [b, a],
  ] as const) {
    one.pipe(other);
    one.on("error", () => other.destroy());
    one.on("close", () => {
      if (!one.readableEnded) return void other.destroy();
      other.resume(); // what it still says has no reader; it hears the end behind what waits for it
      other.end();
    });
  }
}

const dialMs = 10_000;
