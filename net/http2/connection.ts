import { RingMap } from "../../base/ring-map.ts";
import {
  ConnectionError,
  ErrorCode,
  Flag,
  FrameSplitter,
  FrameType,
  frame,
  frameHeaderBytes,
  Setting,
  settingsFrame,
  uint32Frame,
  writeFrameHeader,
} from "./frames.ts";
import { type Header, HpackDecoder, HpackError } from "./hpack.ts";
import { OutBuffer } from "./out-buffer.ts";

/**
 * The server's side of one HTTP/2 connection (RFC 9113): bytes in, streams out. It knows no socket: `output.write` gets
 * what is to be sent, in one write for all that one event set off. Upgrades, push and priorities are absent.
 *
 * Invariants: a stream sends nothing after its trailers; data waits for both windows; every received DATA byte is given
 * back to the peer's windows, as soon as it was handed on.
 */
export interface Http2Output {
  write(bytes: Buffer): void;
  /** The connection cannot go on; `write` got its GOAWAY already. */
  end(): void;
}

/** What the owner of a stream hears. `onData` gets views into the received chunk: copy what is kept. */
export interface StreamEvents {
  onData(payload: Buffer, endStream: boolean): void;
  /** Reset by the peer, or the connection is gone. Not called after a normal end. */
  onAbort(): void;
}

/** Bytes that exist only once: where they are sent from. */
export interface Payload {
  readonly length: number;
  /** The bytes [from, to) of it, to `at` in `into`. */
  copy(into: Buffer, at: number, from: number, to: number): void;
}

export interface Http2Stream {
  readonly id: number;
  /** Set by the owner while it opens the stream. */
  events: StreamEvents | undefined;
  /** The peer has ended its side. */
  remoteClosed: boolean;
  /** We have begun to answer. */
  served: boolean;
  sendWindow: number;
  /** Octets of DATA that wait for a window, in order. */
  queue: Buffer[];
  queuedBytes: number;
  /** An encoded header block that goes out after the queue and ends the stream. */
  trailers: Buffer | undefined;
  onDrain: (() => void) | undefined;
}

const nothing = Buffer.alloc(0);
const maxFrameSize = 16_384;
/** What a peer may have in flight towards us: generous, since handlers take data at once. */
const receiveWindow = 4 * 1024 * 1024;
const maxStreams = 65_536;
/** Streams reset or refused beyond those served: an abusive peer is cut off (CVE-2023-44487, "rapid reset"). */
const maxUselessStreams = 1000;
const idlePingMs = 2 * 3_600_000;
const maxPingStrikes = 2;
const maxHeaderBlock = 256 * 1024;
const maxWindow = 2 ** 31 - 1;

export interface Http2Limits {
  /** Streams that one peer may have open. */
  maxStreams?: number | undefined;
  /**
   * Pings of the peer may come so often while streams run, every two hours without, and whenever something was sent since
   * the last one; with the third beyond that the connection ends ("too_many_pings", as gRPC servers in Go do). Undefined:
   * every ping is answered.
   */
  pings?: { minTimeMs: number; now(): number } | undefined;
}

export class Http2Connection {
  readonly #onStream: (stream: Http2Stream, headers: readonly Header[], endStream: boolean) => void;
  readonly #output: Http2Output;
  readonly #splitter: FrameSplitter;
  readonly #hpack = new HpackDecoder();
  /** By half their ids, which are odd. */
  readonly #streams = new RingMap<Http2Stream>();
  #sendWindow = 65_535;
  #initialSendWindow = 65_535;
  #maxSendFrame = 16_384;
  #consumed = 0;
  #lastStreamId = 0;
  #useless = 0;
  #closing = false;
  /** The peer knows that we are closing. */
  #heardOut = false;
  #failed = false;
  /** HEADERS without END_HEADERS: the block so far. */
  #partial: { streamId: number; endStream: boolean; blocks: Buffer[]; bytes: number } | undefined;
  /** Most streams that were open at once. */
  #peak = 0;
  readonly #blocked = new Set<Http2Stream>();
  /** Octets of unfinished requests that the owner of the streams keeps. */
  held = 0;
  readonly #out = new OutBuffer();
  #scheduled = false;
  readonly #maxStreams: number;
  readonly #pings: Http2Limits["pings"];
  #lastPing = Number.NEGATIVE_INFINITY;
  #strikes = 0;
  /** Headers or data since the peer's last ping: clients measure the way with pings behind data that they got. */
  #sent = false;
  /** Since `heard` was asked. */
  #received = true;

