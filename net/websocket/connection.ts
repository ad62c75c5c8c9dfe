import { createHash } from "node:crypto";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";

/**
 * The server's side of a WebSocket (RFC 6455) on a connection that is to be one: `accept` answers the handshake, then
 * messages come out of the iterator, one at a time: who is slow to ask for the next holds up the sender. Pings are
 * answered, a close is answered and ends the iteration, and so does whatever breaks the protocol (1002, 1009).
 */
export class WebSocketConnection implements AsyncIterable<Message> {
  readonly socket: Duplex;
  readonly #head: Buffer;
  #closing = false;

  constructor(socket: Duplex, head: Buffer) {
    this.socket = socket;
    this.#head = head;
    socket.on("error", () => {}); // ends the iteration
  }

  /** `key` is Sec-WebSocket-Key; `protocol` what was chosen of Sec-WebSocket-Protocol. */
  static accept(socket: Duplex, head: Buffer, key: string, protocol: string | undefined): WebSocketConnection {
    const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n${
        protocol ? `Sec-WebSocket-Protocol: ${protocol}\r\n` : ""
      }\r\n`,
    );
    return new WebSocketConnection(socket, head);
  }

  /** As `write` of a stream: false means that `drain` is to be waited for. */
  send(data: Uint8Array, kind: Message["kind"] = "binary"): boolean {
    if (this.#closing || this.socket.destroyed) return true;
    return this.socket.write(frame(kind === "text" ? 1 : 2, data));
  }

  close(code = 1000): void {
    if (this.#closing || this.socket.destroyed) return;
    this.#closing = true;
    // What the peer still sends is read, since to reset the connection could take from it what it has not read yet.
    (this.socket as Partial<Socket>).setTimeout?.(closeMs, () => this.socket.destroy());
    this.socket.end(frame(8, Buffer.of(code >> 8, code & 255)));
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Message> {
    const reader = new FrameReader();
    let parts: Buffer[] = [];
    let bytes = 0;
    let kind: Message["kind"] = "binary";
    try {
      for await (const chunk of chunksOf(this.socket, this.#head))
        for (const { opcode, fin, data } of reader.read(chunk)) {
          if (opcode === 8) return this.close();
          if (opcode === 9 && !this.#closing) this.socket.write(frame(10, data));
          if (opcode > 2) continue;
          if ((opcode === 0) === (parts.length === 0)) throw new ProtocolError(1002);
          if (opcode > 0) kind = opcode === 1 ? "text" : "binary";
          parts.push(data);
          bytes += data.length + fragmentBytes;
          if (bytes > maxMessageBytes + fragmentBytes) throw new ProtocolError(1009);
          if (!fin) continue;
          const whole = parts.length === 1 ? data : Buffer.concat(parts);
          parts = [];
          bytes = 0;
          yield { kind, data: whole };
        }
    } catch (error) {
      if (error instanceof ProtocolError) this.close(error.code);
    } finally {
      this.close();
      this.socket.resume();
    }
  }
}

export interface Message {
  kind: "text" | "binary";
  data: Buffer;
}

async function* chunksOf(socket: Duplex, head: Buffer): AsyncGenerator<Buffer> {
  if (head.length > 0) yield head;
  yield* socket.iterator({ destroyOnReturn: false });
}

class ProtocolError extends Error {
  readonly code: number;
  constructor(code: number) {
    super(`WebSocket ${code}`);
    this.code = code;
  }
}

/**
 *   0     fin(1) reserved(3) opcode(4)
 *   1     mask(1) length(7): 126 = two bytes of length follow, 127 = eight
 *   ..    4 bytes of mask, always from a client
 *   ..    data
 */
class FrameReader {
  #held: Buffer = Buffer.alloc(0);

  *read(chunk: Buffer): Generator<{ opcode: number; fin: boolean; data: Buffer }> {
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    while (this.#held.length >= 2) {
      const held = this.#held;
      const [first, second] = [held[0]!, held[1]!];
      const [opcode, fin, short] = [first & 15, first >= 128, second & 127];
      const reserved = (first & 0x70) > 0 || (opcode > 2 && opcode < 8) || opcode > 10;
      if (reserved || second < 128 || (opcode > 7 && (short > 125 || !fin))) throw new ProtocolError(1002);
      const start = short === 126 ? 4 : short === 127 ? 10 : 2;
      if (held.length < start + 4) return;
      const length = short === 126 ? held.readUInt16BE(2) : short === 127 ? Number(held.readBigUInt64BE(2)) : short;
      if (length > maxMessageBytes) throw new ProtocolError(1009);
      const end = start + 4 + length;
      if (held.length < end) return;
      const data = Buffer.from(held.subarray(start + 4, end));
      for (let i = 0; i < length; i++) data[i]! ^= held[start + (i & 3)]!;
      this.#held = held.subarray(end);
      yield { opcode, fin, data };
    }
  }
}

function frame(opcode: number, data: Uint8Array): Buffer {
  const { length } = data;
  const head = Buffer.alloc(length < 126 ? 2 : length < 65536 ? 4 : 10);
  head[0] = 0x80 | opcode;
  head[1] = length < 126 ? length : length < 65536 ? 126 : 127;
  if (head.length === 4) head.writeUInt16BE(length, 2);
  if (head.length === 10) head.writeBigUInt64BE(BigInt(length), 2);
  return Buffer.concat([head, data]);
}

const maxMessageBytes = 4 * 1024 * 1024;
/** What a fragment costs besides its bytes: of empty ones there could be any number. */
const fragmentBytes = 64;
const closeMs = 10_000;
