import { GrpcError } from "../../net/grpc-error.ts";
import type { BidiHandler, UnaryHandler } from "../../net/grpc-server.ts";
import type * as pb from "../../proto/generated/etcdserverpb.ts";
import { checkLeaseKeys, checkSomebody } from "../auth/apply.ts";
import { Access } from "../auth/auth-store.ts";
import { etcdError } from "../errors.ts";
import { keyText } from "../mvcc/version.ts";
import type { Callers } from "./access.ts";
import type { Member } from "./member.ts";
import { costOfGrant } from "./quota.ts";

/** Lease: grant and revoke through raft; the rest asks the leader (`leases.ts`). */
export function leaseHandlers(member: Member, callers: Callers) {
  const { lessor, store, auth } = member.applier;

  const LeaseGrant: UnaryHandler<pb.LeaseGrantRequest, pb.LeaseGrantResponse> = (request, context) => {
    const cost = costOfGrant(request);
    if (!member.quota.allows(cost)) return member.refuse(cost);
    const leaseGrant = { ...request, ID: request.ID === 0n ? freeId() : request.ID };
    return callers.as(context, (who) => {
      checkSomebody(auth, who);
      return member.write<pb.LeaseGrantResponse>({ leaseGrant }, who);
    });
  };

  const LeaseRevoke: UnaryHandler<pb.LeaseRevokeRequest, pb.LeaseRevokeResponse> = (request, context) =>
    callers.as(context, (who) => {
      checkSomebody(auth, who);
      return member.write<pb.LeaseRevokeResponse>({ leaseRevoke: request }, who);
    });

  const LeaseTimeToLive: UnaryHandler<pb.LeaseTimeToLiveRequest, pb.LeaseTimeToLiveResponse> = async (q, context) => {
    await callers.as(context, (who) => checkSomebody(auth, who));
    const response = await member.leases.timeToLive(q);
    const keys = response.keys.map(keyText);
    await callers.as(context, (who) => checkLeaseKeys(auth, who, Access.read, keys));
    return { ...response, header: member.header(store.revision) };
  };

  /** All of them, for who may read all their keys. */
  const LeaseLeases: UnaryHandler<pb.LeaseLeasesRequest, pb.LeaseLeasesResponse> = (_request, context) =>
    callers.as(context, (who) => {
      const ids = lessor.ids();
      const keys = auth.enabled ? ids.flatMap((id) => lessor.keysOf(id)) : [];
      checkLeaseKeys(auth, who, Access.read, keys);
      return { header: member.header(store.revision), leases: ids.map((ID) => ({ ID })) };
    });

  /** Keeping a lease keeps its keys: for who may write them. */
  const LeaseKeepAlive: BidiHandler<pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse> = (context, call) => {
    let last: Promise<void> = Promise.resolve();
    let waiting = 0;
    const renew = async ({ ID }: pb.LeaseKeepAliveRequest) => {
      waiting--;
      if (context.signal.aborted) return;
      if (auth.enabled) await callers.as(context, (who) => checkLeaseKeys(auth, who, Access.write, lessor.keysOf(ID)));
      // The header first: its revision may not lie behind a revocation that comes after the renewal.
      const header = member.header(store.revision);
      call.send({ header, ID, TTL: await member.leases.renew(ID) });
    };
    const fail = (error: unknown) => {
      if (!(error instanceof GrpcError)) throw error;
      call.end(error);
    };
    return {
      onMessage(request) {
        if (++waiting > maxWaiting) return call.end(etcdError("tooManyRequests"));
        last = last.then(() => renew(request)).catch(fail);
      },
      onEnd() {
        last = last.then(() => call.end());
      },
    };
  };

  /** A positive int64 that no lease has. */
  function freeId(): bigint {
    for (;;) {
      const id = member.config.rand.uint64() & 0x7fff_ffff_ffff_ffffn;
      if (id !== 0n && !lessor.has(id)) return id;
    }
  }

  return { LeaseGrant, LeaseRevoke, LeaseTimeToLive, LeaseLeases, LeaseKeepAlive };
}

const maxWaiting = 10_000; // of one stream. Differs: etcd reads no more of it until the first is answered.
