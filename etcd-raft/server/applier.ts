import type { Clock } from "../../base/clock.ts";
import { GrpcError } from "../../net/grpc-error.ts";
import { InternalRaftRequest, Request } from "../../proto/generated/etcdserverpb.ts";
import type { ClusterMemberAttrSetRequest } from "../../proto/generated/membershippb.ts";
import { applyAuth, checkRequest } from "../auth/apply.ts";
import { AuthStore } from "../auth/auth-store.ts";
import { Tokens } from "../auth/tokens.ts";
import { Lessor } from "../lease/lessor.ts";
import { headerOf } from "../mvcc/range.ts";
import { Store } from "../mvcc/store.ts";
import { deleteRange, put, txn } from "../mvcc/txn.ts";
import { keyTextIn } from "../mvcc/version.ts";
import { type ConfState, confOf } from "../raft/conf.ts";
import type { Entry } from "../raft/types.ts";
import { type MemberRecord, memberFromJSON } from "../snap/membership.ts";
import type { SnapFile } from "../snap/snap-file.ts";
import type { State } from "../snap/state.ts";
import { Alarms, checkAlarms } from "./alarms.ts";
import { noDowngrade, versionOf } from "./downgrade.ts";
import { Membership } from "./membership.ts";
import type { PlainPut } from "./plain-put.ts";

export interface ApplierOptions {
  minLeaseTTL: number;
  clock: Clock;
  tokenTtlMs: number | undefined; // how long a simple token lives after its last use
}

/**
 * The state machine: what every member makes of the committed entries, in the same order with the same result. The
 * lease clock, which only the leader's counts, is the one thing here that may differ.
 */
export class Applier {
  readonly lessor: Lessor;
  readonly store: Store;
  readonly membership = new Membership();
  applied = { index: 0, term: 0 }; // the last entry that is in the state
  readonly alarms = new Alarms();
  downgrade = noDowngrade;
  /** For the metrics: of this process. */
  readonly counts = { puts: 0, putBytes: 0, deletes: 0, txns: 0, ranges: 0, leasesGranted: 0, leasesRevoked: 0 };
  readonly auth = new AuthStore();
  readonly tokens: Tokens;
  readonly #options: ApplierOptions;

  constructor(options: ApplierOptions) {
    this.#options = options;
    this.lessor = new Lessor(options.minLeaseTTL);
    this.store = new Store(this.lessor);
    this.tokens = new Tokens(options.tokenTtlMs);
    this.auth.onInvalid = (user) => this.tokens.invalidate(user);
  }

  get members(): ReadonlyMap<bigint, MemberRecord> {
    return this.membership.members;
  }

  /** An entry of type 1 or 2. */
  reconfigure(entry: Entry): ConfState {
    this.applied = { index: entry.index, term: entry.term };
    return this.membership.apply(entry);
  }

  /**
   * Applies the entry if it holds no more than a put, which then cannot fail; its answer is the store's revision. False:
   * nothing was done, it is to be decoded.
   */
  applyPlainPut({ index, term, data }: Entry, put: PlainPut): boolean {
    if (this.alarms.raised || this.auth.enabled || !put.read(data)) return false;
    this.applied.index = index;
    this.applied.term = term;
    this.counts.puts++;
    this.counts.putBytes += put.keyEnd - put.keyAt + put.valueEnd - put.valueAt;
    const write = this.store.begin();
    write.put(keyTextIn(data, put.keyAt, put.keyEnd), data.subarray(put.valueAt, put.valueEnd), 0n);
    write.end();
    return true;
  }

  /** What the entry asks for; undefined: an entry of raft's own. */
  decode({ data }: Entry): InternalRaftRequest | undefined {
    return data.length === 0 ? undefined : decodeRequest(data);
  }

