import { ConfChangeV2, ConfChange as RaftConfChange } from "../../proto/generated/raftpb.ts";
import type { Init } from "../../proto/wire.ts";
import { type EtcdError, etcdError } from "../errors.ts";
import { type ConfChange, ConfChangeError, type ConfState, changed, confOf, everybody, isVoter } from "../raft/conf.ts";
import type { Entry, ProposedConfChange } from "../raft/types.ts";
import { decodeConfChange } from "../raft/wire.ts";
import { type MemberRecord, memberFromJSON, memberJSON } from "../snap/membership.ts";

/**
 * Who is in the cluster, as a state machine: the entries of type 1 and 2 make the same of it on every member. It begins
 * empty; the first entries of a new cluster's log add its first members, as in etcd, so that a log alone tells everything.
 *
 * An entry holds raftpb.ConfChange with the member in etcd's JSON as context (`ConfigChangeContext`): a real etcd reads our
 * log, and we its. Several changes at once go through a joint configuration (ConfChangeV2; etcd's API and ours make none): who
 * leaves is a member until that is left. Ids of removed members are never used again: what such a member still sends must not count as
 * somebody else's.
 */
export class Membership {
  readonly members = new Map<bigint, MemberRecord>();
  readonly removed = new Set<bigint>();
  conf: ConfState = confOf([]);

  /** Returns what the entry makes of the configuration; throws the etcd error that the proposer is to get: nothing has changed. */
  apply(entry: Entry): ConfState {
    const change = decodeConfChange(entry);
    const { contexts } = labelOf(entry);
    for (const [i, { type, id }] of change.changes.entries()) this.#check(type, id, contexts[i] ?? "");
    const conf = fitted(this.conf, change);
    for (const [i, { type, id }] of change.changes.entries()) this.#apply(type, id, contexts[i] ?? "");
    this.conf = conf;
    const stay = new Set(everybody(conf));
    for (const [id, member] of this.members) {
      member.isLearner = !isVoter(conf, id);
      if (!stay.has(id) && this.members.delete(id)) this.removed.add(id);
    }
    return conf;
  }

  leaves(id: bigint, entry: Entry): boolean {
    try {
      return this.members.has(id) && !everybody(changed(this.conf, decodeConfChange(entry))).includes(id);
    } catch (error) {
      if (error instanceof ConfChangeError) return false;
      throw error;
    }
  }

  restore(state: { members: readonly MemberRecord[]; removedMembers: readonly bigint[]; confState: ConfState }): void {
    this.members.clear();
    this.removed.clear();
    for (const member of state.members) this.members.set(member.id, { ...member });
    for (const id of state.removedMembers) this.removed.add(id);
    this.conf = state.confState;
  }

  /** What it tells the cluster of itself once it runs. */
  publish(id: bigint, { name, clientURLs }: Pick<MemberRecord, "name" | "clientURLs">): void {
    const member = this.members.get(id);
    if (member) Object.assign(member, { name, clientURLs });
  }

  /** etcd's ValidateConfigurationChange. */
  #check(type: ConfChange["changes"][number]["type"], id: bigint, context: string): void {
    if (this.removed.has(id)) throw etcdError("memberNotFound");
    const there = this.members.get(id);
    if (type === "Remove" || type === "Update" || isPromotion(context)) {
      if (there === undefined) throw etcdError("memberNotFound");
      if (type === "AddVoter" && !there.isLearner) throw etcdError("memberNotLearner");
    } else {
      if (there !== undefined) throw etcdError("memberExists");
      const learners = [...this.members.values()].filter(({ isLearner }) => isLearner);
      if (type === "AddLearner" && learners.length >= maxLearners) throw etcdError("tooManyLearners");
    }
    if (type === "Remove" || context === "") return;
    const { peerURLs } = memberFromJSON(id, context);
    for (const other of this.members.values())
      if (other.id !== id && other.peerURLs.some((url) => peerURLs.includes(url))) throw etcdError("peerURLExists");
  }

  #apply(type: ConfChange["changes"][number]["type"], id: bigint, context: string): void {
    const there = this.members.get(id);
    if (type === "Update") {
      there!.peerURLs = memberFromJSON(id, context).peerURLs;
    } else if (type !== "Remove" && there === undefined) {
      const member = context === "" ? { name: "", peerURLs: [], clientURLs: [] } : memberFromJSON(id, context);
      this.members.set(id, { ...member, id, isLearner: type === "AddLearner" });
    }
  }
}

/** Changes as they stand in an entry's data, all but their id. */
export const confChange = {
  add: (member: MemberRecord) => ({
    type: member.isLearner ? changeType.addLearner : changeType.add,
    nodeId: member.id,
    context: Buffer.from(memberJSON(member)),
  }),
  promote: (id: bigint) => ({
    type: changeType.add,
    nodeId: id,
    context: Buffer.from(`{"id":${id},"peerURLs":null,"isPromote":true}`),
  }),
  /** With isLearner, which an etcd before 3.6 would clear otherwise (etcd issue 21694). */
  update: ({ id, isLearner }: MemberRecord, peerURLs: string[]) => ({
    type: changeType.update,
    nodeId: id,
    context: Buffer.from(memberJSON({ id, peerURLs, name: "", clientURLs: [], isLearner })),
  }),
  remove: (id: bigint) => ({ type: changeType.remove, nodeId: id }),
} satisfies Record<string, (...of: never[]) => Change>;

type Change = Init<RaftConfChange>;

/** As raft is given it. `id`: of who waits for it. A ConfChangeV2's context is our own: the id, and the context of each change. */
export function proposalOf(change: Change | readonly Change[], id: bigint): ProposedConfChange {
  if (!("length" in change)) return { type: 1, data: RaftConfChange.encode({ ...change, id }) };
  const texts = change.map(({ context = nothing }) => Buffer.from(context).toString());
  const changes = change.map(({ type = 0, nodeId = 0n }) => ({ type, nodeId }));
  return { type: 2, data: ConfChangeV2.encode({ changes, context: Buffer.from(JSON.stringify([`${id}`, ...texts])) }) };
}

/** `id`: of who waits for the entry. */
export function labelOf({ type, data }: Entry): { id: bigint; contexts: string[] } {
  const { id, context } =
    type === 1 ? RaftConfChange.decode(data) : { id: 0n, context: ConfChangeV2.decode(data).context };
  const text = Buffer.from(context).toString();
  if (type === 1 || text === "") return { id, contexts: [text] };
  const [first, ...contexts] = JSON.parse(text) as string[];
  return { id: BigInt(first!), contexts };
}

/** The entries with which every member of a new cluster begins its log, all alike. etcd's, byte for byte. */
export const firstEntries = (members: readonly MemberRecord[]): Entry[] =>
  members.map((member, i) => ({ term: 1, index: i + 1, ...proposalOf(confChange.add(member), 0n) }));

const isPromotion = (context: string): boolean =>
  context !== "" && (JSON.parse(context) as { isPromote?: boolean } | null)?.isPromote === true;

function fitted(conf: ConfState, change: ConfChange): ConfState {
  try {
    return changed(conf, change);
  } catch (error) {
    if (!(error instanceof ConfChangeError)) throw error;
    throw etcdError("unhealthy" satisfies EtcdError);
  }
}

const changeType = { add: 0, remove: 1, update: 2, addLearner: 3 } as const; // raftpb.ConfChangeType
const maxLearners = 1;
const nothing = new Uint8Array(0);
