import type { GrpcError } from "../../net/grpc-error.ts";
import type { BidiHandler, CallContext } from "../../net/grpc-server.ts";
import type { RangeRequest } from "../../proto/generated/etcdserverpb.ts";
import type { Method } from "../../proto/wire.ts";
import { etcdError } from "../errors.ts";
import { none } from "../raft/types.ts";
import type { Member } from "./member.ts";

/**
 * What every call goes through first (etcd's interceptors). Wraps the handlers of one service.
 *
 * - A learner may lag far behind: it answers only Status, Snapshot and reads that ask for no more than what is here
 *   (serializable Range).
 * - A caller that sends `hasleader` would rather fail at once than wait at a member that is cut off; its open streams end
 *   after three election timeouts without a leader. Differs: of those that only the server sends on, none ends.
 */
export function gate(
  member: Member,
  service: { readonly [name: string]: AnyMethod },
  handlers: Record<string, unknown>,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(handlers).map(([name, handler]) => [name, gated(member, service[name]!, handler as AnyHandler)]),
  );
}

function gated(member: Member, { path, kind }: AnyMethod, handler: AnyHandler): AnyHandler {
  const forLearners = path === "/etcdserverpb.Maintenance/Status" || path === "/etcdserverpb.Maintenance/Snapshot";
  const range = path === "/etcdserverpb.KV/Range";
  const check = (context: CallContext, request?: unknown) => {
    if (member.isLearner && !forLearners && !(range && (request as RangeRequest).serializable))
      throw etcdError("learnerNotSupported");
    if (member.leader === none && wantsLeader(context)) throw etcdError("noLeader");
  };
  if (kind === "bidi") return guarded(member, check, handler as BidiHandler<unknown, unknown>) as AnyHandler;
  return (request, context, send) => {
    check(context as CallContext, request);
    return handler(request, context, send);
  };
}

const guarded =
  (member: Member, check: (context: CallContext) => void, handler: BidiHandler<unknown, unknown>) =>
  (context: CallContext, call: Parameters<typeof handler>[1]): ReturnType<typeof handler> => {
    try {
      check(context);
    } catch (error) {
      call.end(error as GrpcError);
      return { onMessage: () => {}, onEnd: () => {} };
    }
    if (!wantsLeader(context)) return handler(context, call);
    const { clock, electionMs } = member.config;
    const cancel = clock.every(electionMs, () => {
      if (member.leaderlessMs <= 3 * electionMs) return;
      end(etcdError("noLeader"));
      ends.onEnd();
    });
    const end: typeof call.end = (error) => {
      cancel();
      call.end(error);
    };
    context.signal.addEventListener("abort", cancel, { once: true });
    const ends = handler(context, { send: call.send, end });
    return ends;
  };

const wantsLeader = (context: CallContext): boolean => context.metadata["hasleader"] === "true";

// biome-ignore lint/suspicious/noExplicitAny: methods of different types
type AnyMethod = Method<any, any>;
type AnyHandler = (first: unknown, second: CallContext | unknown, third?: unknown) => unknown;