  /** The response, or throws the GrpcError, that the proposer waits for. */
  apply({ index, term }: Entry, request: InternalRaftRequest | undefined): unknown {
    this.applied.index = index;
    this.applied.term = term;
    if (request === undefined) return undefined;
    const { store, lessor, auth, counts } = this;
    if (this.alarms.raised) checkAlarms(this.alarms, request);
    if (auth.enabled) {
      const { username = "", authRevision = 0 } = request.header ?? {};
      const who = username === "" ? undefined : { username, revision: authRevision };
      checkRequest(auth, who, request, (lease) => lessor.keysOf(lease));
    }
    if (request.put) {
      counts.puts++;
      counts.putBytes += request.put.key.length + request.put.value.length;
      return put(store, lessor, request.put);
    }
    if (request.txn) {
      counts.txns++;
      return txn(store, lessor, request.txn);
    }
    if (request.deleteRange) {
      const response = deleteRange(store, request.deleteRange);
      counts.deletes += response.deleted;
      return response;
    }
    if (request.compaction) {
      store.compact(request.compaction.revision);
      return { header: this.#header() };
    }
    if (request.leaseGrant) {
      const { ID, TTL } = request.leaseGrant;
      const granted = lessor.grant(ID, TTL, this.#options.clock.monotonic());
      counts.leasesGranted++;
      return { header: this.#header(), ID, TTL: granted, error: "" };
    }
    if (request.leaseRevoke) {
      const keys = lessor.revoke(request.leaseRevoke.ID);
      counts.leasesRevoked++;
      const write = store.begin();
      for (const key of keys) write.deleteRange({ key, end: undefined });
      write.end();
      return { header: this.#header() };
    }
    if (request.leaseCheckpoint) {
      for (const { ID, remainingTTL } of request.leaseCheckpoint.checkpoints) lessor.checkpoint(ID, remainingTTL);
      return { header: this.#header() };
    }
    if (request.clusterMemberAttrSet) {
      this.#applyAttributes(request.clusterMemberAttrSet);
      return undefined;
    }
    if (request.alarm) return { header: this.#header(), alarms: this.alarms.apply(request.alarm) };
    const answer = applyAuth(auth, this.tokens, request, index, this.#options.clock.monotonic());
    if (answer) return answer;
    if (request.v2) return this.#applyV2(request.v2);
    if (request.clusterVersionSet) return undefined; // etcd's own book-keeping, in a log that it began
    if (request.downgradeInfoSet) {
      const { enabled, ver } = request.downgradeInfoSet;
      this.downgrade = enabled ? { enabled, targetVersion: ver } : noDowngrade;
      return { header: this.#header() };
    }
    throw new Error("a committed entry holds a request that this version does not know");
  }

  /** The state as it is on disk, but for the keys: `store.view()` at the same moment. */
  state(): State {
    return {
      consistentIndex: this.applied.index,
      term: this.applied.term,
      confState: this.membership.conf,
      members: [...this.members.values()].map((member) => ({ ...member })),
      removedMembers: [...this.membership.removed],
      clusterVersion: versionOf(this.downgrade),
      downgradeTarget: this.downgrade.targetVersion,
      leases: this.lessor.list(),
      alarms: this.alarms.list(),
      auth: this.auth.rows(),
    };
  }

  restoreMembership({ members, removedMembers, confState }: SnapFile): void {
    this.membership.restore({ members, removedMembers, confState });
  }

  /** A committed entry at a start, when nobody waits for its answer. */
  replay(entry: Entry, put: PlainPut): void {
    unlessRefused(() => {
      if (entry.type !== 0) this.reconfigure(entry);
      else if (!this.applyPlainPut(entry, put)) this.apply(entry, this.decode(entry));
    });
  }

  /** An entry that is in the state already, but not in the membership, which is older. */
  replayMembership(entry: Entry): void {
    if (entry.type === 0) {
      if (entry.data.length === 0) return;
      const { clusterMemberAttrSet, v2 } = decodeRequest(entry.data);
      if (clusterMemberAttrSet) this.#applyAttributes(clusterMemberAttrSet);
      if (v2) this.#applyV2(v2);
      return;
    }
    unlessRefused(() => this.membership.apply(entry));
  }

  fresh(): Applier {
    return new Applier(this.#options);
  }

  /** Takes in all of a state but the keys, which come next: the leases that they hang on must be there. */
  restore(state: State): void {
    for (const { id, ttl, remainingTTL } of state.leases) {
      this.lessor.grant(id, ttl, this.#options.clock.monotonic());
      this.lessor.checkpoint(id, remainingTTL);
    }
    this.#become(state);
  }

  /** This state machine becomes `other`, which is not used any more. */
  replace(other: Applier): void {
    this.store.become(other.store);
    this.lessor.become(other.lessor);
    this.#become(other.state());
  }

  #become(state: State): void {
    this.applied = { index: state.consistentIndex, term: state.term };
    const { members, removedMembers, confState = confOfMembers(members) } = state;
    this.membership.restore({ members, removedMembers, confState });
    this.alarms.restore(state.alarms);
    this.downgrade = { enabled: state.downgradeTarget !== "", targetVersion: state.downgradeTarget };
    this.auth.restore(state.auth);
  }

  #applyAttributes({ memberID, memberAttributes }: ClusterMemberAttrSetRequest): void {
    if (memberAttributes === undefined) return;
    const { name, clientUrls } = memberAttributes;
    this.membership.publish(memberID, { name, clientURLs: clientUrls });
  }

  /** Of etcd's v2 requests only the one by which members publish themselves means something here. */
  #applyV2({ method, path, val }: Request): undefined {
    const id = /^\/0\/members\/([0-9a-f]+)\/attributes$/.exec(path)?.[1];
    if (id === undefined || method !== "PUT") return;
    const who = BigInt(`0x${id}`);
    this.membership.publish(who, memberFromJSON(who, val));
  }

  #header() {
    return headerOf(this.store.revision);
  }
}

/** What an entry asked for and was refused the first time is refused again. */
function unlessRefused(act: () => void): void {
  try {
    act();
  } catch (error) {
    if (!(error instanceof GrpcError)) throw error;
  }
}

/** 3.4 keeps none. */
function confOfMembers(members: readonly MemberRecord[]): ConfState {
  const ids = (isLearner: boolean) => members.filter((member) => member.isLearner === isLearner).map(({ id }) => id);
  return confOf(ids(false), ids(true));
}

/** etcd up to 3.4 puts its v2 requests into entries as they are; they do not parse as anything else. */
export function decodeRequest(data: Uint8Array): InternalRaftRequest {
  try {
    return InternalRaftRequest.decode(data);
  } catch {
    return { ...InternalRaftRequest.decode(new Uint8Array(0)), v2: Request.decode(data) };
  }
}
