import { on } from "node:events";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type ServerOptions, type WebSocket, WebSocketServer } from "ws";

/**
 * The server's side of a WebSocket, by the package `ws`, on a connection that is to be one: `accept` answers the handshake,
 * then messages come out of the iterator, one at a time: who is slow to ask for the next holds up the sender. Pings are
 * answered, a close is answered and ends the iteration, and so does whatever breaks the protocol (1002, 1009).
 */
export class WebSocketConnection implements AsyncIterable<Message> {
  readonly socket: Duplex;
  readonly #ws: WebSocket;
  readonly #messages: AsyncIterableIterator<[data: Buffer, isBinary: boolean]>;

  constructor(ws: WebSocket, socket: Duplex) {
    this.#ws = ws;
    this.socket = socket;
    this.#messages = on(ws, "message", { close: ["close"], highWaterMark: 1, lowWaterMark: 1 }) as never;
    ws.on("error", () => {}); // it is closed, which ends the iteration
  }

  /** `key` is Sec-WebSocket-Key; `protocol` what was chosen of Sec-WebSocket-Protocol. */
  static accept(socket: Duplex, head: Buffer, key: string, protocol: string | undefined): WebSocketConnection {
    const headers = { upgrade: "websocket", "sec-websocket-key": key, "sec-websocket-version": "13" };
    const request = { method: "GET", headers, protocol } as unknown as IncomingMessage;
    let connection!: WebSocketConnection; // made before `handleUpgrade` returns
    server.handleUpgrade(request, socket, head, (ws) => {
      connection = new WebSocketConnection(ws, socket);
    });
    return connection;
  }

  /** As `write` of a stream: false means that `drain` is to be waited for. */
  send(data: Uint8Array, kind: Message["kind"] = "binary"): boolean {
    if (this.#ws.readyState !== this.#ws.OPEN) return true;
    this.#ws.send(data, { binary: kind === "binary" });
    return !this.socket.writableNeedDrain;
  }

  close(code = 1000): void {
    this.#ws.close(code);
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Message> {
    try {
      for await (const [data, isBinary] of this.#messages) yield { kind: isBinary ? "binary" : "text", data };
    } catch {
      // The protocol was broken, which the peer has been told.
    } finally {
      this.close();
      this.#ws.resume();
    }
  }
}

export interface Message {
  kind: "text" | "binary";
  data: Buffer;
}

const options: ServerOptions & { closeTimeout: number } = {
  noServer: true,
  clientTracking: false,
  maxPayload: 4 * 1024 * 1024,
  closeTimeout: 10_000, // not among the types yet
};
const server = new WebSocketServer(options);
/** Not by the package, which takes names of token characters alone: "SPDY/3.1+portforward.k8s.io" has a slash. */
server.on("headers", (headers: string[], request: IncomingMessage & { protocol?: string }) => {
  if (request.protocol) headers.push(`Sec-WebSocket-Protocol: ${request.protocol}`);
});
