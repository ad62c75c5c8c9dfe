import { callersOf } from "../../etcd-raft/server/access.ts";
import { clusterHandlers } from "../../etcd-raft/server/cluster-service.ts";
import { kvHandlers } from "../../etcd-raft/server/kv-service.ts";
import { leaseHandlers } from "../../etcd-raft/server/lease-service.ts";
import type { Member } from "../../etcd-raft/server/member.ts";
import { watchServer } from "../../etcd-raft/server/watch-service.ts";
import type { BidiHandler, CallContext, UnaryHandler } from "../../net/grpc-server.ts";
import type * as pb from "../../proto/generated/etcdserverpb.ts";
import { messageOf, ofResponse, rpcs } from "../checkers/etcd-messages.ts";
import type { Request, Response } from "../checkers/history.ts";

/** The client API of a member without a transport: its real handlers, given and giving messages through their codecs. */
export interface Services {
  call(request: Request): Promise<Response>;
  watch: BidiHandler<pb.WatchRequest, pb.WatchResponse>;
  cluster: ReturnType<typeof clusterHandlers>;
}

export function servicesOf(member: Member): Services {
  const callers = callersOf(member, { clientCertAuth: false });
  const handlers = { ...kvHandlers(member, callers), ...leaseHandlers(member, callers) } as Record<string, unknown>;
  const watch = watchServer(member, callers, progressNotifyMs);
  return {
    async call(request) {
      const { kind, path, request: asked, response } = rpcs[request.op];
      const handler = handlers[path.slice(path.lastIndexOf("/") + 1)];
      const message = asked.decode(asked.encode(messageOf(request)));
      const answer = kind === "bidi" ? firstOf(handler as Stream, message) : (handler as Unary)(message, noContext);
      return ofResponse(request.op, response.decode(response.encode((await answer) as never)));
    },
    watch: watch.Watch,
    cluster: clusterHandlers(member, callers),
  };
}

type Unary = UnaryHandler<object, object>;
type Stream = BidiHandler<object, object>;

function firstOf(handler: Stream, message: object): Promise<object> {
  return new Promise((resolve, reject) => {
    const send = (response: object) => {
      resolve(response);
      return true;
    };
    const end = (error?: Error) => error && reject(error);
    handler(noContext, { send: Object.assign(send, { drained: () => Promise.resolve() }), end }).onMessage(message);
  });
}

export const noContext: CallContext = { metadata: {}, peer: undefined, signal: new AbortController().signal };
const progressNotifyMs = 500;
