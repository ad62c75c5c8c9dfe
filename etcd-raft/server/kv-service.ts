import type { UnaryHandler } from "../../net/grpc-server.ts";
import type * as pb from "../../proto/generated/etcdserverpb.ts";
import { checkDeleteRange, checkPut, checkRange, checkTxn } from "../mvcc/check.ts";
import { range } from "../mvcc/range.ts";
import { isReadOnly, isSerializable, txn } from "../mvcc/txn.ts";
import { requireLeader } from "./guard.ts";
import type { Member } from "./member.ts";

/** KV: reads from this member's store, linearizable unless asked otherwise; writes through raft. */
export function kvHandlers(member: Member) {
  const { store, lessor } = member.applier;

  const rangeNow = (request: pb.RangeRequest): pb.RangeResponse => {
    const response = range(store, request, store.revision);
    response.header = member.header(store.revision);
    return response;
  };

  const Range: UnaryHandler<pb.RangeRequest, pb.RangeResponse> = (request, context) => {
    requireLeader(member, context);
    checkRange(request);
    return request.serializable ? rangeNow(request) : member.linearizable(() => rangeNow(request));
  };

  const Put: UnaryHandler<pb.PutRequest, pb.PutResponse> = (request, context) => {
    requireLeader(member, context);
    checkPut(request);
    return member.write({ put: request });
  };

  const DeleteRange: UnaryHandler<pb.DeleteRangeRequest, pb.DeleteRangeResponse> = (request, context) => {
    requireLeader(member, context);
    checkDeleteRange(request);
    return member.write({ deleteRange: request });
  };

  const Txn: UnaryHandler<pb.TxnRequest, pb.TxnResponse> = (request, context) => {
    requireLeader(member, context);
    checkTxn(request, member.config.maxTxnOps);
    if (!isReadOnly(request)) return member.write({ txn: request });
    const read = () => {
      const response = txn(store, lessor, request);
      response.header = member.header(store.revision);
      return response;
    };
    return isSerializable(request) ? read() : member.linearizable(read);
  };

  const Compact: UnaryHandler<pb.CompactionRequest, pb.CompactionResponse> = async (request, context) => {
    requireLeader(member, context);
    const response = await member.write<pb.CompactionResponse>({ compaction: request });
    if (request.physical) await member.compactor.finished();
    return response;
  };

  return { Range, Put, DeleteRange, Txn, Compact };
}
