import { encodeInteger, encodeText } from "../../net/http2/hpack.ts";
import type { Rest } from "./job.ts";

/**
 * The header block of a gRPC call as real clients send it: in full once on a connection, with indexing, and from then on
 * an octet a header (RFC 7541, 6.1). The few headers here fit in the smallest table that the servers announce, so nothing
 * is ever evicted and an index is the age of its entry.
 */
const staticEntries = 61;
const postOverHttp = Buffer.from([0x83, 0x86]); // :method POST, :scheme http
const schemeHttps = Buffer.from([0x87]);
/** :path, its text not indexed: each has another. */
const pathFollows = Buffer.from([0x04]);
const indexed = 0x80;
const literalWithIndexing = 0x40;

export class RequestHeaders {
  readonly #common: (readonly [string, string])[];
  readonly #rest: boolean;
  /** In the order of insertion; the newest has the index 62. */
  readonly #inserted: string[] = [];
  readonly #blocks = new Map<string, Buffer>();

  constructor(authority: string, rest?: Rest) {
    this.#common = [
      ...(rest ? [[":method", rest.method] as const] : []),
      [":authority", authority],
      ["content-type", rest?.contentType ?? "application/grpc"],
      ...(rest ? [] : [["te", "trailers"] as const]),
      ["user-agent", "kubelab-bench"],
    ];
    this.#rest = rest !== undefined;
  }

  block(path: string): Buffer {
    if (this.#rest) {
      const common = this.#common.map((header) => this.#encode(header));
      return Buffer.concat([common[0]!, schemeHttps, pathFollows, encodeText(path), ...common.slice(1)]);
    }
    const known = this.#blocks.get(path);
    if (known !== undefined) return known;
    const headers: (readonly [string, string])[] = [[":path", path], ...this.#common];
    const before = this.#inserted.length;
    const block = Buffer.concat([postOverHttp, ...headers.map((header) => this.#encode(header))]);
    // An insertion moves every index, so what was kept is void.
    if (this.#inserted.length > before) this.#blocks.clear();
    else this.#blocks.set(path, block);
    return block;
  }

  #encode([name, value]: readonly [string, string]): Buffer {
    const age = this.#inserted.indexOf(`${name} ${value}`);
    if (age >= 0) {
      const bytes = encodeInteger(staticEntries + this.#inserted.length - age, 7);
      bytes[0]! |= indexed;
      return bytes;
    }
    this.#inserted.push(`${name} ${value}`);
    return Buffer.concat([Buffer.from([literalWithIndexing]), encodeText(name), encodeText(value)]);
  }
}
