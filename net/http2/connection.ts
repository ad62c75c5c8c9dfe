import { RingMap } from "../../base/ring-map.ts";
import {
  ConnectionError,
  ErrorCode,
  Flag,
  FrameSplitter,
  FrameType,
  frameHeaderBytes,
  Setting,
  settingsFrame,
  uint32Frame,
  writeFrameHeader,
} from "./frames.ts";
import { type Header, HpackDecoder, HpackError } from "./hpack.ts";
import { OutBuffer } from "./out-buffer.ts";

/**
 * One side of an HTTP/2 connection (RFC 9113), as far as both have it: bytes in, streams out, windows both ways.
 * `ServerConnection` and `ClientConnection` say how streams begin and end. It knows no socket: `output.write` gets what is
 * to be sent, in one write for all that one event set off. Upgrades, push and priorities are absent.
 *
 * Invariants: a stream sends nothing after its end; data waits for both windows; every received DATA byte is given back to
 * the peer's windows: the connection's as soon as it was handed on, the stream's when its owner takes more.
 */
export interface Http2Output {
  write(bytes: Buffer): void;
  /** The connection cannot go on; `write` got its GOAWAY already. */
  end(): void;
}

/** What the owner of a stream hears. `onData` gets views into the received chunk: copy what is kept. */
export interface StreamEvents {
  /** Only of a client's streams: the answer's headers, or its trailers. */
  onHeaders?(headers: readonly Header[], endStream: boolean): void;
  onData(payload: Buffer, endStream: boolean): void;
  /** Reset by the peer, or the connection is gone. Not called after a normal end. */
  onAbort(reason: Abort): void;
}

/** `code`: of RST_STREAM; undefined when the connection is gone. */
export interface Abort {
  code: number | undefined;
  message: string;
}

/** Bytes that exist only once: where they are sent from. */
export interface Payload {
  readonly length: number;
  /** The bytes [from, to) of it, to `at` in `into`. */
  copy(into: Buffer, at: number, from: number, to: number): void;
}

/** Those that last. */
export function bytesOf(payload: Payload): Buffer {
  const bytes = Buffer.allocUnsafe(payload.length);
  payload.copy(bytes, 0, 0, bytes.length);
  return bytes;
}

export class Http2Stream {
  /** A client's stream has none while it waits for a place. */
  id: number;
  /** Set by the owner while it opens the stream. */
  events: StreamEvents | undefined;
  /** The peer has ended its side. */
  remoteClosed: boolean;
  /** We have begun to answer. */
  served = false;
  /** We have ended ours. */
  localClosed = false;
  sendWindow: number;
  /** Octets of DATA that wait for a window, in order. */
  queue: Buffer[] = [];
  queuedBytes = 0;
  /** What ends our side after the queue: an encoded header block; "data" for no trailers. */
  ending: Buffer | "data" | undefined = undefined;
  onDrain: (() => void) | undefined = undefined;
  /** Octets received that are not in the peer's window again. */
  owed = 0;
  /** The owner takes no more for now: see `resume`. */
  paused = false;

  constructor(id: number, remoteClosed: boolean, sendWindow: number) {
    this.id = id;
    this.remoteClosed = remoteClosed;
    this.sendWindow = sendWindow;
  }
}

const nothing = Buffer.alloc(0);
const maxFrameSize = 16_384;
/** What a peer may have in flight towards us: generous, since data is taken at once. */
const receiveWindow = 4 * 1024 * 1024;
const maxHeaderBlock = 256 * 1024;
const maxWindow = 2 ** 31 - 1;

export abstract class Http2Connection {
  readonly #output: Http2Output;
  readonly #splitter: FrameSplitter;
  readonly #hpack = new HpackDecoder();
  /** By half their ids, which are odd. */
  protected readonly streams = new RingMap<Http2Stream>();
  #sendWindow = 65_535;
  protected initialSendWindow = 65_535;
  #maxSendFrame = 16_384;
  #consumed = 0;
  protected failed = false;
  /** HEADERS without END_HEADERS: the block so far. */
  #partial: { streamId: number; endStream: boolean; blocks: Buffer[]; bytes: number } | undefined;
  readonly #blocked = new Set<Http2Stream>();
  /** The transport takes no more for now: no window counts. */
  #held = false;
  readonly #out = new OutBuffer();
  #scheduled = false;
  /** Headers or data since the peer's last ping: clients measure the way with pings behind data that they got. */
  protected sent = false;
  /** Since `heard` was asked. */
  #received = true;

