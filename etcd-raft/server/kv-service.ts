import type { UnaryHandler } from "../../net/grpc-server.ts";
import type * as pb from "../../proto/generated/etcdserverpb.ts";
import { checkSomebody } from "../auth/apply.ts";
import type { Identity } from "../auth/auth-store.ts";
import { checkDeleteRange, checkPut, checkRange, checkTxn } from "../mvcc/check.ts";
import { range } from "../mvcc/range.ts";
import { isReadOnly, isSerializable, txn } from "../mvcc/txn.ts";
import type { Callers } from "./access.ts";
import { checkReads } from "./alarms.ts";
import type { Member } from "./member.ts";
import { ReceivedPut } from "./plain-put.ts";
import { costOfPut, costOfTxn } from "./quota.ts";

/** KV: reads from this member's store, linearizable unless asked otherwise; writes through raft. */
export function kvHandlers(member: Member, callers: Callers) {
  const { store, lessor, auth, alarms, counts } = member.applier;

  const rangeNow = (request: pb.RangeRequest, who: Identity | undefined): pb.RangeResponse => {
    checkReads(alarms);
    auth.checkRange(who, request);
    counts.ranges++;
    const response = range(store, request, store.revision);
    response.header = member.header(store.revision);
    return response;
  };

  const Range: UnaryHandler<pb.RangeRequest, pb.RangeResponse> = (request, context) => {
    checkRange(request);
    return callers.as(context, (who) =>
      request.serializable ? rangeNow(request, who) : member.read(() => rangeNow(request, who)),
    );
  };

  const Put: UnaryHandler<pb.PutRequest, pb.PutResponse> = (request, context) => {
    if (!(request instanceof ReceivedPut)) checkPut(request);
    const cost = costOfPut(request);
    if (!member.quota.allows(cost)) return member.refuse(cost);
    return callers.as(context, (who) => member.submit<pb.PutResponse>({ put: request }, who));
  };

  const DeleteRange: UnaryHandler<pb.DeleteRangeRequest, pb.DeleteRangeResponse> = (request, context) => {
    checkDeleteRange(request);
    return callers.as(context, (who) => member.submit<pb.DeleteRangeResponse>({ deleteRange: request }, who));
  };

  const Txn: UnaryHandler<pb.TxnRequest, pb.TxnResponse> = (request, context) => {
    checkTxn(request, member.config.maxTxnOps);
    if (!isReadOnly(request)) {
      const cost = costOfTxn(request);
      if (cost > 0 && !member.quota.allows(cost)) return member.refuse(cost);
      return callers.as(context, (who) => member.submit<pb.TxnResponse>({ txn: request }, who));
    }
    const read = (who: Identity | undefined): pb.TxnResponse => {
      checkReads(alarms);
      auth.checkTxn(who, request);
      const response = txn(store, lessor, request);
      response.header = member.header(store.revision);
      return response;
    };
    return callers.as(context, (who) => (isSerializable(request) ? read(who) : member.read(() => read(who))));
  };

  const Compact: UnaryHandler<pb.CompactionRequest, pb.CompactionResponse> = async (request, context) => {
    const response = await callers.as(context, (who) => {
      checkSomebody(auth, who);
      return member.write<pb.CompactionResponse>({ compaction: request }, who);
    });
    if (request.physical) await member.compactor.finished();
    return response;
  };

  return { Range, Put, DeleteRange, Txn, Compact };
}
