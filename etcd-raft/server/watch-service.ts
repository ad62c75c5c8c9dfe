import { GrpcError } from "../../net/grpc-error.ts";
import type { BidiHandler, CallContext } from "../../net/grpc-server.ts";
import type { WatchRequest, WatchResponse } from "../../proto/generated/etcdserverpb.ts";
import { Access } from "../auth/auth-store.ts";
import { codeName, etcdError } from "../errors.ts";
import type { KeyRange } from "../mvcc/key-index.ts";
import type { Callers } from "./access.ts";
import type { Member } from "./member.ts";
import { WatchStream } from "./watch-stream.ts";

/** Watch: any number of streams; see `WatchStream` for what one promises. */
export class WatchServer {
  readonly #member: Member;
  readonly #callers: Callers;
  readonly #progressNotifyMs: number;
  readonly #streams = new Set<WatchStream>();
  /** What streams do later, in turn. */
  readonly #waiting: (() => void)[] = [];

  constructor(member: Member, callers: Callers, progressNotifyMs: number) {
    this.#member = member;
    this.#callers = callers;
    this.#progressNotifyMs = progressNotifyMs;
  }

  get streamCount(): number {
    return this.#streams.size;
  }

  get watcherCount(): number {
    let count = 0;
    for (const { size } of this.#streams) count += size;
    return count;
  }

  /** Why not, in etcd's words, which are those of its Go error; undefined if it may. */
  #mayRead(context: CallContext, range: KeyRange): string | undefined | Promise<string | undefined> {
    const { auth } = this.#member.applier;
    if (!auth.enabled) return undefined;
    const reason = (error: unknown) => {
      if (!(error instanceof GrpcError)) throw error;
      return `rpc error: code = ${codeName(error.code)} desc = ${error.message}`;
    };
    try {
      const checked = this.#callers.as(context, (who) => auth.check(who, Access.read, range));
      return checked instanceof Promise ? checked.then(() => undefined, reason) : undefined;
    } catch (error) {
      return reason(error);
    }
  }

  /** A few milliseconds a turn: however many ask for what is long ago, heartbeats go between. */
  #work(): void {
    const { clock } = this.#member.config;
    const end = clock.monotonic() + sliceMs;
    for (let left = this.#waiting.length; left > 0 && clock.monotonic() < end; left--) this.#waiting.shift()!();
    if (this.#waiting.length > 0) setImmediate(() => this.#work());
  }

  readonly Watch: BidiHandler<WatchRequest, WatchResponse> = (context, call) => {
    const member = this.#member;
    const { clock, rand, maxRequestBytes } = member.config;
    const stream = new WatchStream(
      {
        store: member.applier.store,
        hub: member.hub,
        header: (revision) => member.header(revision),
        maxResponseBytes: maxRequestBytes + 512 * 1024,
        mayRead: (range) => this.#mayRead(context, range),
        overflow: () => end(() => call.end(etcdError("tooManyRequests"))),
        later: (fn) => {
          if (this.#waiting.push(fn) === 1) setImmediate(() => this.#work());
        },
      },
      call.send,
    );
    this.#streams.add(stream);
    // Up to a tenth more, so that not all streams speak at once.
    const cancelProgress = clock.every(this.#progressNotifyMs * (1 + rand.next() / 10), () => stream.notifyProgress());
    let ended = false;
    const end = (how: () => void) => {
      if (ended) return;
      ended = true;
      cancelProgress();
      stream.close();
      this.#streams.delete(stream);
      how();
    };
    context.signal.addEventListener("abort", () => end(() => {}), { once: true });
    return {
      onMessage: (request) => stream.onMessage(request),
      onEnd: () => end(() => call.end()),
    };
  };
}

const sliceMs = 5;
