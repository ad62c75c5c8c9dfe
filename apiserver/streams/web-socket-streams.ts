import { once } from "node:events";
import type { Duplex } from "node:stream";
import { text } from "node:stream/consumers";
import { internalError, type Status } from "../../apimachinery/status.ts";
import type { SpdySession, SpdyStream } from "../../net/spdy/session.ts";
import type { WebSocketConnection } from "../../net/websocket/connection.ts";
import type { StreamOptions } from "./location.ts";

/**
 * exec, attach and port-forward of clients that speak WebSocket, towards an agent that speaks SPDY/3.1 (upstream's
 * streamtranslator and tunneling conn, KEP-4006). A message is a channel and its bytes:
 *
 *   exec, attach   0 stdin  1 stdout  2 stderr  3 error, a Status  4 resize  255 (v5) the channel that follows is over
 *   port-forward   2n data of the nth port  2n+1 its error; each begins with the port, 16 bits, little-endian
 *
 * Who is slow holds up the other side.
 */
export async function translateStreams(
  connection: WebSocketConnection,
  session: SpdySession,
  options: StreamOptions,
  protocol: string,
): Promise<void> {
  const channels = new Channels(connection, protocol.includes("base64"));
  connection.socket.on("close", () => session.destroy());
  const work =
    options.kind === "PodPortForwardOptions" ? forward(channels, session, options) : run(channels, session, options);
  await Promise.all([work.finally(() => connection.close()), channels.listen()]);
  session.close();
}

/** Bytes as they come, of a client that speaks SPDY within the messages. */
export async function tunnel(connection: WebSocketConnection, agent: Duplex, first: Buffer): Promise<void> {
  const sender = new Channels(connection, false);
  connection.socket.on("close", () => agent.destroy());
  agent.on("error", () => {}); // its end says enough
  const back = async () => {
    if (first.length > 0) await sender.send(first);
    for await (const chunk of agent) await sender.send(chunk as Buffer);
  };
  void back()
    .catch(() => {})
    .finally(() => connection.close());
  for await (const { data } of connection) if (!agent.write(data)) await drained(agent);
  agent.end();
}

async function run(
  channels: Channels,
  session: SpdySession,
  { stdin, stdout, stderr, tty }: StreamOptions,
): Promise<void> {
  const error = session.open({ streamtype: "error" });
  if (stdin) channels.into.set(0, session.open({ streamtype: "stdin" }));
  const outputs: Promise<void>[] = [];
  if (stdout) outputs.push(channels.pump(1, session.open({ streamtype: "stdout" })));
  if (stderr && !tty) outputs.push(channels.pump(2, session.open({ streamtype: "stderr" })));
  if (tty) channels.into.set(4, session.open({ streamtype: "resize" }));
  await channels.send(channels.frame(stdout ? 1 : stderr && !tty ? 2 : 3, Buffer.alloc(0))); // as upstream begins
  const status = await text(error).catch(() => "");
  await Promise.all(outputs);
  // Nothing would mean success to kubectl.
  const lost = (): Status => internalError(new Error("the agent ended the stream without a status")).status;
  await channels.send(channels.frame(3, Buffer.from(status || JSON.stringify(lost()))));
}

async function forward(channels: Channels, session: SpdySession, { ports = [] }: StreamOptions): Promise<void> {
  const all = ports.map(async (port, i) => {
    const headers = { port: String(port), requestid: String(i) };
    const error = session.open({ streamtype: "error", ...headers });
    error.end();
    const data = session.open({ streamtype: "data", ...headers });
    channels.into.set(2 * i, data);
    const begin = Buffer.of(port & 255, port >> 8);
    await channels.send(channels.frame(2 * i, begin));
    await channels.send(channels.frame(2 * i + 1, begin));
    await Promise.all([channels.pump(2 * i, data), channels.pump(2 * i + 1, error)]);
  });
  await Promise.all(all);
}

class Channels {
  /** Where the client's bytes go to, by channel; those of others are dropped, as upstream does. */
  readonly into = new Map<number, Duplex>();
  readonly #connection: WebSocketConnection;
  readonly #base64: boolean;

  constructor(connection: WebSocketConnection, base64: boolean) {
    this.#connection = connection;
    this.#base64 = base64;
  }

  async listen(): Promise<void> {
    for await (const { data } of this.#connection) {
      if (data.length === 0) continue;
      const channel = this.#base64 ? data[0]! - 48 : data[0]!;
      const bytes = this.#base64 ? Buffer.from(data.toString("latin1", 1), "base64") : data.subarray(1);
      if (channel === 255) this.into.get(bytes[0] ?? -1)?.end();
      const stream = this.into.get(channel);
      if (stream?.writable && bytes.length > 0 && !stream.write(bytes)) await drained(stream);
    }
  }

  async pump(channel: number, stream: SpdyStream): Promise<void> {
    try {
      for await (const chunk of stream) await this.send(this.frame(channel, chunk as Buffer));
    } catch {
      // Broken off: what the status says, or that there is none, is told.
    }
  }

  frame(channel: number, bytes: Buffer): Buffer {
    return this.#base64
      ? Buffer.from(`${channel}${bytes.toString("base64")}`)
      : Buffer.concat([Buffer.of(channel), bytes]);
  }

  async send(message: Buffer): Promise<void> {
    const { socket } = this.#connection;
    if (!this.#connection.send(message, this.#base64 ? "text" : "binary")) await drained(socket);
  }
}

/** Or gone. */
async function drained(stream: Duplex): Promise<void> {
  if (stream.destroyed) return;
  const over = new AbortController();
  const { signal } = over;
  await Promise.race([once(stream, "drain", { signal }), once(stream, "close", { signal })]).catch(() => {});
  over.abort();
}
