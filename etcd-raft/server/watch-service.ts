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
export function watchServer(member: Member, callers: Callers, progressNotifyMs: number) {
  const { applier, hub } = member;
  const { clock, rand, maxRequestBytes } = member.config;
  const streams = new Set<WatchStream>();
  const waiting: (() => void)[] = []; // what streams do later, in turn

  /** Why not, in etcd's words, which are those of its Go error; undefined if it may. */
  function mayRead(context: CallContext, range: KeyRange): string | undefined | Promise<string | undefined> {
    const { auth } = applier;
    if (!auth.enabled) return undefined;
    const reason = (error: unknown) => {
      if (!(error instanceof GrpcError)) throw error;
      return `rpc error: code = ${codeName(error.code)} desc = ${error.message}`;
    };
    try {
      const checked = callers.as(context, (who) => auth.check(who, Access.read, range));
      return checked instanceof Promise ? checked.then(() => undefined, reason) : undefined;
    } catch (error) {
      return reason(error);
    }
  }

  /** A few milliseconds a turn: however many ask for what is long ago, heartbeats go between. */
  function work(): void {
    const end = clock.monotonic() + sliceMs;
    for (let left = waiting.length; left > 0 && clock.monotonic() < end; left--) waiting.shift()!();
    if (waiting.length > 0) setImmediate(work);
  }

  const Watch: BidiHandler<WatchRequest, WatchResponse> = (context, call) => {
    const stream = new WatchStream(
      {
        store: applier.store,
        hub,
        header: (revision) => member.header(revision),
        maxResponseBytes: maxRequestBytes + 512 * 1024,
        mayRead: (range) => mayRead(context, range),
        overflow: () => end(() => call.end(etcdError("tooManyRequests"))),
        later: (fn) => {
          if (waiting.push(fn) === 1) setImmediate(work);
        },
      },
      call.send,
    );
    streams.add(stream);
    // Up to a tenth more, so that not all streams speak at once.
    const cancelProgress = clock.every(progressNotifyMs * (1 + rand.next() / 10), () => stream.notifyProgress());
    let ended = false;
    const end = (how: () => void) => {
      if (ended) return;
      ended = true;
      cancelProgress();
      stream.close();
      streams.delete(stream);
      how();
    };
    context.signal.addEventListener("abort", () => end(() => {}), { once: true });
    return { onMessage: (request) => stream.onMessage(request), onEnd: () => end(() => call.end()) };
  };

  return { Watch, streams };
}

const sliceMs = 5;