  constructor(
    output: Http2Output,
    onStream: (stream: Http2Stream, headers: readonly Header[], endStream: boolean) => void,
    limits: Http2Limits = {},
  ) {
    this.#maxStreams = Math.min(limits.maxStreams ?? maxStreams, maxStreams);
    this.#pings = limits.pings;
    this.#output = output;
    this.#onStream = onStream;
    this.#splitter = new FrameSplitter(maxFrameSize, (...args) => this.#onFrame(...args));
    this.#write(
      settingsFrame({ [Setting.maxConcurrentStreams]: this.#maxStreams, [Setting.initialWindowSize]: receiveWindow }),
    );
    this.#write(uint32Frame(FrameType.windowUpdate, 0, receiveWindow - 65_535));
  }

  /** Has anything come since this was asked last? */
  heard(): boolean {
    const received = this.#received;
    this.#received = false;
    return received;
  }

  /** Asks for a sign of life. */
  ping(): void {
    this.#frame(FrameType.ping, 0, 0, Buffer.alloc(8));
  }

  receive(chunk: Buffer): void {
    if (this.#failed) return;
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
  closed(): void {
    for (const stream of this.#streams.values()) {
      stream.onDrain?.();
      stream.events?.onAbort();
    }
    this.#streams.clear();
  }

  /**
   * GOAWAY without error: new streams are refused. The output ends with the last one that runs, once the peer has answered a
   * ping: what it sent before it heard of this has been refused then, and may be sent elsewhere.
   */
  goaway(): void {
    this.#closing = true;
    this.#write(goawayFrame(this.#lastStreamId, ErrorCode.none, ""));
    this.#frame(FrameType.ping, 0, 0, farewell);
  }

  sendHeaders(stream: Http2Stream, block: Buffer, endStream: boolean): void {
    this.#sent = true;
    stream.served = true;
    this.#frame(FrameType.headers, Flag.endHeaders | (endStream ? Flag.endStream : 0), stream.id, block);
    if (endStream) this.#finish(stream);
  }

  sendData(stream: Http2Stream, payload: Buffer): void {
    stream.queue.push(payload);
    stream.queuedBytes += payload.length;
    this.#pump(stream);
  }

  /** After all data: the header block that ends the stream. */
  sendTrailers(stream: Http2Stream, block: Buffer): void {
    stream.trailers = block;
    this.#pump(stream);
  }

  /** Headers, data and trailers, written where they leave from when the windows allow: the way of a unary answer. */
  respond(stream: Http2Stream, headers: Buffer, payload: Payload, trailers: Buffer): void {
    const { length } = payload;
    if (length > this.#sendWindow || length > stream.sendWindow) {
      const bytes = Buffer.allocUnsafe(length);
      payload.copy(bytes, 0, 0, length);
      this.sendHeaders(stream, headers, false);
      this.sendData(stream, bytes);
      this.sendTrailers(stream, trailers);
      return;
    }
    this.#sendWindow -= length;
    const out = this.#out;
    const frames = Math.ceil(length / this.#maxSendFrame);
    let at = out.room((2 + frames) * frameHeaderBytes + headers.length + length + trailers.length);
    at = writeFrameHeader(out.bytes, at, headers.length, FrameType.headers, Flag.endHeaders, stream.id);
    out.bytes.set(headers, at);
    at += headers.length;
    for (let from = 0; from < length; from += this.#maxSendFrame) {
      const to = Math.min(length, from + this.#maxSendFrame);
      at = writeFrameHeader(out.bytes, at, to - from, FrameType.data, 0, stream.id);
      payload.copy(out.bytes, at, from, to);
      at += to - from;
    }
    const last = Flag.endHeaders | Flag.endStream;
    at = writeFrameHeader(out.bytes, at, trailers.length, FrameType.headers, last, stream.id);
    out.bytes.set(trailers, at);
    this.#flushSoon();
    this.#finish(stream);
  }

  #pump(stream: Http2Stream): void {
    while (stream.queue.length > 0) {
      const head = stream.queue[0]!;
      const size = Math.min(head.length, this.#sendWindow, stream.sendWindow, this.#maxSendFrame);
      if (size <= 0 && head.length > 0) {
        this.#blocked.add(stream);
        return;
      }
      this.#sent = true;
      this.#frame(FrameType.data, 0, stream.id, size === head.length ? head : head.subarray(0, size));
      this.#sendWindow -= size;
      stream.sendWindow -= size;
      stream.queuedBytes -= size;
      if (size === head.length) stream.queue.shift();
      else stream.queue[0] = head.subarray(size);
    }
    this.#blocked.delete(stream);
    if (stream.trailers !== undefined) this.sendHeaders(stream, stream.trailers, true);
    const drained = stream.onDrain;
    stream.onDrain = undefined;
    drained?.();
  }

  /** We ended the stream. If the peer has not, it is told to stop sending (RFC 9113, 8.1). */
  #finish(stream: Http2Stream): void {
    this.#sent = true;
    this.#streams.delete(stream.id >>> 1);
    this.#blocked.delete(stream);
    if (!stream.remoteClosed) this.#write(uint32Frame(FrameType.rstStream, stream.id, ErrorCode.none));
    this.#endIfIdle();
  }

  #endIfIdle(): void {
    if (!this.#heardOut || this.#streams.size > 0 || this.#failed) return;
    this.#failed = true; // nothing that still comes counts
    this.#flush();
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
        return this.#onReset(streamId);
      case FrameType.ping:
        if (payload.length !== 8) throw new ConnectionError(ErrorCode.frameSize, "PING takes 8 bytes");
        if ((flags & Flag.ack) !== 0) {
          this.#heardOut ||= payload.equals(farewell);
          return this.#endIfIdle();
        }
        this.#countPing();
        this.#frame(FrameType.ping, Flag.ack, 0, payload);
        return;
      case FrameType.pushPromise:
        throw new ConnectionError(ErrorCode.protocol, "a client cannot push");
    } // PRIORITY, GOAWAY and unknown types ask nothing of us
  }

  #onData(flags: number, streamId: number, payload: Buffer): void {
    if (streamId === 0 || streamId > this.#lastStreamId)
      throw new ConnectionError(ErrorCode.protocol, "DATA on an idle stream");
    this.#consumed += payload.length;
    const stream = this.#streams.get(streamId >>> 1);
    if (stream === undefined || stream.remoteClosed) return; // ended; the bytes still count
    const endStream = (flags & Flag.endStream) !== 0;
    if (endStream) stream.remoteClosed = true;
    else if (payload.length > 0) this.#write(uint32Frame(FrameType.windowUpdate, streamId, payload.length));
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

  #onBlock(streamId: number, block: Buffer, endStream: boolean): void {
    const headers = this.#hpack.decode(block); // always: the table is shared by all streams
    const known = this.#streams.get(streamId >>> 1);
    if (known !== undefined || streamId <= this.#lastStreamId) {
      if (!endStream) throw new ConnectionError(ErrorCode.protocol, "HEADERS in the middle of a stream");
      if (known === undefined || known.remoteClosed) return;
      known.remoteClosed = true; // trailers of a request
      known.events?.onData(nothing, true);
      return;
    }
    if (streamId % 2 === 0) throw new ConnectionError(ErrorCode.protocol, "a client's streams are odd");
    this.#lastStreamId = streamId;
    if (this.#closing || this.#streams.size >= this.#maxStreams) {
      this.#countUseless();
      this.#write(uint32Frame(FrameType.rstStream, streamId, ErrorCode.refusedStream));
      return;
    }
    const stream: Http2Stream = {
      id: streamId,
      events: undefined,
      remoteClosed: endStream,
      served: false,
      sendWindow: this.#initialSendWindow,
      queue: [],
      queuedBytes: 0,
      trailers: undefined,
      onDrain: undefined,
    };
    this.#streams.add(streamId >>> 1, stream);
    this.#peak = Math.max(this.#peak, this.#streams.size);
    this.#onStream(stream, headers, endStream);
  }

  #onSettings(flags: number, payload: Buffer): void {
    if ((flags & Flag.ack) !== 0) return;
    if (payload.length % 6 !== 0) throw new ConnectionError(ErrorCode.frameSize, "SETTINGS come in sixes");
    for (let at = 0; at < payload.length; at += 6) {
      const value = payload.readUInt32BE(at + 2);
      switch (payload.readUInt16BE(at)) {
        case Setting.initialWindowSize:
          if (value > maxWindow) throw new ConnectionError(ErrorCode.flowControl, "window too large");
          for (const stream of this.#streams.values()) stream.sendWindow += value - this.#initialSendWindow;
          this.#initialSendWindow = value;
          this.#unblock();
          break;
        case Setting.maxFrameSize:
          if (value < 16_384 || value > 16_777_215) throw new ConnectionError(ErrorCode.protocol, "bad frame size");
          this.#maxSendFrame = Math.min(value, 1024 * 1024);
          break;
      }
    }
    this.#frame(FrameType.settings, Flag.ack, 0, nothing);
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
    const stream = this.#streams.get(streamId >>> 1);
    if (stream === undefined) return;
    stream.sendWindow += increment;
    if (stream.sendWindow > maxWindow) {
      this.#write(uint32Frame(FrameType.rstStream, streamId, ErrorCode.flowControl));
      this.#onReset(streamId);
    } else if (this.#blocked.has(stream)) this.#pump(stream);
  }

  #unblock(): void {
    for (const stream of [...this.#blocked]) {
      if (this.#sendWindow <= 0) return;
      this.#pump(stream);
    }
  }

  #onReset(streamId: number): void {
    if (streamId > this.#lastStreamId) throw new ConnectionError(ErrorCode.protocol, "RST_STREAM on an idle stream");
    const stream = this.#streams.get(streamId >>> 1);
    if (stream === undefined) return;
    if (!stream.served) this.#countUseless();
    this.#streams.delete(streamId >>> 1);
    this.#blocked.delete(stream);
    stream.onDrain?.();
    stream.events?.onAbort();
    this.#endIfIdle();
  }

  #countPing(): void {
    if (this.#pings === undefined) return;
    const now = this.#pings.now();
    const wait = this.#streams.size > 0 ? this.#pings.minTimeMs : idlePingMs;
    if (this.#sent) this.#strikes = 0;
    else if (now - this.#lastPing < wait && ++this.#strikes > maxPingStrikes)
      throw new ConnectionError(ErrorCode.enhanceYourCalm, "too_many_pings");
    this.#sent = false;
    this.#lastPing = now;
  }

  /**
   * Resets are normal: watches are cancelled, all at once when their owner ends. Only far more of them than served streams,
   * and than were ever open at once, are an attack.
   */
  #countUseless(): void {
    this.#useless++;
    if (this.#useless > Math.max(maxUselessStreams, this.#lastStreamId / 4, this.#peak))
      throw new ConnectionError(ErrorCode.enhanceYourCalm, "too many reset streams");
  }

  /** Returns the connection's window in few updates. */
  #giveBack(): void {
    if (this.#consumed < receiveWindow / 4) return;
    this.#write(uint32Frame(FrameType.windowUpdate, 0, this.#consumed));
    this.#consumed = 0;
  }

  #fail(code: number, message: string): void {
    this.#failed = true;
    this.#write(goawayFrame(this.#lastStreamId, code, message));
    this.#flush();
    this.#output.end();
  }

  #frame(type: number, flags: number, streamId: number, payload: Buffer): void {
    const at = this.#out.room(frameHeaderBytes + payload.length);
    this.#out.bytes.set(payload, writeFrameHeader(this.#out.bytes, at, payload.length, type, flags, streamId));
    this.#flushSoon();
  }

  #write(bytes: Buffer): void {
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
    if (this.#out.length > 0) this.#output.write(this.#out.take());
  };
}

/** Of the ping behind GOAWAY; those that only ask for a sign of life have zeros. */
const farewell = Buffer.alloc(8, 1);

function unpad(flags: number, payload: Buffer): Buffer {
  if ((flags & Flag.padded) === 0) return payload;
  const pad = payload[0] ?? 0;
  if (pad >= payload.length) throw new ConnectionError(ErrorCode.protocol, "more padding than payload");
  return payload.subarray(1, payload.length - pad);
}

function goawayFrame(lastStreamId: number, code: number, message: string): Buffer {
  const payload = Buffer.alloc(8 + Buffer.byteLength(message));
  payload.writeUInt32BE(lastStreamId, 0);
  payload.writeUInt32BE(code, 4);
  payload.write(message, 8);
  return frame(FrameType.goaway, 0, 0, payload);
}
