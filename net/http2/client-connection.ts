import {
  bytesOf,
  Http2Connection,
  type Http2Output,
  Http2Stream,
  type Payload,
  type StreamEvents,
} from "./connection.ts";
import { ConnectionError, ErrorCode, preface, Setting } from "./frames.ts";
import type { Header } from "./hpack.ts";

/** What the owner of a connection hears of it. */
export interface ClientEvents {
  /** The server's first SETTINGS are here: it speaks HTTP/2. */
  onReady(): void;
  /** It takes no new streams any more; those that run may end. */
  onLeaving(message: string): void;
  /** The first stream of several begins, or the last has ended. */
  onBusy(busy: boolean): void;
}

/**
 * The client's side: streams are opened by us and end with the peer's trailers. What exceeds the server's limit of streams
 * waits in order.
 */
export class ClientConnection extends Http2Connection {
  readonly #events: ClientEvents;
  #busy = false;
  #nextId: number;
  #ready = false;
  #leaving = false;
  #maxStreams = Number.POSITIVE_INFINITY;
  #waiting: { stream: Http2Stream; headers: Buffer }[] = [];

  constructor(output: Http2Output, events: ClientEvents, firstId = 1) {
    super(output, "server");
    this.#events = events;
    this.#nextId = firstId;
    this.write(preface);
    this.greet({ [Setting.enablePush]: 0 });
  }

  /** Begins a stream to which data is sent later, unless `end`. */
  open(headers: Buffer, events: StreamEvents, end = false): Http2Stream {
    const stream = this.#stream(events);
    if (!this.#begin(stream)) {
      if (end) stream.ending = "data";
      this.#waiting.push({ stream, headers });
    } else this.sendHeaders(stream, headers, end);
    return stream;
  }

  /** A whole request. `payload` is copied at once. */
  request(headers: Buffer, payload: Payload, events: StreamEvents): Http2Stream {
    const stream = this.#stream(events);
    if (this.#begin(stream)) this.sendWhole(stream, headers, payload, "data");
    else {
      stream.queue.push(bytesOf(payload));
      stream.ending = "data";
      this.#waiting.push({ stream, headers });
    }
    return stream;
  }

  override sendData(stream: Http2Stream, payload: Buffer): void {
    if (this.#isOpen(stream)) super.sendData(stream, payload);
    else if (stream.id === 0) stream.queue.push(payload);
  }

  override sendEnd(stream: Http2Stream, ending: Buffer | "data"): void {
    if (this.#isOpen(stream)) super.sendEnd(stream, ending);
    else if (stream.id === 0) stream.ending = ending;
  }

  /** We want no more of it. Nothing is told to its events. */
  cancel(stream: Http2Stream): void {
    if (this.#isOpen(stream)) this.drop(stream, ErrorCode.cancel);
    else this.#waiting = this.#waiting.filter((one) => one.stream !== stream);
    this.#next();
  }

  override closed(message?: string): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    super.closed(message);
    for (const { stream } of waiting)
      stream.events?.onAbort({ code: ErrorCode.refusedStream, message: message ?? "the connection is gone" });
  }

  #stream(events: StreamEvents): Http2Stream {
    this.#tell(true);
    const stream = new Http2Stream(0, false, this.initialSendWindow);
    stream.events = events;
    return stream;
  }

  #isOpen(stream: Http2Stream): boolean {
    return stream.id !== 0 && this.streams.get(stream.id >>> 1) === stream;
  }

  #begin(stream: Http2Stream): boolean {
    if (this.streams.size >= this.#maxStreams) return false;
    stream.id = this.#nextId;
    stream.sendWindow = this.initialSendWindow;
    this.#nextId += 2;
    this.streams.add(stream.id >>> 1, stream);
    if (this.#nextId === lastIds) this.#leave("its stream ids are used up");
    return true;
  }

  /** A stream has ended: another may begin, or the connection can go. */
  #next(): void {
    while (this.#waiting.length > 0 && this.#begin(this.#waiting[0]!.stream)) {
      const { stream, headers } = this.#waiting.shift()!;
      const bare = stream.queue.length === 0 && stream.ending === "data";
      if (bare) stream.ending = undefined;
      this.sendHeaders(stream, headers, bare);
      if (!bare) this.pump(stream);
    }
    if (this.streams.size > 0 || this.#waiting.length > 0) return;
    this.#tell(false);
    if (this.#leaving && !this.failed) this.end();
  }

  #leave(message: string): void {
    this.#leaving = true;
    this.#events.onLeaving(message);
  }

  #tell(busy: boolean): void {
    if (busy !== this.#busy) this.#events.onBusy(busy);
    this.#busy = busy;
  }

  protected get lastPeerStream(): number {
    return 0;
  }

  protected isIdle(streamId: number): boolean {
    return streamId % 2 === 0 || streamId >= this.#nextId;
  }

  protected onSent(stream: Http2Stream): void {
    stream.localClosed = true;
  }

  protected onGone(): void {
    this.#next();
  }

  protected onPing(): void {}

  protected onPong(): void {}

  protected override onSettings(settings: ReadonlyMap<number, number>): void {
    this.#maxStreams = settings.get(Setting.maxConcurrentStreams) ?? this.#maxStreams;
    this.#next();
    if (!this.#ready) this.#events.onReady();
    this.#ready = true;
  }

  /** Streams above its last one were not looked at, and may be sent elsewhere (RFC 9113, 6.8). */
  protected override onGoaway(payload: Buffer): void {
    if (payload.length < 8) throw new ConnectionError(ErrorCode.frameSize, "GOAWAY takes 8 bytes");
    const last = payload.readUInt32BE(0) & 0x7fffffff;
    const message = `GOAWAY ${payload.readUInt32BE(4)} ${payload.toString("latin1", 8)}`.trim();
    this.#leave(message);
    const refused = this.streams.values().filter(({ id }) => id > last);
    for (const stream of refused) this.drop(stream);
    for (const { stream } of this.#waiting.splice(0)) refused.push(stream);
    for (const { events } of refused) events?.onAbort({ code: ErrorCode.refusedStream, message });
    this.#next();
  }

  protected override onFailed(message: string): void {
    this.#events.onLeaving(message);
    this.closed(message);
  }

  protected onBlock(streamId: number, headers: readonly Header[], endStream: boolean): void {
    if (this.isIdle(streamId)) throw new ConnectionError(ErrorCode.protocol, "HEADERS on an idle stream");
    const stream = this.streams.get(streamId >>> 1);
    if (stream === undefined || stream.remoteClosed) return; // cancelled a moment ago
    if (!endStream) return stream.events?.onHeaders?.(headers, false);
    stream.remoteClosed = true;
    this.onReceived(stream);
    stream.events?.onHeaders?.(headers, true);
  }

  /** What we would still send, nobody reads. */
  protected override onReceived(stream: Http2Stream): void {
    this.drop(stream, stream.localClosed ? undefined : ErrorCode.cancel);
    this.#next();
  }
}

/** A stream's id has 31 bits, so a connection ends after a billion calls; the last ones are for those that wait. */
const lastIds = 2 ** 31 - 200_001;
