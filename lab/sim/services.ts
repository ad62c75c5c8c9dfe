import { Callers } from "../../etcd-raft/server/access.ts";
import { clusterHandlers } from "../../etcd-raft/server/cluster-service.ts";
import { kvHandlers } from "../../etcd-raft/server/kv-service.ts";
import { leaseHandlers } from "../../etcd-raft/server/lease-service.ts";
import type { Member } from "../../etcd-raft/server/member.ts";
import { WatchServer } from "../../etcd-raft/server/watch-service.ts";
import type { BidiHandler, CallContext, UnaryHandler } from "../../net/grpc-server.ts";
import * as pb from "../../proto/generated/etcdserverpb.ts";
import type { Init, MessageCodec } from "../../proto/wire.ts";
import { ofResponse, toMessage } from "../checkers/etcd-messages.ts";
import type { Request, Response } from "../checkers/history.ts";

/** The client API of a member without a transport: its real handlers, given and giving messages through their codecs. */
export interface Services {
  call(request: Request): Promise<Response>;
  watch: BidiHandler<pb.WatchRequest, pb.WatchResponse>;
  cluster: ReturnType<typeof clusterHandlers>;
}

export function servicesOf(member: Member): Services {
  const callers = new Callers(member, { clientCertAuth: false });
  const kv = kvHandlers(member, callers);
  const lease = leaseHandlers(member, callers);
  const watch = new WatchServer(member, callers, progressNotifyMs);
  return {
    async call(request) {
      const { put, deleteRange, range, txn, compaction, leaseGrant, leaseRevoke, keepAlive } = toMessage(request);
      if (put) return ofResponse("put", await unary(kv.Put, pb.PutRequest, pb.PutResponse, put));
      if (range) return ofResponse("range", await unary(kv.Range, pb.RangeRequest, pb.RangeResponse, range));
      if (txn) return ofResponse("txn", await unary(kv.Txn, pb.TxnRequest, pb.TxnResponse, txn));
      if (deleteRange) {
        const response = await unary(kv.DeleteRange, pb.DeleteRangeRequest, pb.DeleteRangeResponse, deleteRange);
        return ofResponse("delete", response);
      }
      if (compaction) {
        return ofResponse("compact", await unary(kv.Compact, pb.CompactionRequest, pb.CompactionResponse, compaction));
      }
      if (leaseGrant) {
        const response = await unary(lease.LeaseGrant, pb.LeaseGrantRequest, pb.LeaseGrantResponse, leaseGrant);
        return ofResponse("grant", response);
      }
      if (leaseRevoke) {
        const response = await unary(lease.LeaseRevoke, pb.LeaseRevokeRequest, pb.LeaseRevokeResponse, leaseRevoke);
        return ofResponse("revoke", response);
      }
      return ofResponse("keepalive", await renew(lease.LeaseKeepAlive, keepAlive!));
    },
    watch: watch.Watch,
    cluster: clusterHandlers(member, callers),
  };
}

async function unary<Q, R>(
  handler: UnaryHandler<Q, R>,
  request: MessageCodec<Q>,
  response: MessageCodec<R>,
  message: Init<Q>,
): Promise<R> {
  const answer = await handler(request.decode(request.encode(message)), noContext);
  return response.decode(response.encode(answer as Init<R>));
}

function renew(
  handler: BidiHandler<pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse>,
  request: Init<pb.LeaseKeepAliveRequest>,
): Promise<pb.LeaseKeepAliveResponse> {
  return new Promise((resolve, reject) => {
    const send = Object.assign(
      (response: pb.LeaseKeepAliveResponse) => {
        resolve(response);
        return true;
      },
      { drained: () => Promise.resolve() },
    );
    const end = (error?: Error) => error && reject(error);
    const stream = handler(noContext, { send, end });
    stream.onMessage(pb.LeaseKeepAliveRequest.decode(pb.LeaseKeepAliveRequest.encode(request)));
  });
}

const noContext: CallContext = { metadata: {}, peer: undefined, signal: new AbortController().signal };
const progressNotifyMs = 500;
