import net from "node:net";
import tls from "node:tls";
import { systemClock } from "../../base/clock.ts";
import {
  ConnectionError,
  ErrorCode,
  Flag,
  FrameSplitter,
  FrameType,
  frame,
  frameHeaderBytes,
  preface,
  Setting,
  settingsFrame,
  uint32Frame,
  writeFrameHeader,
} from "../../net/http2/frames.ts";
import { HpackDecoder } from "../../net/http2/hpack.ts";
import type { Rest } from "./job.ts";
import { RequestHeaders } from "./request-headers.ts";

/**
 * The client's side of one HTTP/2 connection with gRPC on it (RFC 9113), lean enough that the store and not its client is
 * measured: no promise and no header decoding for each call, everything of one turn in one write. Without TLS; or REST
 * over TLS, where an answer's code is its status (0: 2xx) and bodies have no prefix.
 *
 * The receive windows are as good as unlimited: a stream's is never renewed. The server's windows and its limit of streams hold: what exceeds them
 * waits here in order, and waits within the measured time. Padding, priorities and CONTINUATION are refused: no server sends them.
 */
export interface Call {
  /** Octets of the length-prefixed answers; a view, to be copied by who keeps it. */
  onData(payload: Buffer): void;
  /** REST: the answer begins. */
  onHeaders?(): void;
  /** Once: gRPC's code and message. `connectionLost` when the connection ends first. */
  onEnd(status: number, message: string): void;
}

export const connectionLost = -1;

/** An open call. */
export interface ClientStream {
  readonly id: number;
  readonly call: Call;
  /** Updates received less octets sent: the window is this on top of the server's initial one. */
  credit: number;
  /** HTTP's, once it is known. */
  code?: string | undefined;
}

interface Waiting {
  stream: ClientStream | undefined;
  path: string;
  body: Uint8Array;
  call: Call;
  endStream: boolean;
  /** What has been sent of the body; below zero: of the prefix, which is never cut. */
  from: number;
}

const receiveWindow = 2 ** 30;
const grpcPrefixBytes = 5;
const noBytes = Buffer.alloc(0);
const outputBytes = 256 * 1024;
const frameLimit = 16_384;

export class ClientConnection {
  readonly #socket: net.Socket;
  readonly #splitter: FrameSplitter;
  readonly #hpack = new HpackDecoder();
  readonly #headers: RequestHeaders;
  readonly #streams = new Map<number, ClientStream>();
  readonly #onReady: () => void;
  readonly #prefixBytes: number;
  #waiting: Waiting[] = [];
  #nextId = 1;
  #maxStreams = Number.POSITIVE_INFINITY;
  #sendWindow = 65_535;
  #initialWindow = 65_535;
  #received = 0;
  #output = Buffer.allocUnsafeSlow(outputBytes);
  #flushed = 0;
  #at = 0;
  #closed = false;

  /** Resolves with the server's first SETTINGS; rejects when there is no connection by then. */
  static connect(host: string, port: number, rest?: Rest, timeoutMs = 5000): Promise<ClientConnection> {
    return new Promise((resolve, reject) => {
      const socket = rest
        ? tls.connect({ host, port, ALPNProtocols: ["h2"], ...rest.tls }).setNoDelay(true)
        : net.connect({ host, port, noDelay: true });
      const cancel = systemClock.after(timeoutMs, () => {
        socket.destroy();
        reject(new Error(`no HTTP/2 from ${host}:${port} within ${timeoutMs} ms`));
      });
      const connection = new ClientConnection(socket, `${host}:${port}`, rest, () => {
        cancel();
        resolve(connection);
      });
      socket.once("close", () => {
        cancel();
        reject(new Error(`connection to ${host}:${port} closed`));
      });
    });
  }

