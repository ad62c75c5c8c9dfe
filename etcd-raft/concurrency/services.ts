import { aborted } from "../../base/process.ts";
import { Code, GrpcError } from "../../net/grpc-error.ts";
import type { CallContext, Handlers } from "../../net/grpc-server.ts";
import { LeaseGrantRequest } from "../../proto/generated/etcdserverpb.ts";
import type { KeyValue } from "../../proto/generated/mvccpb.ts";
import type { ElectionService, LeaderKey } from "../../proto/generated/v3electionpb.ts";
import type { LockService } from "../../proto/generated/v3lockpb.ts";
import type { kvHandlers } from "../server/kv-service.ts";
import type { leaseHandlers } from "../server/lease-service.ts";
import type { Member } from "../server/member.ts";
import { Queue, whole } from "./queue.ts";

export interface Parts {
  member: Member;
  kv: ReturnType<typeof kvHandlers>;
  leases: ReturnType<typeof leaseHandlers>;
}

/**
 * v3lock and v3election: etcd's lock and election recipes, done by the server for callers that do not want to. Holding a
 * lock is no proof after its lease ended: writers fence with the key's create revision (a Txn that compares it).
 */
export function lockHandlers({ member, kv, leases }: Parts): Handlers<typeof LockService> {
  const queue = new Queue(member, kv);
  return {
    async Lock({ name, lease }, context) {
      const place = await queue.enter(name, await leaseOr(lease, leases, context), nothing, context);
      await queue.wait(name, place, context);
      // The lease may have ended while we waited: then the turn is not ours.
      const { kv: mine, header } = await queue.get(place.key, context);
      if (mine?.createRevision !== place.revision) throw unknown("mutex: session is expired");
      return { header, key: place.key };
    },
    async Unlock({ key }, context) {
      return { header: await queue.remove(key, context) };
    },
  };
}

export function electionHandlers({ member, kv, leases }: Parts): Handlers<typeof ElectionService> {
  const queue = new Queue(member, kv);

  const proclaim = async (
    { key, rev, lease }: Pick<LeaderKey, "key" | "rev" | "lease">,
    value: Uint8Array,
    context: CallContext,
  ) => {
    const { succeeded, header } = await queue.txn(
      { compare: [isFrom(key, rev)], success: [{ requestPut: { key, value, lease } }] },
      context,
    );
    if (!succeeded) throw unknown("election: not leader");
    return { header: header! };
  };

  return {
    async Campaign({ name, lease, value }, context) {
      const held = await leaseOr(lease, leases, context);
      const place = await queue.enter(name, held, value, context);
      const leader = { name, key: place.key, rev: place.revision, lease: held };
      if (place.value && Buffer.compare(place.value, value) !== 0) await proclaim(leader, value, context);
      await queue.wait(name, place, context);
      return { header: place.header, leader };
    },
    Proclaim({ leader, value }, context) {
      return proclaim(given(leader), value, context);
    },
    async Leader({ name }, context) {
      const { kvs, header } = await queue.all(name, context, 1);
      const [leader] = kvs;
      if (leader === undefined) throw unknown("election: no leader");
      return { header, kv: leader };
    },
    async Resign({ leader }, context) {
      const { key, rev } = given(leader);
      const request = { compare: [isFrom(key, rev)], success: [{ requestDeleteRange: { key } }] };
      const { header } = await queue.txn(request, context);
      return { header: header! };
    },
    /** Who leads now, then every proclamation and every new leader, in order. */
    async Observe({ name }, context, send) {
      const { kvs, header } = await queue.all(name, context);
      const candidates = new Map(kvs.map((candidate) => [keyOf(candidate), candidate]));
      let leader = kvs[0];
      const tell = (leading: KeyValue, revision: number) => send({ header: member.header(revision), kv: leading });
      if (leader) tell(leader, header.revision);
      const stop = queue.follow(name, header.revision + 1, (deleted, changed) => {
        if (deleted) candidates.delete(keyOf(changed));
        else candidates.set(keyOf(changed), changed);
        const oldest = [...candidates.values()].reduce<KeyValue | undefined>(
          (a, b) => (a === undefined || b.createRevision < a.createRevision ? b : a),
          undefined,
        );
        if (oldest && oldest.modRevision !== leader?.modRevision) tell(oldest, changed.modRevision);
        leader = oldest;
      });
      await aborted(context.signal);
      stop();
    },
  };
}

/** Without one: a lease of a minute, which nobody keeps alive. */
async function leaseOr(lease: bigint, leases: Parts["leases"], context: CallContext): Promise<bigint> {
  if (lease !== 0n) return lease;
  return (await leases.LeaseGrant(whole(LeaseGrantRequest, { TTL: 60 }), context)).ID;
}

function given(leader: LeaderKey | undefined): LeaderKey {
  if (leader === undefined) throw unknown('"leader" field must be provided');
  return leader;
}

const isFrom = (key: Uint8Array, createRevision: number) => ({ key, target: 1, createRevision });
const keyOf = ({ key }: KeyValue) => Buffer.from(key).toString("latin1");
const unknown = (text: string) => new GrpcError(Code.Unknown, text);
const nothing = new Uint8Array(0);