  protected constructor(output: Http2Output, peer: "client" | "server") {
    this.#output = output;
    this.#splitter = new FrameSplitter(maxFrameSize, (...args) => this.#onFrame(...args), peer);
  }

  /** A header block has come, of a stream that is known or not. */
  protected abstract onBlock(streamId: number, headers: readonly Header[], endStream: boolean): void;
  /** Has no stream of this id been opened yet? */
  protected abstract isIdle(streamId: number): boolean;
  /** We have ended our side of a stream. */
  protected abstract onSent(stream: Http2Stream): void;
  /** The peer has ended its side, and the owner has still to hear the last of it. */
  protected onReceived(_stream: Http2Stream): void {}
  /** The peer has reset a stream, which is none of `streams` any more. */
  protected abstract onGone(stream: Http2Stream): void;
  protected abstract onPing(): void;
  protected abstract onPong(payload: Buffer): void;
  /** The greatest id of the peer's streams. */
  protected abstract get lastPeerStream(): number;
  protected onSettings(_settings: ReadonlyMap<number, number>): void {}
  protected onGoaway(_payload: Buffer): void {}

  /** What a side says first. */
  protected greet(settings: Record<number, number>): void {
    this.write(settingsFrame({ ...settings, [Setting.initialWindowSize]: receiveWindow }));
    this.write(uint32Frame(FrameType.windowUpdate, 0, receiveWindow - 65_535));
  }

  /** Has anything come since this was asked last? */
  heard(): boolean {
    const received = this.#received;
    this.#received = false;
    return received;
  }

  /** Asks for a sign of life. */
  ping(): void {
    this.frame(FrameType.ping, 0, 0, Buffer.alloc(8));
  }

  receive(chunk: Buffer): void {
    if (this.failed) return;
    this.#received = true;
    try {
      this.#splitter.push(chunk);
      this.#giveBack();
    } catch (error) {
      if (error instanceof HpackError) this.#fail(ErrorCode.compression, error.message);
      else if (error instanceof ConnectionError) this.#fail(error.code, error.message);
      else throw error;
    }
  }

  /** The transport is gone: every open stream hears `onAbort`. */
  closed(message = "the connection is gone"): void {
    for (const stream of this.streams.values()) this.#abort(stream, { code: undefined, message });
    this.streams.clear();
  }

  sendHeaders(stream: Http2Stream, block: Buffer, endStream: boolean): void {
    this.sent = true;
    stream.served = true;
    this.frame(FrameType.headers, Flag.endHeaders | (endStream ? Flag.endStream : 0), stream.id, block);
    if (endStream) this.onSent(stream);
  }

  sendData(stream: Http2Stream, payload: Buffer): void {
    stream.queue.push(payload);
    stream.queuedBytes += payload.length;
    this.pump(stream);
  }

  /** Ends our side after all data, with a header block or without. */
  sendEnd(stream: Http2Stream, ending: Buffer | "data"): void {
    stream.ending = ending;
    this.pump(stream);
  }

