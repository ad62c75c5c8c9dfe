import { Duplex } from "node:stream";
import { HeaderDecoder, HeaderEncoder, type Headers } from "./headers.ts";

/**
 * SPDY/3.1 on one connection, either side: streams that the other opens come to `onStream` (answered already), own ones
 * are made by `open`. A stream is a Duplex whose ends are the FIN flags; destroying it resets it.
 *
 *   control   1 version(15)=3 | type(16) | flags(8) length(24) | ...
 *   data      0 stream(31)               | flags(8) length(24) | bytes
 *
 * Differs from the draft as moby/spdystream does, which is at the other end wherever Kubernetes speaks SPDY: windows are
 * neither kept nor told. What holds a sender up is the connection: a stream whose reader is a megabyte behind stops it.
 */
export interface SpdyOptions {
  client: boolean;
  /** What was read behind the handshake. */
  head?: Buffer;
  onStream?: (stream: SpdyStream) => void;
}

export class SpdySession {
  readonly #socket: Duplex;
  readonly #options: SpdyOptions;
  readonly #streams = new Map<number, SpdyStream>();
  readonly #encoder = new HeaderEncoder();
  readonly #decoder = new HeaderDecoder();
  #nextId: number;
  /** Settled when the connection is over, with the error if it broke. */
  readonly closed: Promise<Error | undefined>;

  constructor(socket: Duplex, options: SpdyOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#nextId = options.client ? 1 : 2;
    socket.on("error", () => {}); // the reading loop sees it
    this.closed = this.#run();
  }

  open(headers: Headers): SpdyStream {
    const stream = this.#add(this.#nextId, headers);
    this.#nextId += 2;
    this.#control(type.synStream, uint32s(stream.id, 0), Buffer.alloc(2), this.#encoder.encode(headers));
    return stream;
  }

  /** What was written before still goes out. */
  close(): void {
    if (!this.#socket.destroyed) this.#control(type.goAway, uint32s(0, 0));
    this.#socket.end();
    this.#socket.resume();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #add(id: number, headers: Headers): SpdyStream {
    const stream = new SpdyStream(id, headers, {
      send: (data, fin, done) => {
        const head = uint32s(id, data.length + (fin ? finFlag : 0));
        this.#socket.write(data.length > 0 ? Buffer.concat([head, data]) : head, done);
      },
      gone: (reset) => {
        this.#streams.delete(id);
        if (reset && this.#socket.writable) this.#control(type.rstStream, uint32s(id, cancelled));
      },
    });
    this.#streams.set(id, stream);
    return stream;
  }

  #control(kind: number, ...parts: Buffer[]): void {
    const body = Buffer.concat(parts);
    this.#socket.write(Buffer.concat([uint32s(version + kind, body.length), body]));
  }

  async #run(): Promise<Error | undefined> {
    let failed: Error | undefined;
    try {
      let held = this.#options.head ?? Buffer.alloc(0);
      held = await this.#take(held);
      for await (const chunk of this.#socket.iterator({ destroyOnReturn: false })) {
        held = await this.#take(held.length > 0 ? Buffer.concat([held, chunk as Buffer]) : (chunk as Buffer));
      }
    } catch (error) {
      failed = error as Error;
      this.#socket.destroy();
    }
    for (const stream of this.#streams.values())
      if (failed) stream.destroy(new Error(`the connection broke: ${failed.message}`));
      else stream.finish();
    this.#decoder.close();
    return failed;
  }

  /** Handles what is there as a whole and gives back the rest. */
  async #take(bytes: Buffer): Promise<Buffer> {
    let at = 0;
    while (bytes.length - at >= 8) {
      const first = bytes.readUInt32BE(at);
      const second = bytes.readUInt32BE(at + 4);
      const end = at + 8 + (second & 0xffffff);
      if (first >= version && end - at > maxControlBytes) throw new Error("a SPDY frame is too long");
      if (bytes.length < end) break;
      const fin = (second & finFlag) !== 0;
      const body = bytes.subarray(at + 8, end);
      if (first < 0x80000000) await this.#streams.get(first)?.receive(body, fin);
      else await this.#onControl(first - version, fin, body);
      at = end;
    }
    return bytes.subarray(at);
  }

  async #onControl(kind: number, fin: boolean, body: Buffer): Promise<void> {
    const id = body.length >= 4 ? body.readUInt32BE() & 0x7fffffff : 0;
    const own = (id % 2 === 1) === this.#options.client;
    if (kind === type.synStream) {
      const headers = await this.#decoder.decode(body.subarray(10));
      const { onStream } = this.#options;
      if (own || this.#streams.has(id) || onStream === undefined || this.#streams.size >= maxStreams)
        return this.#control(type.rstStream, uint32s(id, refused));
      const stream = this.#add(id, headers);
      this.#control(type.synReply, uint32s(id), this.#encoder.encode({}));
      onStream(stream);
      if (fin) await stream.receive(Buffer.alloc(0), true);
    } else if (kind === type.synReply || kind === type.headers) {
      await this.#decoder.decode(body.subarray(4)); // the two sides' inflaters stay in step
      if (fin) await this.#streams.get(id)?.receive(Buffer.alloc(0), true);
    } else if (kind === type.rstStream) this.#streams.get(id)?.destroy(new Error(`the stream was reset`));
    else if (kind === type.ping && !own) this.#control(type.ping, uint32s(id));
  }
}

interface Wire {
  send(data: Buffer, fin: boolean, done: (error?: Error | null) => void): void;
  gone(reset: boolean): void;
}

export class SpdyStream extends Duplex {
  readonly id: number;
  readonly headers: Headers;
  readonly #wire: Wire;
  #wanted: (() => void) | undefined;
  #received = false;

  constructor(id: number, headers: Headers, wire: Wire) {
    super({ readableHighWaterMark: 1024 * 1024 });
    this.id = id;
    this.headers = headers;
    this.#wire = wire;
    this.on("error", () => {}); // who reads or writes hears of it
  }

  /** Resolves when there is room for more. */
  async receive(data: Buffer, fin: boolean): Promise<void> {
    if (this.#received || this.destroyed) return;
    const room = data.length === 0 || this.push(Buffer.from(data));
    if (fin) this.finish();
    else if (!room) await new Promise<void>((resolve) => (this.#wanted = resolve));
  }

  /** The other side says no more. */
  finish(): void {
    if (!this.#received) this.push(null);
    this.#received = true;
  }

  override _read(): void {
    this.#wanted?.();
    this.#wanted = undefined;
  }

  override _write(chunk: Buffer, _: string, done: (error?: Error | null) => void): void {
    this.#wire.send(chunk, false, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#wire.send(Buffer.alloc(0), true, done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#wire.gone(!this.#received || !this.writableFinished);
    this._read();
    done(error);
  }
}

const type = { synStream: 1, synReply: 2, rstStream: 3, ping: 6, goAway: 7, headers: 8 };
const version = 0x80030000;
const finFlag = 0x01000000;
const [refused, cancelled] = [3, 5];
const maxControlBytes = 64 * 1024;
const maxStreams = 1000;

function uint32s(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [i, value] of values.entries()) bytes.writeUInt32BE(value, i * 4);
  return bytes;
}
