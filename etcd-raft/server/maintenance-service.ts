import type { UnaryHandler } from "../../net/grpc-server.ts";
import * as pb from "../../proto/generated/etcdserverpb.ts";
import { etcdError } from "../errors.ts";
import { none } from "../raft/types.ts";
import { hashBuckets } from "../snap/hash.ts";
import { inSlices } from "../snap/slices.ts";
import { stateBuckets } from "../snap/state.ts";
import type { Callers } from "./access.ts";
import { alarmNames } from "./alarms.ts";
import { hashKV } from "./corruption.ts";
import { checkTarget, parseTarget, versionOf } from "./downgrade.ts";
import type { Member } from "./member.ts";
import { heldBytes, liveBytes } from "./quota.ts";
import { snapshotHandler } from "./snapshot-service.ts";
import { etcdVersion } from "./version.ts";

/** Maintenance: what a member says about itself. */
export function maintenanceHandlers(member: Member, callers: Callers) {
  const { store, membership, alarms, auth } = member.applier;
  const { clock } = member.config;

  /** Answered without a leader, too. */
  const Status: UnaryHandler<pb.StatusRequest, pb.StatusResponse> = (_request, context) =>
    callers.asAdmin(context, () => ({
      header: member.header(store.revision),
      version: etcdVersion,
      dbSize: heldBytes(store),
      leader: member.leader,
      raftIndex: member.runner.raft.log.committed,
      raftTerm: member.runner.raft.term,
      raftAppliedIndex: member.runner.raft.log.applied,
      errors: [
        ...(member.leader === none ? ["etcdserver: no leader"] : []),
        ...alarms.list().map(({ memberID, alarm }) => `memberID:${memberID} alarm:${alarmNames[alarm]} `),
      ],
      dbSizeInUse: liveBytes(store),
      isLearner: member.isLearner,
      storageVersion: versionOf(member.applier.downgrade),
      dbSizeQuota: member.quota.bytes,
      downgradeInfo: member.applier.downgrade,
    }));

  const HashKV: UnaryHandler<pb.HashKVRequest, pb.HashKVResponse> = ({ revision }, context) =>
    callers.asAdmin(context, () => hashKV(member, revision));

  const Hash: UnaryHandler<pb.HashRequest, pb.HashResponse> = (_request, context) =>
    callers.asAdmin(context, async () => {
      const header = member.header(store.revision);
      const buckets = stateBuckets(member.applier.state(), store.view());
      return { header, hash: await inSlices(hashBuckets(buckets), clock) };
    });

  /** Through raft, asking too, as in etcd. An administrator's since etcd 3.6.9 (GHSA-q8m4-xhhv-38mg). */
  const Alarm: UnaryHandler<pb.AlarmRequest, pb.AlarmResponse> = (alarm, context) =>
    callers.asAdmin(context, () => member.write<pb.AlarmResponse>({ alarm }));

  /** Nothing to do: memory is given back by compaction itself. */
  const Defragment: UnaryHandler<pb.DefragmentRequest, pb.DefragmentResponse> = (_request, context) =>
    callers.asAdmin(context, () => ({ header: undefined }));

  const MoveLeader: UnaryHandler<pb.MoveLeaderRequest, pb.MoveLeaderResponse> = ({ targetID }, context) =>
    callers.asAdmin(context, async () => {
      if (!member.isLeader) throw etcdError("notLeader");
      if (membership.members.get(targetID)?.isLearner !== false) throw etcdError("badLeaderTransferee");
      await member.transferTo(targetID);
      return { header: undefined };
    });

  const Downgrade: UnaryHandler<pb.DowngradeRequest, pb.DowngradeResponse> = ({ action, version: to }, context) =>
    callers.as(context, async (who) => {
      auth.checkAdmin(who);
      const wanted = action === cancel ? "" : parseTarget(to);
      const { downgrade } = await member.linearizable(() => member.applier);
      if (action !== cancel && action !== enable && action !== validate) throw etcdError("unknownMethod");
      if (action !== cancel) checkTarget(wanted, downgrade);
      else if (!downgrade.enabled) throw etcdError("noInflightDowngrade");
      const change = { enabled: action === enable, ver: wanted };
      if (action !== validate) await member.write({ downgradeInfoSet: change }, who);
      const version = versionOf(member.applier.downgrade).replace(/\.0$/, "");
      return { header: member.header(store.revision), version };
    });

  /** All there is: for an administrator only. */
  const Snapshot: ReturnType<typeof snapshotHandler> = async (request, context, send) =>
    callers.asAdmin(context, () => snapshotHandler(member)(request, context, send));

  return { Status, Hash, HashKV, Alarm, Defragment, Downgrade, MoveLeader, Snapshot };
}

const { VALIDATE: validate, ENABLE: enable, CANCEL: cancel } = pb.DowngradeRequest_DowngradeAction;