  /** Headers, data and the end, written where they leave from when the windows allow: the way of a unary call. */
  sendWhole(stream: Http2Stream, headers: Buffer, payload: Payload, ending: Buffer | "data"): void {
    const { length } = payload;
    if (this.#held || length > this.#sendWindow || length > stream.sendWindow || length === 0) {
      const bytes = bytesOf(payload);
      this.sendHeaders(stream, headers, false);
      this.sendData(stream, bytes);
      this.sendEnd(stream, ending);
      return;
    }
    this.sent = true;
    this.#sendWindow -= length;
    stream.sendWindow -= length;
    const trailers = ending === "data" ? nothing : ending;
    const out = this.#out;
    const frames = Math.ceil(length / this.#maxSendFrame);
    const more = ending === "data" ? 1 : 2;
    let at = out.room((more + frames) * frameHeaderBytes + headers.length + length + trailers.length);
    at = writeFrameHeader(out.bytes, at, headers.length, FrameType.headers, Flag.endHeaders, stream.id);
    out.bytes.set(headers, at);
    at += headers.length;
    for (let from = 0; from < length; from += this.#maxSendFrame) {
      const to = Math.min(length, from + this.#maxSendFrame);
      const flags = ending === "data" && to === length ? Flag.endStream : 0;
      at = writeFrameHeader(out.bytes, at, to - from, FrameType.data, flags, stream.id);
      payload.copy(out.bytes, at, from, to);
      at += to - from;
    }
    if (ending !== "data") {
      const last = Flag.endHeaders | Flag.endStream;
      at = writeFrameHeader(out.bytes, at, trailers.length, FrameType.headers, last, stream.id);
      out.bytes.set(trailers, at);
    }
    this.#flushSoon();
    this.onSent(stream);
  }

  /** The owner, who had set `paused`, takes data again. */
  resume(stream: Http2Stream): void {
    stream.paused = false;
    this.#giveBackTo(stream);
  }

  /** Data waits, whatever the windows allow, until the transport is free again: a peer may promise to read, and not do so. */
  hold(): void {
    this.#held = true;
  }

  release(): void {
    this.#held = false;
    this.#unblock();
  }

  protected pump(stream: Http2Stream): void {
    while (stream.queue.length > 0) {
      const head = stream.queue[0]!;
      const size = Math.max(0, Math.min(head.length, this.#sendWindow, stream.sendWindow, this.#maxSendFrame));
      if (this.#held || (size === 0 && head.length > 0)) {
        this.#blocked.add(stream);
        return;
      }
      this.sent = true;
      this.frame(FrameType.data, 0, stream.id, size === head.length ? head : head.subarray(0, size));
      this.#sendWindow -= size;
      stream.sendWindow -= size;
      stream.queuedBytes -= size;
      if (size === head.length) stream.queue.shift();
      else stream.queue[0] = head.subarray(size);
    }
    this.#blocked.delete(stream);
    const { ending } = stream;
    stream.ending = undefined;
    if (ending === "data") {
      this.frame(FrameType.data, Flag.endStream, stream.id, nothing);
      this.onSent(stream);
    } else if (ending !== undefined) this.sendHeaders(stream, ending, true);
    const drained = stream.onDrain;
    stream.onDrain = undefined;
    drained?.();
  }

  /** Neither sends nor hears any more. `code`: what the peer is told, if anything. */
  protected drop(stream: Http2Stream, code?: number): void {
    this.streams.delete(stream.id >>> 1);
    this.#blocked.delete(stream);
    stream.queue = [];
    if (code !== undefined) this.write(uint32Frame(FrameType.rstStream, stream.id, code));
  }

  #abort(stream: Http2Stream, reason: Abort): void {
    stream.onDrain?.();
    stream.events?.onAbort(reason);
  }

  /** What was sent so far leaves, then nothing more. */
  protected end(): void {
    this.#flush();
    this.failed = true; // nothing that still comes counts
    this.#output.end();
  }

  #onFrame(type: number, flags: number, streamId: number, payload: Buffer): void {
    if (this.#partial !== undefined && (type !== FrameType.continuation || streamId !== this.#partial.streamId))
      throw new ConnectionError(ErrorCode.protocol, "a header block was interrupted");
    switch (type) {
      case FrameType.data:
        return this.#onData(flags, streamId, payload);
      case FrameType.headers:
        return this.#onHeaders(flags, streamId, payload);
      case FrameType.continuation:
        return this.#onContinuation(flags, payload);
      case FrameType.settings:
        return this.#onSettings(flags, payload);
      case FrameType.windowUpdate:
        return this.#onWindowUpdate(streamId, payload);
      case FrameType.rstStream:
        return this.#onReset(streamId, payload);
      case FrameType.ping:
        if (payload.length !== 8) throw new ConnectionError(ErrorCode.frameSize, "PING takes 8 bytes");
        if ((flags & Flag.ack) !== 0) return this.onPong(payload);
        this.onPing();
        return this.frame(FrameType.ping, Flag.ack, 0, payload);
      case FrameType.goaway:
        return this.onGoaway(payload);
      case FrameType.pushPromise:
        throw new ConnectionError(ErrorCode.protocol, "nothing may be pushed");
    } // PRIORITY and unknown types ask nothing of us
  }

  #onData(flags: number, streamId: number, payload: Buffer): void {
    if (streamId === 0 || this.isIdle(streamId))
      throw new ConnectionError(ErrorCode.protocol, "DATA on an idle stream");
    this.#consumed += payload.length;
    const stream = this.streams.get(streamId >>> 1);
    if (stream === undefined || stream.remoteClosed) return; // ended; the bytes still count
    const endStream = (flags & Flag.endStream) !== 0;
    stream.remoteClosed = endStream;
    if (endStream) this.onReceived(stream);
    else {
      stream.owed += payload.length;
      if (stream.owed > receiveWindow) throw new ConnectionError(ErrorCode.flowControl, "more data than the window");
      if (!stream.paused) this.#giveBackTo(stream);
    }
    stream.events?.onData(unpad(flags, payload), endStream);
  }

  #onHeaders(flags: number, streamId: number, payload: Buffer): void {
    let block = unpad(flags, payload);
    if ((flags & Flag.priority) !== 0) block = block.subarray(5);
    const endStream = (flags & Flag.endStream) !== 0;
    if ((flags & Flag.endHeaders) !== 0) return this.#onBlock(streamId, block, endStream);
    this.#partial = { streamId, endStream, blocks: [Buffer.from(block)], bytes: block.length };
  }

  #onContinuation(flags: number, payload: Buffer): void {
    const partial = this.#partial;
    if (partial === undefined) throw new ConnectionError(ErrorCode.protocol, "CONTINUATION without HEADERS");
    partial.blocks.push(Buffer.from(payload));
    partial.bytes += payload.length + frameHeaderBytes; // empty ones count too
    if (partial.bytes > maxHeaderBlock) throw new ConnectionError(ErrorCode.enhanceYourCalm, "header block too large");
    if ((flags & Flag.endHeaders) === 0) return;
    this.#partial = undefined;
    this.#onBlock(partial.streamId, Buffer.concat(partial.blocks), partial.endStream);
  }

