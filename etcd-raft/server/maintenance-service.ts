import { Code, GrpcError } from "../../net/grpc-error.ts";
import type { UnaryHandler } from "../../net/grpc-server.ts";
import type * as pb from "../../proto/generated/etcdserverpb.ts";
import { etcdError } from "../errors.ts";
import { hashKV } from "../mvcc/hash.ts";
import { none } from "../raft/types.ts";
import type { ClusterMember } from "./cluster.ts";
import type { Member } from "./member.ts";
import { snapshotHandler } from "./snapshot-service.ts";
import { etcdVersion } from "./version.ts";

/** Maintenance and Cluster: what a member says about itself and the others. */
export function maintenanceHandlers(member: Member) {
  const { store, members } = member.applier;

  const Status: UnaryHandler<pb.StatusRequest, pb.StatusResponse> = () => {
    const { commit, applied, term } = member.runner.status();
    const overhead = store.index.size * keyOverheadBytes;
    return {
      header: member.header(store.revision),
      version: etcdVersion,
      dbSize: store.slabs.capacityBytes + overhead,
      leader: member.leader,
      raftIndex: commit,
      raftTerm: term,
      raftAppliedIndex: applied,
      errors: member.leader === none ? ["etcdserver: no leader"] : [],
      dbSizeInUse: store.slabs.liveBytes + overhead,
      isLearner: false,
      storageVersion: etcdVersion,
      dbSizeQuota: 0, // none is set: nothing is refused for its size
      downgradeInfo: { enabled: false, targetVersion: "" },
    };
  };

  const HashKV: UnaryHandler<pb.HashKVRequest, pb.HashKVResponse> = ({ revision }) => ({
    header: member.header(store.revision),
    hash: hashKV(store, revision),
    compactRevision: store.compactRevision,
    hashRevision: revision <= 0 ? store.revision : revision,
  });

  const Alarm: UnaryHandler<pb.AlarmRequest, pb.AlarmResponse> = ({ action }) => {
    if (action !== alarmGet) throw new GrpcError(Code.Unimplemented, "alarms cannot be set in this version");
    return { header: member.header(store.revision), alarms: [] };
  };

  /** Nothing to do: memory is given back by compaction itself. */
  const Defragment: UnaryHandler<pb.DefragmentRequest, pb.DefragmentResponse> = () => ({ header: undefined });

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

const alarmGet = 0;
/** Index, history and log of one key with one version, measured. */
const keyOverheadBytes = 300;
