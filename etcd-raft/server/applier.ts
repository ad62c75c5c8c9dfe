import type { Clock } from "../../base/clock.ts";
import { InternalRaftRequest } from "../../proto/generated/etcdserverpb.ts";
import { Lessor } from "../lease/lessor.ts";
import { Store } from "../mvcc/store.ts";
import { deleteRange, put, txn } from "../mvcc/txn.ts";
import type { Entry } from "../raft/types.ts";
import { noAuth, type State } from "../snap/state.ts";
import type { ClusterMember } from "./cluster.ts";
import { clusterVersion } from "./version.ts";

/**
 * The state machine: what every member makes of the committed entries, in the same order with the same result. The
 * lease clock, which only the leader's counts, is the one thing here that may differ.
 */
export class Applier {
  readonly lessor: Lessor;
  readonly store: Store;
  readonly members: Map<bigint, ClusterMember>;
  /** The last entry that is in the state. */
  applied = { index: 0, term: 0 };
  readonly #clock: Clock;

  constructor(options: { members: readonly ClusterMember[]; minLeaseTTL: number; clock: Clock }) {
    this.lessor = new Lessor(options.minLeaseTTL);
    this.store = new Store(this.lessor);
    this.members = new Map(options.members.map((member) => [member.id, { ...member }]));
    this.#clock = options.clock;
  }

  /** `result` is the response, or throws the GrpcError, that the proposer waits for. Undefined: an entry of raft's own. */
  apply(entry: Entry): { id: bigint; result: () => unknown } | undefined {
    this.applied = { index: entry.index, term: entry.term };
    if (entry.type !== 0 || entry.data.length === 0) return undefined;
    const request = InternalRaftRequest.decode(entry.data);
    return { id: request.header?.ID ?? request.ID, result: () => this.#apply(request) };
  }

  #apply(request: InternalRaftRequest): unknown {
    const { store, lessor } = this;
    if (request.put) return put(store, lessor, request.put);
    if (request.txn) return txn(store, lessor, request.txn);
    if (request.deleteRange) return deleteRange(store, request.deleteRange);
    if (request.compaction) {
      store.compact(request.compaction.revision);
      return { header: this.#header() };
    }
    if (request.leaseGrant) {
      const { ID, TTL } = request.leaseGrant;
      const granted = lessor.grant(ID, TTL, this.#clock.monotonic());
      return { header: this.#header(), ID, TTL: granted, error: "" };
    }
    if (request.leaseRevoke) {
      const keys = lessor.revoke(request.leaseRevoke.ID);
      const write = store.begin();
      for (const key of keys) write.deleteRange({ key, end: undefined });
      write.end();
      return { header: this.#header() };
    }
    if (request.clusterMemberAttrSet) {
      const { memberID, memberAttributes } = request.clusterMemberAttrSet;
      const member = this.members.get(memberID);
      if (member && memberAttributes) {
        member.name = memberAttributes.name;
        member.clientURLs = memberAttributes.clientUrls;
      }
      return undefined;
    }
    if (request.v2 || request.clusterVersionSet) return undefined; // etcd's own book-keeping, in a log that it began
    throw new Error("a committed entry holds a request that this version does not know");
  }

  /** The state as it is on disk, but for the keys: `store.view()` at the same moment. */
  state(): State {
    const members = [...this.members.values()].map((member) => ({ ...member, isLearner: false }));
    const voters = members.map(({ id }) => id);
    return {
      consistentIndex: this.applied.index,
      term: this.applied.term,
      confState: { voters, learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false },
      members,
      removedMembers: [],
      clusterVersion,
      leases: this.lessor.list().map((lease) => ({ ...lease, remainingTTL: 0 })),
      alarms: [],
      auth: noAuth(),
    };
  }

  #header() {
    return { clusterId: 0n, memberId: 0n, revision: this.store.revision, raftTerm: 0 };
  }
}
