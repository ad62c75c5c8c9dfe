import { type Clock, sleep } from "../../base/clock.ts";
import type { Faults } from "../../base/faults.ts";
import { type CallOptions, type ClientTls, GrpcClient } from "../../net/grpc-client.ts";
import { Code, GrpcError } from "../../net/grpc-error.ts";
import type { Init, Method } from "../../proto/wire.ts";

/**
 * The members a client may talk to. All calls go to one of them until it fails; then to the next.
 *
 * What is tried again (as etcd's Go client does): a connection that did not come about, always; a read answered with
 * Unavailable or not at all. A write that has left is never sent twice: its outcome is unknown.
 */
export class Endpoints {
  readonly #clients: GrpcClient[];
  readonly #clock: Clock;
  #current = 0;

  constructor(endpoints: readonly string[], options: { tls?: ClientTls; faults?: Faults | undefined; clock: Clock }) {
    if (endpoints.length === 0) throw new Error("etcd client: no endpoints");
    this.#clock = options.clock;
    this.#clients = endpoints.map((endpoint) => {
      const { target, secure } = parseEndpoint(endpoint);
      if (secure && !options.tls) throw new Error(`etcd client: ${endpoint} needs certificates`);
      return new GrpcClient(target, { ...(secure && { tls: options.tls! }), faults: options.faults });
    });
  }

  /** The member in use, connected. Goes round until `timeoutMs` is over, then throws the last failure. */
  async connected(timeoutMs: number, signal?: AbortSignal): Promise<{ client: GrpcClient; failed(): void }> {
    const deadline = this.#clock.monotonic() + timeoutMs;
    for (let attempt = 0; ; attempt++) {
      const index = this.#current;
      const client = this.#clients[index]!;
      const left = deadline - this.#clock.monotonic();
      try {
        // Short at first: a member that is down shows only by silence. It goes on connecting meanwhile.
        const patienceMs = connectMs * 2 ** Math.min(3, Math.floor(attempt / this.#clients.length));
        await client.ready(Math.max(1, Math.min(left, patienceMs)));
        return { client, failed: () => this.#leave(index) };
      } catch (error) {
        this.#leave(index);
        if (left <= 0 || signal?.aborted) throw error;
        if (index === this.#clients.length - 1) await sleep(this.#clock, retryMs, signal);
      }
    }
  }

  /** One call. `repeatable`: doing it twice is as good as once. */
  call<Q, R>(method: Method<Q, R>, request: Init<Q>, repeatable: boolean, options: CallOptions): Promise<R> {
    return this.#attempts(repeatable, options, (client, attempt) => client.unary(method, request, attempt));
  }

  /** The first answer of a stream to one message; repeatable. */
  exchange<Q, R>(method: Method<Q, R>, request: Init<Q>, options: CallOptions): Promise<R> {
    return this.#attempts(true, options, async (client, attempt) => {
      const stream = client.bidi(method, attempt);
      stream.send(request);
      for await (const response of stream) return response;
      throw new GrpcError(Code.Unavailable, "etcd client: the stream ended without an answer");
    });
  }

  async #attempts<R>(
    repeatable: boolean,
    options: CallOptions,
    call: (client: GrpcClient, options: CallOptions) => Promise<R>,
  ): Promise<R> {
    const timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
    const deadline = this.#clock.monotonic() + timeoutMs;
    for (;;) {
      const { client, failed } = await this.connected(deadline - this.#clock.monotonic(), options.signal);
      const left = Math.max(1, deadline - this.#clock.monotonic());
      // A read leaves a mute member early enough to be answered by another.
      const attemptMs = repeatable ? Math.max(Math.min(left, 1000), left / 3) : left;
      try {
        return await call(client, { ...options, timeoutMs: attemptMs });
      } catch (error) {
        const code = error instanceof GrpcError ? error.code : Code.Unknown;
        const mute = code === Code.DeadlineExceeded;
        if (code !== Code.Unavailable && !mute) throw error;
        failed();
        const over = deadline - this.#clock.monotonic() <= retryMs;
        if (!repeatable || over || options.signal?.aborted) throw error;
        if (!mute) await sleep(this.#clock, retryMs, options.signal);
      }
    }
  }

  close(): void {
    for (const client of this.#clients) client.close();
  }

  /** Several calls fail together when a member dies: only the first moves on. */
  #leave(index: number): void {
    if (this.#current === index) this.#current = (index + 1) % this.#clients.length;
  }
}

export const defaultTimeoutMs = 10_000;
/** etcd's Go client waits as long between two attempts. */
export const retryMs = 25;
const connectMs = 150;

/** `https://host:port`, `http://host:port`, `unix:/path` or `host:port`. */
function parseEndpoint(endpoint: string): { target: string; secure: boolean } {
  const url = /^(https?):\/\/([^/]+)\/?$/.exec(endpoint);
  if (url) return { target: url[2]!, secure: url[1] === "https" };
  return { target: endpoint, secure: false };
}
