import { type IncomingMessage, ServerResponse } from "node:http";
import http2 from "node:http2";
import type { Server as NetServer } from "node:net";
import type { Duplex, Readable } from "node:stream";
import type { TLSSocket } from "node:tls";
import { badRequest } from "../../apimachinery/status.ts";
import type { Logger } from "../../base/logger.ts";
import type { TlsMaterial } from "../../net/tls.ts";
import type { Peer } from "../authn/authenticator.ts";
import type { Peers } from "../authn/peers.ts";

/**
 * The HTTPS front: HTTP/2 and HTTP/1.1 on one port, client certificates asked for but not demanded (who has none gets a
 * Status 401 instead of a broken handshake). Serves listening sockets, its own and those handed in from outside.
 */
export interface HttpRequest {
  method: string;
  url: string;
  headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Name, value, name, value: repeated headers apart. */
  rawHeaders: readonly string[];
  /** By the client certificate of the connection. */
  peer: Peer;
  /** Undefined when it is longer than `maxBytes`. */
  body(maxBytes: number): Promise<Buffer | undefined>;
  /** The body as it comes, for who does not call `body`; undefined when there is none. */
  stream?: Readable | undefined;
  /**
   * Of a request that wants another protocol on its connection: takes that over, with what was sent behind the request.
   * Who does not call it answers as usual, and the connection ends with the answer.
   */
  upgrade?: () => { socket: Duplex; head: Buffer };
}

/** What both HTTP versions offer to answer with. */
export interface HttpResponse {
  readonly headersSent: boolean;
  readonly statusCode: number;
  readonly writableLength: number;
  setHeader(name: string, value: string): unknown;
  writeHead(code: number, headers: Record<string, string | string[] | number>): unknown;
  write(bytes: Uint8Array): boolean;
  end(bytes?: Uint8Array | string): unknown;
  on(event: "drain" | "close" | "error", listener: () => void): unknown;
  off(event: "drain" | "close" | "error", listener: () => void): unknown;
  flushHeaders?(): void;
  destroy(): unknown;
}

export type HttpHandler = (request: HttpRequest, response: HttpResponse) => Promise<void>;

export class HttpServer {
  readonly #server: http2.Http2SecureServer;
  readonly #listeners: NetServer[] = [];
  readonly #sockets = new Set<TLSSocket>();
  #closed = false;

  constructor(tls: TlsMaterial, handler: HttpHandler, log: Logger, peers: Peers) {
    const run = (request: HttpRequest, response: HttpResponse, whole: { destroy(): unknown }) =>
      handler(request, response).catch((err) => {
        log.error({ err, url: request.url }, "A request handler failed");
        whole.destroy();
      });
    this.#server = http2.createSecureServer(
      {
        ...tls,
        allowHTTP1: true,
        requestCert: true,
        rejectUnauthorized: false,
        settings: { maxConcurrentStreams: 1000, initialWindowSize: 1024 * 1024 },
        maxSessionMemory: 64,
      },
      (request, response) => {
        const session = (request.stream as http2.Http2Stream | undefined)?.session; // none over HTTP/1.1
        const incoming = toRequest(request, peers.of((session?.socket ?? request.socket) as TLSSocket, session));
        run(incoming, response as unknown as HttpResponse, response as unknown as HttpResponse);
      },
    );
    this.#server.on("upgrade", (request: IncomingMessage, socket: TLSSocket, head: Buffer) => {
      const response = new ServerResponse(request);
      response.shouldKeepAlive = false; // Node reads no second request from here on
      response.assignSocket(socket);
      const onDrain = () => response.emit("drain");
      socket.on("drain", onDrain);
      response.on("finish", () => socket.end());
      const upgrade = () => {
        socket.off("drain", onDrain);
        response.detachSocket(socket);
        socket.on("close", () => response.emit("close")); // the request is as long as its connection
        return { socket, head };
      };
      const { method = "", url = "", headers, rawHeaders } = request;
      const body = (maxBytes: number) => bodyBehind(request, socket, head, maxBytes);
      const incoming = { method, url, headers, rawHeaders, peer: peers.of(socket), body, upgrade };
      run(incoming, response, socket);
    });
    this.#server.on("secureConnection", (socket: TLSSocket) => {
      if (this.#closed) return void socket.destroy(); // its handshake was under way
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
      socket.on("error", () => {}); // the peer's affair; the requests on it see their close
    });
    this.#server.on("sessionError", () => {});
    this.#server.on("tlsClientError", () => {});
    this.#server.on("clientError", (_error, socket: { destroy(): void }) => socket.destroy());
    this.#server.setTimeout(0);
    Object.assign(this.#server, { maxHeaderSize: maxHeaderBytes }); // of HTTP/1.1; not among the options
  }

  serve(listener: NetServer): void {
    this.#listeners.push(listener);
    listener.on("connection", (socket) => {
      socket.setNoDelay(true);
      this.#server.emit("connection", socket);
    });
  }

  close(): void {
    this.#closed = true;
    for (const listener of this.#listeners) listener.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

/** A long list of names may stand in a selector; upstream takes a megabyte, too. */
const maxHeaderBytes = 1024 * 1024;

function toRequest(request: http2.Http2ServerRequest, peer: Peer): HttpRequest {
  return {
    method: request.method,
    url: request.url,
    headers: request.headers,
    rawHeaders: request.rawHeaders,
    peer,
    stream: hasBody(request) ? request : undefined,
    body: (maxBytes) =>
      new Promise((resolve, reject) => {
        const chunks: Buffer[] = [];
        let length = 0;
        request.on("data", (chunk: Buffer) => {
          length += chunk.length;
          if (length <= maxBytes) chunks.push(chunk);
          else {
            chunks.length = 0;
            resolve(undefined); // the rest is read and dropped, so that the answer gets through
          }
        });
        request.on("end", () =>
          resolve(length > maxBytes ? undefined : chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)),
        );
        request.on("aborted", () => reject(new Error("the client went away")));
        request.on("error", reject);
      }),
  };
}

/** Over HTTP/1.1 there is no stream. */
function hasBody({ stream, headers }: http2.Http2ServerRequest): boolean {
  const { endAfterHeaders } = (stream as http2.ServerHttp2Stream | undefined) ?? {};
  if (endAfterHeaders !== undefined) return !endAfterHeaders;
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
}

/** Resolves at the first of some events, and leaves no listener behind. */
export function first<E extends string>(
  emitter: { on(event: E, listener: () => void): unknown; off(event: E, listener: () => void): unknown },
  ...events: E[]
): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      for (const event of events) emitter.off(event, done);
      resolve();
    };
    for (const event of events) emitter.on(event, done);
  });
}

/** The body of a request that asked for another protocol, which Node leaves on the connection. Undefined: too long. */
async function bodyBehind(
  { headers }: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  maxBytes: number,
): Promise<Buffer | undefined> {
  if (headers["transfer-encoding"] !== undefined)
    throw badRequest("a request that asks for an upgrade needs a Content-Length");
  const length = Number(headers["content-length"] ?? 0);
  if (length > maxBytes) return undefined;
  let body = head;
  while (body.length < length) {
    if (!socket.readable) throw badRequest("unexpected EOF");
    const more = socket.read() as Buffer | null;
    if (more) body = Buffer.concat([body, more]);
    else await first(socket, "readable", "close");
  }
  return body.subarray(0, length);
}
