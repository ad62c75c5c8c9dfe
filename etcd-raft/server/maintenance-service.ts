import type { CallContext, UnaryHandler } from "../../net/grpc-server.ts";
import type * as pb from "../../proto/generated/etcdserverpb.ts";
import { etcdError } from "../errors.ts";
import { hashKeys } from "../mvcc/hash.ts";
import { none } from "../raft/types.ts";
import { inSlices } from "../snap/slices.ts";
import type { Callers } from "./access.ts";
import { alarmNames } from "./alarms.ts";
import type { ClusterMember } from "./cluster.ts";
import type { Member } from "./member.ts";
import { heldBytes, liveBytes } from "./quota.ts";
import { snapshotHandler } from "./snapshot-service.ts";
import { etcdVersion } from "./version.ts";

/** Maintenance and Cluster: what a member says about itself and the others. */
export function maintenanceHandlers(member: Member, callers: Callers) {
  const { store, members, alarms, auth } = member.applier;
  const { clock } = member.config;
  const asAdmin = <R>(context: CallContext, fn: () => R | Promise<R>) =>
    callers.as(context, (who) => {
      auth.checkAdmin(who);
      return fn();
    });

  const Status: UnaryHandler<pb.StatusRequest, pb.StatusResponse> = () => {
    const { commit, applied, term } = member.runner.status();
    return {
      header: member.header(store.revision),
      version: etcdVersion,
      dbSize: heldBytes(store),
      leader: member.leader,
      raftIndex: commit,
      raftTerm: term,
      raftAppliedIndex: applied,
      errors: [
        ...(member.leader === none ? ["etcdserver: no leader"] : []),
        ...alarms.list().map(({ memberID, alarm }) => `memberID:${memberID} alarm:${alarmNames[alarm]} `),
      ],
      dbSizeInUse: liveBytes(store),
      isLearner: false,
      storageVersion: etcdVersion,
      dbSizeQuota: member.quota.bytes,
      downgradeInfo: { enabled: false, targetVersion: "" },
    };
  };

  const HashKV: UnaryHandler<pb.HashKVRequest, pb.HashKVResponse> = ({ revision }, context) =>
    asAdmin(context, async () => {
      const { hash, revision: hashRevision, compactRevision } = await inSlices(hashKeys(store, revision), clock);
      return { header: member.header(store.revision), hash, compactRevision, hashRevision };
    });

  /** Through raft, asking too, as in etcd. */
  const Alarm: UnaryHandler<pb.AlarmRequest, pb.AlarmResponse> = (alarm, context) =>
    callers.as(context, (who) => member.write<pb.AlarmResponse>({ alarm }, who));

  /** Nothing to do: memory is given back by compaction itself. */
  const Defragment: UnaryHandler<pb.DefragmentRequest, pb.DefragmentResponse> = (_request, context) =>
    asAdmin(context, () => ({ header: undefined }));

  const MoveLeader: UnaryHandler<pb.MoveLeaderRequest, pb.MoveLeaderResponse> = async ({ targetID }) => {
    if (!member.isLeader) throw etcdError("notLeader");
    if (!members.has(targetID)) throw etcdError("badLeaderTransferee");
    await member.transferTo(targetID);
    return { header: undefined };
  };

  return { Status, HashKV, Alarm, Defragment, MoveLeader, Snapshot: snapshotHandler(member) };
}

export function clusterHandlers(member: Member) {
  const list = (): pb.MemberListResponse => ({
    header: member.header(0),
    members: [...member.applier.members.values()].map(memberOf),
  });

  const MemberList: UnaryHandler<pb.MemberListRequest, pb.MemberListResponse> = ({ linearizable }) =>
    linearizable ? member.linearizable(list) : list();

  return { MemberList };
}

const memberOf = ({ id, name, peerURLs, clientURLs }: ClusterMember): pb.Member => ({
  ID: id,
  name,
  peerURLs,
  clientURLs,
  isLearner: false,
});
