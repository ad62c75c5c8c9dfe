import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { type Duplex, duplexPair } from "node:stream";
import { protocolsOf } from "../../../apiserver/http/web-socket.ts";
import { translateStreams } from "../../../apiserver/streams/web-socket-streams.ts";
import { SpdySession } from "../../../net/spdy/session.ts";
import type { TlsMaterial } from "../../../net/tls.ts";
import { WebSocketConnection } from "../../../net/websocket/connection.ts";
import { attach, Container, exec, type Serve, serveForward, serveRun } from "./streams.ts";

/**
 * The kubelet's streaming endpoints (10250) over real processes of this machine, to prove what the apiserver does with
 * streams: TLS both ways, SPDY/3.1 and WebSocket.
 *
 *   GET       /containerLogs/{namespace}/{pod}/{container}?follow=true&tailLines=1
 *   POST GET  /exec/{namespace}/{pod}/{container}?command=sh&input=1&output=1&error=1&tty=1   any program of the machine
 *   POST GET  /attach/{namespace}/{pod}/{container}?...                                      what `run` has started
 *   POST GET  /portForward/{namespace}/{pod}?port=80                                         to 127.0.0.1
 *
 * Absent: terminals (a tty is accepted, and only joins the outputs), containers' own files and ports.
 */
export class TestNode {
  readonly #server: https.Server;
  readonly #containers = new Map<string, Container>();
  /** `POST /exec/... SPDY/3.1 by CN`, a line a stream. */
  readonly asked: string[] = [];

  /** `tls.ca` signs those who may ask. */
  constructor(tls: TlsMaterial) {
    this.#server = https.createServer({ ...tls, requestCert: true, rejectUnauthorized: true });
    this.#server.on("request", (request, response) => this.#serve(request, response));
    this.#server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      socket.on("error", () => {});
      void this.#upgrade(request, socket, head);
    });
  }

  async listen(): Promise<number> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return (this.#server.address() as AddressInfo).port;
  }

  /** Starts the process of a container, `namespace/pod/name`. */
  run(container: string, command: readonly string[]): void {
    this.#containers.set(container, new Container(command));
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
    for (const container of this.#containers.values()) container.kill();
  }

  #serve({ url = "" }: IncomingMessage, response: ServerResponse): void {
    const { pathname, searchParams } = new URL(url, "https://node");
    const container = this.#containers.get(pathname.replace("/containerLogs/", ""));
    if (!container) return void response.writeHead(404).end("container not found\n");
    response.writeHead(200, { "content-type": "text/plain" }).flushHeaders();
    container.logs(response, { follow: searchParams.get("follow") === "true", tail: searchParams.get("tailLines") });
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const { method, url = "", headers } = request;
    const { subject } = (
      socket as https.Agent & Duplex & { getPeerCertificate(): { subject: { CN: string } } }
    ).getPeerCertificate();
    this.asked.push(`${method} ${url} ${headers.upgrade} by ${subject.CN}`);
    const { pathname, searchParams: query } = new URL(url, "https://node");
    const [, root, ...names] = pathname.split("/");
    const is = (name: string) => query.get(name) === "1";
    const wanted = { stdin: is("input"), stdout: is("output"), stderr: is("error") && !is("tty"), tty: is("tty") };
    const container = this.#containers.get(names.join("/"));
    if (root === "attach" && !container) return refuse(socket, "404 Not Found", "container not found");
    const serve: Serve =
      root === "portForward"
        ? serveForward
        : serveRun(wanted, (streams) =>
            root === "exec" ? exec(query.getAll("command"), streams) : attach(container!, streams),
          );
    if (headers.upgrade?.toLowerCase() === "websocket") {
      const protocol = protocolsOf(request as never).find((one) => /^v[45]\.(base64\.)?channel\.k8s\.io$/.test(one));
      if (!protocol) return refuse(socket, "400 Bad Request", "no protocol of ours");
      const kind = root === "portForward" ? "PodPortForwardOptions" : "PodExecOptions";
      const ports = query.getAll("port").flatMap((text) => text.split(",").map(Number));
      const [ours, theirs] = duplexPair();
      serve(theirs, Buffer.alloc(0));
      const connection = WebSocketConnection.accept(socket, head, headers["sec-websocket-key"]!, protocol);
      const session = new SpdySession(ours, { client: true });
      return translateStreams(connection, session, { kind, apiVersion: "v1", ports, ...wanted }, protocol);
    }
    const offered = String(headers["x-stream-protocol-version"]).split(/, */);
    const protocol = root === "portForward" ? "portforward.k8s.io" : "v4.channel.k8s.io";
    if (!offered.includes(protocol))
      return refuse(
        socket,
        "403 Forbidden",
        `unable to upgrade: unable to negotiate protocol: client supports [${offered.join(" ")}], server accepts [${protocol}]`,
      );
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: ${protocol}\r\n\r\n`,
    );
    serve(socket, head);
  }
}

function refuse(socket: Duplex, status: string, text: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nContent-Length: ${text.length}\r\nConnection: close\r\n\r\n${text}`);
}
