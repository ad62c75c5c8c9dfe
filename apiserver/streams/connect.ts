import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { badRequest, failure } from "../../apimachinery/status.ts";
import { SpdySession } from "../../net/spdy/session.ts";
import type { HttpRequest, HttpResponse } from "../http/server.ts";
import { acceptWebSocket, isWebSocket, protocolsOf } from "../http/web-socket.ts";
import { bodyTooLarge, maxBodyBytes } from "../request.ts";
import { copy, dial, dialText, endToEnd, forwarded, hostOf } from "./dial.ts";
import type { Location } from "./location.ts";
import { passRequest } from "./pass-request.ts";
import { translateStreams, tunnel } from "./web-socket-streams.ts";

/**
 * Answers with what `location` answers. A connection that is to be upgraded passes through: the client's request goes to
 * the other side, and from its 101 on bytes go both ways as they come, whatever protocol they are of. WebSockets of a
 * Pod's streams end here, and go on as SPDY. What is said instead of a 101 is the client's answer. Resolves with the code
 * as soon as there is one.
 *
 * Who reads slowly pauses the other side: no more than the sockets' buffers is ever held.
 */
export async function connect(location: Location, request: HttpRequest, response: HttpResponse): Promise<number> {
  const { prefix, streams } = location;
  const { upgrade } = request;
  if (upgrade === undefined && prefix === undefined) throw badRequest("Upgrade request required");
  if (upgrade === undefined) return passRequest({ ...location, prefix: prefix! }, request, response);
  // That of other streams has been read with the request.
  const body = prefix === undefined ? Buffer.alloc(0) : await request.body(maxBodyBytes);
  if (body === undefined) throw bodyTooLarge();
  const forwards = streams?.kind === "PodPortForwardOptions";
  const known = isWebSocket(request) && streams ? (forwards ? forwardProtocols : runProtocols) : [];
  const protocol = protocolsOf(request).find((one) => known.includes(one));
  if (protocol !== undefined && forwards && protocol !== tunnelled && !streams?.ports)
    throw badRequest('query parameter "port" is required');
  const spdy = {
    connection: "Upgrade",
    upgrade: "SPDY/3.1",
    "x-stream-protocol-version": forwards ? "portforward.k8s.io" : "v4.channel.k8s.io",
  };
  const headers = protocol === undefined ? forwarded(request.headers) : spdy;
  const method = protocol === undefined ? request.method : "POST";
  return new Promise((resolve, reject) => {
    const own = { ...location.headers, host: hostOf(location), "content-length": String(body.length) };
    const call = dial(location, { method, headers: { ...headers, ...own } });
    response.on("close", () => void call.destroy());
    call.on("error", (error) => reject(failure(500, "", `error dialing backend: ${dialText(location, error)}`)));
    call.on("upgrade", (answer, agent, first) => {
      if (protocol === undefined) {
        const { socket: client, head } = upgrade();
        for (const socket of [client, agent]) socket.allowHalfOpen = true; // who has said all still hears the rest
        client.write(headOf(answer));
        if (first.length > 0) client.write(first);
        if (head.length > body.length) agent.write(head.subarray(body.length));
        join(client, agent);
        return resolve(101);
      }
      try {
        const connection = acceptWebSocket(request, protocol);
        const work =
          protocol === tunnelled
            ? tunnel(connection, agent, first)
            : translateStreams(connection, new SpdySession(agent, { client: true, head: first }), streams!, protocol);
        work.catch(() => {
          agent.destroy();
          connection.socket.destroy();
        });
        resolve(101);
      } catch (error) {
        agent.destroy();
        reject(error as Error);
      }
    });
    call.on("response", (answer) => {
      const code = answer.statusCode ?? 500;
      response.writeHead(code, endToEnd(answer.headersDistinct));
      copy(answer, response);
      resolve(code);
    });
    call.end(body);
  });
}

/** Of exec and attach, of port-forward; older ones pass through, as upstream lets them. */
const runProtocols = ["v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io"];
const tunnelled = "SPDY/3.1+portforward.k8s.io";
const forwardProtocols = [tunnelled, "v4.channel.k8s.io", "v4.base64.channel.k8s.io"];

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
