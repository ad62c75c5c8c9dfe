/** Cuts the octets of a gRPC call into messages: a byte for compression, the length as a big-endian u32, the message. */
const prefixBytes = 5;

export class MessageSplitter {
  #rest: Buffer | undefined;

  /** `onMessage` gets views into what was pushed. */
  push(payload: Buffer, onMessage: (message: Buffer) => void): void {
    const buffer = this.#rest === undefined ? payload : Buffer.concat([this.#rest, payload]);
    let at = 0;
    while (buffer.length - at >= prefixBytes) {
      const end = at + prefixBytes + buffer.readUInt32BE(at + 1);
      if (end > buffer.length) break;
      onMessage(buffer.subarray(at + prefixBytes, end));
      at = end;
    }
    this.#rest = at < buffer.length ? Buffer.from(buffer.subarray(at)) : undefined;
  }
}

/** Cuts an answer of JSON lines; what is handed on ends with a line, and may be several. */
export class LineSplitter {
  #rest: Buffer | undefined;

  push(payload: Buffer, onLines: (lines: Buffer) => void): void {
    const buffer = this.#rest === undefined ? payload : Buffer.concat([this.#rest, payload]);
    const end = buffer.lastIndexOf(0x0a) + 1;
    if (end > 0) onLines(buffer.subarray(0, end));
    this.#rest = end < buffer.length ? Buffer.from(buffer.subarray(end)) : undefined;
  }
}
