import { constants, createInflate, type Inflate } from "node:zlib";

/**
 * Header blocks of SPDY/3 (draft-mbelshe-httpbis-spdy-00, 2.6.10): a count, then names and values, each behind its length
 * in 32 bits; all blocks of a direction are one zlib stream that is flushed behind each.
 */
export type Headers = Record<string, string>;

/**
 * Writes stored deflate blocks: legal for any inflater, no state but the stream's two first bytes, nothing to attack. Go's
 * inflater gives out a block only at the empty one of a flush.
 */
export class HeaderEncoder {
  #begun = false;

  encode(headers: Headers): Buffer {
    const entries = Object.entries(headers);
    const plain = Buffer.concat([uint32(entries.length), ...entries.flat().map(sized)]);
    const begin = this.#begun ? [] : [0x78, 0x01];
    this.#begun = true;
    const { length } = plain;
    const stored = [0, length & 255, length >> 8, ~length & 255, (~length >> 8) & 255];
    return Buffer.concat([Buffer.from([...begin, ...stored]), plain, Buffer.of(0, 0, 0, 255, 255)]);
  }
}

/** One block at a time; rejects what cannot be inflated or is too long, and is of no more use then. */
export class HeaderDecoder {
  readonly #inflate: Inflate = createInflate({ dictionary, flush: constants.Z_SYNC_FLUSH });
  #plain: Buffer = Buffer.alloc(0);

  constructor() {
    this.#inflate.on("error", () => {}); // told by `decode`
    this.#inflate.on("data", (chunk: Buffer) => {
      this.#plain = Buffer.concat([this.#plain, chunk]);
      if (this.#plain.length > maxBytes) this.#inflate.destroy(new Error("SPDY headers are too long"));
    });
  }

  async decode(block: Uint8Array): Promise<Headers> {
    this.#plain = Buffer.alloc(0);
    await new Promise<void>((resolve, reject) => {
      this.#inflate.once("error", reject);
      this.#inflate.write(block, (error) => {
        this.#inflate.off("error", reject);
        const failed = error ?? this.#inflate.errored;
        if (failed) reject(failed);
        else resolve();
      });
    });
    const plain = this.#plain;
    let at = 0;
    const number = () => {
      at += 4;
      return plain.readUInt32BE(at - 4);
    };
    const headers: Headers = {};
    for (let left = number(); left > 0; left--) {
      const [name, value] = [0, 1].map(() => {
        const length = number();
        at += length;
        if (at > plain.length) throw new RangeError("a SPDY header is cut off");
        return plain.toString("latin1", at - length, at);
      });
      headers[name!.toLowerCase()] = value!;
    }
    return headers;
  }

  close(): void {
    this.#inflate.destroy();
  }
}

const maxBytes = 64 * 1024;

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

const sized = (text: string) => Buffer.concat([uint32(text.length), Buffer.from(text, "latin1")]);

const words =
  "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow authorization cache-control connection content-base content-encoding content-language content-length content-location content-md5 content-range content-type date etag expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie keep-alive origin";

/** What both sides have seen before the first block, word for word (2.6.10.1). */
export const dictionary = Buffer.concat([
  ...words.split(" ").map((word) => sized(word.replace("_", " "))),
  Buffer.from(
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505" +
      "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized" +
      "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable" +
      "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT" +
      "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain," +
      "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.",
  ),
]);
