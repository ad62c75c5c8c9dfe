import type { CallContext } from "../../net/grpc-server.ts";
import type { RangeRequest } from "../../proto/generated/etcdserverpb.ts";
import type { Method } from "../../proto/wire.ts";
import { etcdError } from "../errors.ts";

/**
 * A learner may lag far behind: it answers only Status, Snapshot and reads that ask for no more than what is here
 * (serializable Range). Wraps the handlers of one service; they do as they did while this member votes.
 */
export function learnerGate(
  isLearner: () => boolean,
  service: { readonly [name: string]: AnyMethod },
  handlers: Record<string, unknown>,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(handlers).map(([name, handler]) => [name, gated(isLearner, service[name]!, handler as AnyHandler)]),
  );
}

function gated(isLearner: () => boolean, { path, kind }: AnyMethod, handler: AnyHandler): AnyHandler {
  if (path === "/etcdserverpb.Maintenance/Status" || path === "/etcdserverpb.Maintenance/Snapshot") return handler;
  if (kind === "bidi") {
    return (context, call) => {
      if (!isLearner()) return handler(context, call);
      (call as { end(error: Error): void }).end(etcdError("learnerNotSupported"));
      return { onMessage: () => {}, onEnd: () => {} };
    };
  }
  const range = path === "/etcdserverpb.KV/Range";
  return (request, context, send) => {
    if (isLearner() && !(range && (request as RangeRequest).serializable)) throw etcdError("learnerNotSupported");
    return handler(request, context, send);
  };
}

// biome-ignore lint/suspicious/noExplicitAny: methods of different types
type AnyMethod = Method<any, any>;
type AnyHandler = (first: unknown, second: CallContext | unknown, third?: unknown) => unknown;