  private constructor(socket: net.Socket, authority: string, rest: Rest | undefined, onReady: () => void) {
    this.#socket = socket;
    this.#headers = new RequestHeaders(authority, rest);
    this.#prefixBytes = rest ? 0 : grpcPrefixBytes;
    this.#onReady = onReady;
    this.#splitter = new FrameSplitter(frameLimit, (...args) => this.#onFrame(...args), "server");
    socket.on("error", () => {}); // "close" follows
    socket.on("close", () => this.#onClose());
    socket.on("data", (chunk: Buffer) => this.#onBytes(chunk));
    this.#write(preface);
    this.#write(settingsFrame({ [Setting.initialWindowSize]: receiveWindow }));
    this.#write(uint32Frame(FrameType.windowUpdate, 0, receiveWindow - 65_535));
    this.flush();
  }

  /** Begins a call with its only message. It leaves with the next `flush`; inside a callback that happens by itself. */
  unary(path: string, body: Uint8Array, call: Call): void {
    this.#send({ stream: undefined, path, body, call, endStream: true, from: -this.#prefixBytes });
  }

  /** Begins a call to which messages are sent later. */
  open(path: string, call: Call, endStream = false): ClientStream {
    const stream = { id: this.#nextId, call, credit: 0 };
    this.#nextId += 2;
    this.#streams.set(stream.id, stream);
    const block = this.#headers.block(path);
    const at = this.#reserve(frameHeaderBytes + block.length);
    const flags = Flag.endHeaders | (endStream ? Flag.endStream : 0);
    const payload = writeFrameHeader(this.#output, at, block.length, FrameType.headers, flags, stream.id);
    this.#output.set(block, payload);
    return stream;
  }

  message(stream: ClientStream, body: Uint8Array): void {
    this.#send({ stream, path: "", body, call: stream.call, endStream: false, from: -this.#prefixBytes });
  }

  flush(): void {
    if (this.#at === this.#flushed || this.#closed) return;
    this.#socket.write(this.#output.subarray(this.#flushed, this.#at));
    this.#flushed = this.#at;
  }

  /** At once; open calls hear `connectionLost`. */
  close(why?: string): void {
    this.#socket.destroy();
    this.#onClose(why);
  }

  #send(one: Waiting): void {
    if (this.#closed) return one.call.onEnd(connectionLost, "connection closed");
    if (this.#waiting.length > 0 || !this.#sendNow(one)) this.#waiting.push({ ...one, body: Buffer.from(one.body) });
  }

  /** As much as the limits allow; true when that is all. */
  #sendNow(one: Waiting): boolean {
    const { body, endStream } = one;
    if (one.stream === undefined) {
      if (this.#streams.size >= this.#maxStreams) return false;
      one.stream = this.open(one.path, one.call, endStream && one.from === body.length);
    } else if (!this.#streams.has(one.stream.id)) return true; // ended meanwhile
    const { stream } = one;
    while (one.from < body.length) {
      const room = Math.min(frameLimit, this.#sendWindow, this.#initialWindow + stream.credit);
      const length = Math.min(room, body.length - one.from);
      if (length <= 0 || one.from + length < 0) return false;
      const flags = endStream && one.from + length === body.length ? Flag.endStream : 0;
      const start = this.#reserve(frameHeaderBytes + length);
      const output = this.#output;
      const at = writeFrameHeader(output, start, length, FrameType.data, flags, stream.id);
      if (one.from < 0) {
        output[at] = 0; // not compressed
        output.writeUInt32BE(body.length, at + 1);
        output.set(
          length === body.length - one.from ? body : body.subarray(0, one.from + length),
          at + grpcPrefixBytes,
        );
      } else output.set(body.subarray(one.from, one.from + length), at);
      one.from += length;
      stream.credit -= length;
      this.#sendWindow -= length;
    }
    return true;
  }

  /** Room in the output; what was written before is not moved, since the socket may still read it. */
  #reserve(bytes: number): number {
    if (this.#output.length - this.#at < bytes) {
      this.flush();
      this.#output = Buffer.allocUnsafeSlow(Math.max(outputBytes, bytes));
      this.#at = this.#flushed = 0;
    }
    this.#at += bytes;
    return this.#at - bytes;
  }

  #write(bytes: Buffer): void {
    const at = this.#reserve(bytes.length);
    this.#output.set(bytes, at);
  }

  #onBytes(chunk: Buffer): void {
    if (this.#closed) return;
    try {
      this.#splitter.push(chunk);
    } catch (error) {
      this.close((error as Error).message);
      return;
    }
    if (this.#received > receiveWindow / 2) {
      this.#write(uint32Frame(FrameType.windowUpdate, 0, this.#received));
      this.#received = 0;
    }
    this.#drain();
    this.flush();
  }

  #drain(): void {
    let sent = 0;
    while (sent < this.#waiting.length && this.#sendNow(this.#waiting[sent]!)) sent++;
    if (sent > 0) this.#waiting = this.#waiting.slice(sent);
  }

  #onFrame(type: number, flags: number, streamId: number, payload: Buffer): void {
    const endStream = (flags & Flag.endStream) !== 0;
    if (type === FrameType.data) this.#onData(streamId, payload, flags, endStream);
    else if (type === FrameType.headers) {
      if ((flags & (Flag.padded | Flag.priority)) !== 0)
        throw new ConnectionError(ErrorCode.protocol, "padded headers");
      if ((flags & Flag.endHeaders) === 0) throw new ConnectionError(ErrorCode.protocol, "headers in several frames");
      this.#onHeaders(streamId, payload, endStream);
    } else if (type === FrameType.settings && (flags & Flag.ack) === 0) this.#onSettings(payload);
    else if (type === FrameType.ping && (flags & Flag.ack) === 0) {
      this.#write(frame(FrameType.ping, Flag.ack, 0, payload));
    } else if (type === FrameType.windowUpdate) {
      const credit = payload.readUInt32BE(0) & 0x7fffffff;
      const stream = this.#streams.get(streamId);
      if (streamId === 0) this.#sendWindow += credit;
      else if (stream !== undefined) stream.credit += credit;
    } else if (type === FrameType.rstStream) this.#end(streamId, 13, `RST_STREAM ${payload.readUInt32BE(0)}`);
    else if (type === FrameType.goaway) {
      this.close(`GOAWAY ${payload.readUInt32BE(4)} ${payload.toString("latin1", 8)}`);
    }
  }

  #onData(streamId: number, payload: Buffer, flags: number, endStream: boolean): void {
    if ((flags & Flag.padded) !== 0) throw new ConnectionError(ErrorCode.protocol, "padded data");
    this.#received += payload.length;
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    stream.call.onData(payload);
    if (endStream) this.#end(streamId, ...this.#outcome(stream.code, "no trailers", payload));
  }

  /** Blocks without END_STREAM are decoded, too, since they may change the table. */
  #onHeaders(streamId: number, block: Buffer, endStream: boolean): void {
    const headers = this.#hpack.decode(block);
    const value = (wanted: string) => headers.find(([name]) => name === wanted)?.[1];
    const stream = this.#streams.get(streamId);
    if (this.#prefixBytes === 0 && stream !== undefined) {
      stream.code ??= value(":status");
      stream.call.onHeaders?.();
    }
    if (!endStream) return;
    const status = value("grpc-status");
    if (status === undefined) this.#end(streamId, ...this.#outcome(value(":status"), "no trailers", noBytes));
    else this.#end(streamId, Number(status), status === "0" ? "" : (value("grpc-message") ?? ""));
  }

  #outcome(code: string | undefined, missing: string, body: Buffer): [number, string] {
    if (this.#prefixBytes > 0) return [2, code === undefined ? missing : `HTTP ${code}`];
    return code?.startsWith("2") ? [0, ""] : [Number(code ?? 2), `HTTP ${code} ${body.toString("utf8").slice(0, 300)}`];
  }

  #onSettings(payload: Buffer): void {
    for (let at = 0; at + 6 <= payload.length; at += 6) {
      const id = payload.readUInt16BE(at);
      const value = payload.readUInt32BE(at + 2);
      if (id === Setting.maxConcurrentStreams) this.#maxStreams = value;
      else if (id === Setting.initialWindowSize) this.#initialWindow = value;
    }
    this.#write(frame(FrameType.settings, Flag.ack, 0));
    this.#onReady();
  }

  #end(streamId: number, status: number, message: string): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    this.#streams.delete(streamId);
    stream.call.onEnd(status, message);
  }

  #onClose(why = "connection lost"): void {
    if (this.#closed) return;
    this.#closed = true;
    const calls = [...this.#streams.values(), ...this.#waiting.filter(({ stream }) => stream === undefined)];
    this.#streams.clear();
    this.#waiting = [];
    for (const { call } of calls) call.onEnd(connectionLost, why);
  }
}
