/** What the load process is asked for, and what it answers. */
export interface LoadJob {
  /** `host:port`; connection i goes to target i modulo their number. */
  targets: string[];
  connections: number;
  path: string;
  /** Messages in base64, taken in turns. In each copy sent, `keyMark` becomes a key number and `stampMark` the time. */
  bodies: string[];
  /** Key numbers are random below this. */
  keys: number;
  /** Keys count up from here instead, each used once. */
  firstKey?: number;
  seed: number;
  /** REST over TLS instead of gRPC; `keyMark` in `path` becomes a key number, too. */
  rest?: Rest;
  /** One long call a connection, answers in order (LeaseKeepAlive), instead of a call for each message. */
  streaming?: boolean;
  /** A shorter answer is an error: an empty range is fast. */
  minReplyBytes?: number;
  arrivals: Arrivals;
  warmupMs: number;
  measureMs: number;
  /** Watchers that must see every put of `bodies`. */
  watch?: WatchJob;
}

export interface Rest {
  method: string;
  contentType: string;
  /** PEM. */
  tls: { ca: string; cert: string; key: string };
}

/** Closed: so many in flight, each sent when one is answered. Open: sent when due, answered or not. */
export type Arrivals = { type: "closed"; inFlight: number } | { type: "open"; perSecond: number };

export interface WatchJob {
  targets: string[];
  /** Connections with one Watch call each; over REST with one for each watcher. */
  streams: number;
  watchersPerStream: number;
  path: string;
  /** A WatchRequest with its create_request, in base64. */
  create: string;
}

export interface LoadResult {
  /** Answered in the measured time, a second. */
  perSecond: number;
  /** Answered with success, warm-up and drain included. */
  answered: number;
  /** Not answered within `drainMs` after the end; their time so far counts in `latency`. */
  unanswered: number;
  /** By text, and of the whole run. */
  errors: Record<string, number>;
  /** Of requests meant to be sent in the measured time, from then to the answer. */
  latency: Percentiles;
  /** How late the load process itself sent (open loop). */
  lateness: Percentiles;
  events?: { perSecond: number; missing: number; latency: Percentiles };
  /** Cores that the load process used. */
  cores: number;
}

/** In ms; NaN becomes null on its way when there were none. */
export interface Percentiles {
  count: number;
  p50: number;
  p99: number;
  "p99.9": number;
}

export const drainMs = 10_000;

/** In a key: eight digits. */
export const keyMark = "########";
/** In a value, followed by twelve digits: µs since the process began. */
export const stampMark = "us=@@@@@@@@@@@@";

export const stampDigits = 12;
export const stampPrefix = "us=";

/** A message of which copies with other numbers are sent: patched in place, copied by the connection. */
export class Template {
  readonly bytes: Buffer;
  readonly #keys: number[];
  readonly #stamps: number[];

  constructor(base64: string) {
    this.bytes = Buffer.from(base64, "base64");
    this.#keys = occurrences(this.bytes, keyMark);
    this.#stamps = occurrences(this.bytes, stampMark).map((at) => at + stampPrefix.length);
  }

  fill(key: number, stampUs: number): Buffer {
    for (const at of this.#keys) digits(this.bytes, at, keyMark.length, key);
    for (const at of this.#stamps) digits(this.bytes, at, stampDigits, Math.floor(stampUs));
    return this.bytes;
  }
}

function occurrences(bytes: Buffer, mark: string): number[] {
  const found: number[] = [];
  for (let at = bytes.indexOf(mark); at >= 0; at = bytes.indexOf(mark, at + 1)) found.push(at);
  return found;
}

function digits(bytes: Buffer, at: number, count: number, value: number): void {
  bytes.write(`${value}`.padStart(count, "0"), at, count, "latin1");
}

/** The stamps in a watch response, one an event; found by their mark, since decoding would be the slower part. */
export function stampsIn(message: Buffer, onStamp: (us: number) => void): void {
  for (let at = message.indexOf(stampPrefix); at >= 0; at = message.indexOf(stampPrefix, at + 1)) {
    let us = 0;
    for (let i = at + stampPrefix.length; i < at + stampPrefix.length + stampDigits; i++)
      us = us * 10 + message[i]! - 48;
    onStamp(us);
  }
}
