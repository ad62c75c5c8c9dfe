import type { UnaryHandler } from "../../net/grpc-server.ts";
import * as pb from "../../proto/generated/etcdserverpb.ts";
import { etcdError } from "../errors.ts";
import type { MemberRecord } from "../snap/membership.ts";
import type { Callers } from "./access.ts";
import { isPeerURL, newMemberId } from "./cluster.ts";
import { FrameKind } from "./frames.ts";
import type { Member } from "./member.ts";
import { confChange } from "./membership.ts";
import { checkAdd, checkPromote, checkRemove, type Health } from "./reconfigure.ts";

/** The service Cluster: who is in it. Changes go through raft as changes of configuration (`membership.ts` applies them). */
export function clusterHandlers(member: Member, callers: Callers) {
  const { applier, config } = member;
  const { membership } = applier;
  const answer = () => ({ header: member.header(0), members: memberList(member) });

  const MemberAdd: UnaryHandler<pb.MemberAddRequest, pb.MemberAddResponse> = ({ peerURLs, isLearner }, context) => {
    if (peerURLs.length === 0 || !peerURLs.every(isPeerURL)) throw etcdError("badMemberURLs");
    return callers.asAdmin(context, async () => {
      const urls = peerURLs.toSorted();
      const id = newMemberId(urls, config.clock.now());
      const added: MemberRecord = { id, name: "", peerURLs: urls, clientURLs: [], isLearner };
      if (config.strictReconfigCheck) checkAdd(healthOf(member), isLearner);
      await member.reconfigure(confChange.add(added));
      return { ...answer(), member: memberOf(added) };
    });
  };

  const MemberRemove: UnaryHandler<pb.MemberRemoveRequest, pb.MemberRemoveResponse> = ({ ID }, context) =>
    callers.asAdmin(context, async () => {
      if (config.strictReconfigCheck) checkRemove(healthOf(member), ID);
      await member.reconfigure(confChange.remove(ID));
      return answer();
    });

  /** Differs: etcd takes any URLs here. */
  const MemberUpdate: UnaryHandler<pb.MemberUpdateRequest, pb.MemberUpdateResponse> = ({ ID, peerURLs }, context) =>
    callers.asAdmin(context, async () => {
      const known = membership.members.get(ID);
      if (known === undefined) throw etcdError("memberNotFound");
      if (peerURLs.length === 0 || !peerURLs.every(isPeerURL)) throw etcdError("badMemberURLs");
      await member.reconfigure(confChange.update(known, peerURLs.toSorted()));
      return answer();
    });

  /** Only the leader knows how far the learner is: the others ask it. */
  const MemberPromote: UnaryHandler<pb.MemberPromoteRequest, pb.MemberPromoteResponse> = ({ ID }, context) =>
    callers.asAdmin(context, async () => {
      if (member.isLeader) await promote(member, ID);
      else {
        const request = pb.MemberPromoteRequest.encode({ ID });
        await member.waitForLeader(callTimeoutMs);
        await member.transport.call(member.leader, FrameKind.memberPromote, request, callTimeoutMs);
        await member.linearizable(() => undefined); // until it is applied here, too
      }
      return answer();
    });

  /** An administrator's while auth is on: it names every address. */
  const MemberList: UnaryHandler<pb.MemberListRequest, pb.MemberListResponse> = ({ linearizable }, context) =>
    callers.asAdmin(context, () => (linearizable ? member.linearizable(answer) : answer()));

  return { MemberAdd, MemberRemove, MemberUpdate, MemberPromote, MemberList };
}

/** On the leader. */
export async function promote(member: Member, id: bigint): Promise<void> {
  if (!member.isLeader) throw etcdError("notLeader");
  const { members } = member.applier;
  const known = members.get(id);
  if (known === undefined) throw etcdError("memberNotFound");
  if (!known.isLearner) throw etcdError("memberNotLearner");
  const matchOf = (who: bigint) => member.runner.raft.progress.get(who)?.matchIndex;
  const matched = { leader: matchOf(member.id) ?? 0, learner: matchOf(id) };
  checkPromote(healthOf(member), member.config.strictReconfigCheck, matched);
  await member.reconfigure(confChange.promote(id));
  member.config.metrics.promotions.inc();
}

export const memberList = (member: Member): pb.Member[] => [...member.applier.members.values()].map(memberOf);

const memberOf = ({ id, ...rest }: MemberRecord): pb.Member => ({ ID: id, ...rest });

function healthOf({ id, applier, transport, config }: Member): Health {
  const now = config.clock.monotonic();
  const connectedMs = (other: bigint) => {
    const since = transport.connectedSince(other);
    return since === undefined ? undefined : now - since;
  };
  return { self: id, members: applier.members, connectedMs };
}

const callTimeoutMs = 5000;
