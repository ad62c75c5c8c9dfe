import http2 from "node:http2";
import type { Server as NetServer, Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Logger } from "../../base/logger.ts";
import type { TlsMaterial } from "../../net/tls.ts";
import { userOfCertificate } from "../authn/x509.ts";
import type { User } from "../request.ts";

/**
 * The HTTPS front: HTTP/2 and HTTP/1.1 on one port, client certificates asked for but not demanded (who has none gets a
 * Status 401 instead of a broken handshake). Serves listening sockets, its own and those handed in from outside.
 */
export interface HttpRequest {
  method: string;
  url: string;
  headers: Readonly<Record<string, string | string[] | undefined>>;
  /** "invalid": a certificate that our client authority did not sign. Undefined: none. */
  user: User | "invalid" | undefined;
  /** Undefined when it is longer than `maxBytes`. */
  body(maxBytes: number): Promise<Buffer | undefined>;
}

/** What both HTTP versions offer to answer with. */
export interface HttpResponse {
  readonly headersSent: boolean;
  readonly writableLength: number;
  writeHead(code: number, headers: Record<string, string | string[] | number>): unknown;
  write(bytes: Uint8Array): boolean;
  end(bytes?: Uint8Array | string): unknown;
  on(event: "drain" | "close" | "error", listener: () => void): unknown;
  destroy(): unknown;
}

export type HttpHandler = (request: HttpRequest, response: HttpResponse) => Promise<void>;

export class HttpServer {
  readonly #server: http2.Http2SecureServer;
  readonly #listeners: NetServer[] = [];
  readonly #sockets = new Set<TLSSocket>();
  readonly #users = new WeakMap<object, User | "invalid" | undefined>();

  constructor(tls: TlsMaterial, handler: HttpHandler, log: Logger) {
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
        // Over HTTP/1.1 there is no stream; `request.socket` of HTTP/2 is made anew for each request.
        const connection = (request.stream as http2.Http2Stream | undefined)?.session ?? request.socket;
        const incoming = toRequest(request, this.#userOf(connection));
        handler(incoming, response as unknown as HttpResponse).catch((err) => {
          log.error({ err, url: request.url }, "A request handler failed");
          (response as unknown as HttpResponse).destroy();
        });
      },
    );
    this.#server.on("secureConnection", (socket: TLSSocket) => {
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
    for (const listener of this.#listeners) listener.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Looked up once a connection. */
  #userOf(connection: http2.Http2Session | Socket): User | "invalid" | undefined {
    if (this.#users.has(connection)) return this.#users.get(connection);
    const socket = ("socket" in connection ? connection.socket : connection) as TLSSocket;
    const certificate = socket.getPeerCertificate();
    const presented = certificate && Object.keys(certificate).length > 0;
    const user = !presented
      ? undefined
      : socket.authorized
        ? (userOfCertificate(certificate.subject as never) ?? "invalid")
        : "invalid";
    this.#users.set(connection, user);
    return user;
  }
}

/** A long list of names may stand in a selector; upstream takes a megabyte, too. */
const maxHeaderBytes = 1024 * 1024;

function toRequest(request: http2.Http2ServerRequest, user: User | "invalid" | undefined): HttpRequest {
  return {
    method: request.method,
    url: request.url,
    headers: request.headers,
    user,
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