  /** Always decoded: the table is shared by all streams. */
  #onBlock(streamId: number, block: Buffer, endStream: boolean): void {
    this.onBlock(streamId, this.#hpack.decode(block), endStream);
  }

  #onSettings(flags: number, payload: Buffer): void {
    if ((flags & Flag.ack) !== 0) return;
    if (payload.length % 6 !== 0) throw new ConnectionError(ErrorCode.frameSize, "SETTINGS come in sixes");
    const settings = new Map<number, number>();
    for (let at = 0; at < payload.length; at += 6) {
      const value = payload.readUInt32BE(at + 2);
      settings.set(payload.readUInt16BE(at), value);
      switch (payload.readUInt16BE(at)) {
        case Setting.initialWindowSize:
          if (value > maxWindow) throw new ConnectionError(ErrorCode.flowControl, "window too large");
          for (const stream of this.streams.values()) stream.sendWindow += value - this.initialSendWindow;
          this.initialSendWindow = value;
          this.#unblock();
          break;
        case Setting.maxFrameSize:
          if (value < 16_384 || value > 16_777_215) throw new ConnectionError(ErrorCode.protocol, "bad frame size");
          this.#maxSendFrame = Math.min(value, 1024 * 1024);
          break;
      }
    }
    this.frame(FrameType.settings, Flag.ack, 0, nothing);
    this.onSettings(settings);
  }

  #onWindowUpdate(streamId: number, payload: Buffer): void {
    if (payload.length !== 4) throw new ConnectionError(ErrorCode.frameSize, "WINDOW_UPDATE takes 4 bytes");
    const increment = payload.readUInt32BE(0) & 0x7fffffff;
    if (increment === 0) throw new ConnectionError(ErrorCode.protocol, "WINDOW_UPDATE of zero");
    if (streamId === 0) {
      this.#sendWindow += increment;
      if (this.#sendWindow > maxWindow) throw new ConnectionError(ErrorCode.flowControl, "window overflow");
      this.#unblock();
      return;
    }
    const stream = this.streams.get(streamId >>> 1);
    if (stream === undefined) return;
    stream.sendWindow += increment;
    if (stream.sendWindow > maxWindow) {
      this.write(uint32Frame(FrameType.rstStream, streamId, ErrorCode.flowControl));
      this.#forget(stream, { code: ErrorCode.flowControl, message: "window overflow" });
    } else if (this.#blocked.has(stream)) this.pump(stream);
  }

  #unblock(): void {
    for (const stream of [...this.#blocked]) {
      if (this.#held || this.#sendWindow <= 0) return;
      this.pump(stream);
    }
  }

  #onReset(streamId: number, payload: Buffer): void {
    if (payload.length !== 4) throw new ConnectionError(ErrorCode.frameSize, "RST_STREAM takes 4 bytes");
    if (this.isIdle(streamId)) throw new ConnectionError(ErrorCode.protocol, "RST_STREAM on an idle stream");
    const stream = this.streams.get(streamId >>> 1);
    const code = payload.readUInt32BE(0);
    if (stream !== undefined) this.#forget(stream, { code, message: `Received RST_STREAM with code ${code}` });
  }

  #forget(stream: Http2Stream, reason: Abort): void {
    this.drop(stream);
    this.#abort(stream, reason);
    this.onGone(stream);
  }

  /** Returns the connection's window in few updates. */
  #giveBack(): void {
    if (this.#consumed < receiveWindow / 4) return;
    this.write(uint32Frame(FrameType.windowUpdate, 0, this.#consumed));
    this.#consumed = 0;
  }

  #giveBackTo(stream: Http2Stream): void {
    if (stream.owed < receiveWindow / 4 || stream.remoteClosed) return;
    this.write(uint32Frame(FrameType.windowUpdate, stream.id, stream.owed));
    stream.owed = 0;
  }

  #fail(code: number, message: string): void {
    this.goaway(code, message);
    this.end();
    this.onFailed(message);
  }

  protected onFailed(_message: string): void {}

  protected goaway(code: number, message: string): void {
    const payload = Buffer.alloc(8 + Buffer.byteLength(message));
    payload.writeUInt32BE(this.lastPeerStream, 0);
    payload.writeUInt32BE(code, 4);
    payload.write(message, 8);
    this.frame(FrameType.goaway, 0, 0, payload);
  }

  protected frame(type: number, flags: number, streamId: number, payload: Buffer): void {
    const at = this.#out.room(frameHeaderBytes + payload.length);
    this.#out.bytes.set(payload, writeFrameHeader(this.#out.bytes, at, payload.length, type, flags, streamId));
    this.#flushSoon();
  }

  protected write(bytes: Buffer): void {
    this.#out.push(bytes);
    this.#flushSoon();
  }

  #flushSoon(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(this.#flushSoonest);
  }

  /** Once what runs now is over, and every promise that it has settled: all that came of it leaves in one write. */
  readonly #flushSoonest = (): void => process.nextTick(this.#flush);

  readonly #flush = (): void => {
    this.#scheduled = false;
    if (this.#out.length === 0) return;
    const bytes = this.#out.take();
    if (!this.failed) this.#output.write(bytes);
  };
}

function unpad(flags: number, payload: Buffer): Buffer {
  if ((flags & Flag.padded) === 0) return payload;
  const pad = payload[0] ?? 0;
  if (pad >= payload.length) throw new ConnectionError(ErrorCode.protocol, "more padding than payload");
  return payload.subarray(1, payload.length - pad);
}
