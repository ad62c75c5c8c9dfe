import { Http2Connection, type Http2Output, Http2Stream } from "./connection.ts";
import { ConnectionError, ErrorCode, FrameType, Setting, uint32Frame } from "./frames.ts";
import type { Header } from "./hpack.ts";

const nothing = Buffer.alloc(0);
const maxStreams = 65_536;
/** Streams reset or refused beyond those served: an abusive peer is cut off (CVE-2023-44487, "rapid reset"). */
const maxUselessStreams = 1000;
const idlePingMs = 2 * 3_600_000;
const maxPingStrikes = 2;

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

/** The server's side: streams are opened by the peer, and end with what we send. Its limits are against abuse. */
export class ServerConnection extends Http2Connection {
  readonly #onStream: (stream: Http2Stream, headers: readonly Header[], endStream: boolean) => void;
  #lastStreamId = 0;
  #useless = 0;
  #closing = false;
  /** The peer knows that we are closing. */
  #heardOut = false;
  /** Most streams that were open at once. */
  #peak = 0;
  /** Octets of unfinished requests that the owner of the streams keeps. */
  held = 0;
  readonly #maxStreams: number;
  readonly #pings: Http2Limits["pings"];
  #lastPing = Number.NEGATIVE_INFINITY;
  #strikes = 0;

  constructor(
    output: Http2Output,
    onStream: (stream: Http2Stream, headers: readonly Header[], endStream: boolean) => void,
    limits: Http2Limits = {},
  ) {
    super(output, "client");
    this.#maxStreams = Math.min(limits.maxStreams ?? maxStreams, maxStreams);
    this.#pings = limits.pings;
    this.#onStream = onStream;
    this.greet({ [Setting.maxConcurrentStreams]: this.#maxStreams });
  }

  /**
   * GOAWAY without error: new streams are refused. The output ends with the last one that runs, once the peer has answered a
   * ping: what it sent before it heard of this has been refused then, and may be sent elsewhere.
   */
  leave(): void {
    this.#closing = true;
    this.goaway(ErrorCode.none, "");
    this.frame(FrameType.ping, 0, 0, farewell);
  }

  protected get lastPeerStream(): number {
    return this.#lastStreamId;
  }

  protected isIdle(streamId: number): boolean {
    return streamId > this.#lastStreamId;
  }

  /** We ended the stream. If the peer has not, it is told to stop sending (RFC 9113, 8.1). */
  protected onSent(stream: Http2Stream): void {
    this.drop(stream, stream.remoteClosed ? undefined : ErrorCode.none);
    this.#endIfIdle();
  }

  protected onGone(stream: Http2Stream): void {
    if (!stream.served) this.#countUseless();
    this.#endIfIdle();
  }

  protected onPong(payload: Buffer): void {
    this.#heardOut ||= payload.equals(farewell);
    this.#endIfIdle();
  }

  protected onBlock(streamId: number, headers: readonly Header[], endStream: boolean): void {
    const known = this.streams.get(streamId >>> 1);
    if (known !== undefined || streamId <= this.#lastStreamId) {
      if (!endStream) throw new ConnectionError(ErrorCode.protocol, "HEADERS in the middle of a stream");
      if (known === undefined || known.remoteClosed) return;
      known.remoteClosed = true; // trailers of a request
      known.events?.onData(nothing, true);
      return;
    }
    if (streamId % 2 === 0) throw new ConnectionError(ErrorCode.protocol, "a client's streams are odd");
    this.#lastStreamId = streamId;
    if (this.#closing || this.streams.size >= this.#maxStreams) {
      this.#countUseless();
      this.write(uint32Frame(FrameType.rstStream, streamId, ErrorCode.refusedStream));
      return;
    }
    const stream = new Http2Stream(streamId, endStream, this.initialSendWindow);
    this.streams.add(streamId >>> 1, stream);
    this.#peak = Math.max(this.#peak, this.streams.size);
    this.#onStream(stream, headers, endStream);
  }

  protected onPing(): void {
    if (this.#pings === undefined) return;
    const now = this.#pings.now();
    const wait = this.streams.size > 0 ? this.#pings.minTimeMs : idlePingMs;
    if (this.sent) this.#strikes = 0;
    else if (now - this.#lastPing < wait && ++this.#strikes > maxPingStrikes)
      throw new ConnectionError(ErrorCode.enhanceYourCalm, "too_many_pings");
    this.sent = false;
    this.#lastPing = now;
  }

  #endIfIdle(): void {
    if (this.#heardOut && this.streams.size === 0 && !this.failed) this.end();
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
}

/** Of the ping behind GOAWAY; those that only ask for a sign of life have zeros. */
const farewell = Buffer.alloc(8, 1);
