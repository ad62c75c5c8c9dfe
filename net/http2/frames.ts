/**
 * HTTP/2 frames (RFC 9113, section 4):
 *
 *   | length u24 | type u8 | flags u8 | stream id u31 | payload ... |
 *
 * The splitter hands out payloads as views into the chunk it was given: whoever keeps bytes beyond the call copies them.
 */
export const FrameType = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const Flag = { endStream: 0x1, ack: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 } as const;

export const ErrorCode = {
  none: 0,
  protocol: 1,
  internal: 2,
  flowControl: 3,
  streamClosed: 5,
  frameSize: 6,
  refusedStream: 7,
  cancel: 8,
  compression: 9,
  enhanceYourCalm: 11,
} as const;

export const Setting = {
  headerTableSize: 1,
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
} as const;

export const preface: Buffer = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
export const frameHeaderBytes = 9;

/** Breaks a rule of the connection: GOAWAY with `code`, then the connection ends. */
export class ConnectionError extends Error {
  override name = "ConnectionError";
  readonly code: number;
  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

export type FrameHandler = (type: number, flags: number, streamId: number, payload: Buffer) => void;

/** Cuts a byte stream into frames; bytes of an unfinished frame wait for the next chunk. */
export class FrameSplitter {
  readonly #maxFrameSize: number;
  readonly #onFrame: FrameHandler;
  #prefaceLeft: number;
  #rest: Buffer | undefined;

  /** `from`: whose bytes these are; only a client begins with the preface. */
  constructor(maxFrameSize: number, onFrame: FrameHandler, from: "client" | "server" = "client") {
    this.#maxFrameSize = maxFrameSize;
    this.#onFrame = onFrame;
    this.#prefaceLeft = from === "client" ? preface.length : 0;
  }

  push(chunk: Buffer): void {
    let buffer = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = undefined;
    if (this.#prefaceLeft > 0) {
      const part = Math.min(this.#prefaceLeft, buffer.length);
      const at = preface.length - this.#prefaceLeft;
      if (!buffer.subarray(0, part).equals(preface.subarray(at, at + part)))
        throw new ConnectionError(ErrorCode.protocol, "no HTTP/2 preface");
      this.#prefaceLeft -= part;
      buffer = buffer.subarray(part);
    }
    let at = 0;
    while (buffer.length - at >= frameHeaderBytes) {
      const length = buffer.readUIntBE(at, 3);
      if (length > this.#maxFrameSize) throw new ConnectionError(ErrorCode.frameSize, `frame of ${length} bytes`);
      const end = at + frameHeaderBytes + length;
      if (end > buffer.length) break;
      const streamId = buffer.readUInt32BE(at + 5) & 0x7fffffff;
      this.#onFrame(buffer[at + 3]!, buffer[at + 4]!, streamId, buffer.subarray(at + frameHeaderBytes, end));
      at = end;
    }
    if (at < buffer.length) this.#rest = at === 0 ? buffer : buffer.subarray(at);
  }
}

/** Writes a frame header into `into` at `at`; returns where the payload begins. */
export function writeFrameHeader(
  into: Buffer,
  at: number,
  length: number,
  type: number,
  flags: number,
  streamId: number,
): number {
  into.writeUIntBE(length, at, 3);
  into[at + 3] = type;
  into[at + 4] = flags;
  into.writeUInt32BE(streamId, at + 5);
  return at + frameHeaderBytes;
}

export function frame(type: number, flags: number, streamId: number, payload: Uint8Array = new Uint8Array(0)): Buffer {
  const bytes = Buffer.allocUnsafe(frameHeaderBytes + payload.length);
  bytes.set(payload, writeFrameHeader(bytes, 0, payload.length, type, flags, streamId));
  return bytes;
}

export function settingsFrame(settings: Record<number, number>): Buffer {
  const entries = Object.entries(settings);
  const payload = Buffer.alloc(entries.length * 6);
  entries.forEach(([id, value], i) => {
    payload.writeUInt16BE(Number(id), i * 6);
    payload.writeUInt32BE(value, i * 6 + 2);
  });
  return frame(FrameType.settings, 0, 0, payload);
}

export function uint32Frame(type: number, streamId: number, value: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(value);
  return frame(type, 0, streamId, payload);
}
