import type { Cancel } from "../../base/clock.ts";
import type { Reply } from "../../net/reply.ts";
import * as pb from "../../proto/generated/etcdserverpb.ts";
import type { Init } from "../../proto/wire.ts";
import type { Identity } from "../auth/auth-store.ts";
import { etcdError } from "../errors.ts";
import { lastIndex } from "../raft/log.ts";
import { createRaft } from "../raft/raft.ts";
import { type Message, none, type Ready } from "../raft/types.ts";
import type { Wal } from "../wal/wal.ts";
import { Alarm } from "./alarms.ts";
import type { Applier } from "./applier.ts";
import { idText } from "./cluster.ts";
import { memberList, promote } from "./cluster-service.ts";
import { createCompactor } from "./compactor.ts";
import { ConfChanges } from "./conf-changes.ts";
import { hashKV } from "./corruption.ts";
import { diskIsFull } from "./disk-space.ts";
import { FrameKind } from "./frames.ts";
import { History } from "./history.ts";
import { handOver, hasten, publish } from "./in-service.ts";
import { Leases } from "./leases.ts";
import type { MemberConfig, MemberData } from "./member-config.ts";
import type { proposalOf } from "./membership.ts";
import { countEvents } from "./metrics.ts";
import { Proposals } from "./proposals.ts";
import { Quota } from "./quota.ts";
import { Read, Reads } from "./reads.ts";
import { Runner, type RunnerOptions } from "./runner.ts";
import { Snapshots } from "./snapshots.ts";
import type { PeerTransport, TransportHandlers } from "./transport.ts";
import { Waiters } from "./waiters.ts";
import { WatchHub } from "./watch-hub.ts";

/**
 * One member of the cluster: raft and its log, the state machine, the peers, and what waits for them. Here they are joined;
 * the gRPC services (`*-service.ts`) are thin functions over this.
 */
export class Member {
  readonly config: MemberConfig;
  readonly applier: Applier;
  readonly hub: WatchHub;
  readonly leases: Leases;
  readonly compactor: ReturnType<typeof createCompactor>;
  readonly quota: Quota;
  readonly runner: Runner;
  readonly transport: PeerTransport;
  readonly history: History;
  readonly clusterId: bigint;
  readonly id: bigint;
  readonly #proposals: Proposals;
  readonly reads: Reads;
  readonly #confChanges: ConfChanges;
  readonly #snapshots: Snapshots;
  readonly wal: Wal;
  readonly #requestTimeoutMs: number;
  readonly #founds: boolean; // a cluster of its own, whose first entry is not applied yet
  readonly #peersUp = new Map<bigint, boolean>();
  #cancelSweep: Cancel = () => {};
  appliedIndex: number; // the last entry that the state machine has taken in
  #soft: SoftState;
  #leaderlessSince: number;
  readonly #leaders: Waiters; // who waits for another leader
  #lastLeader = none;
  #hastened = false;
  closed = false;
  published = false;

  constructor(config: MemberConfig, data: MemberData) {
    const { wal, applier, start, entries, hardState, clusterId, id: self, members } = data;
    const { clock, rand, log, heartbeatMs, electionMs } = config;
    this.config = config;
    this.clusterId = clusterId;
    this.id = self;
    this.applier = applier;
    this.appliedIndex = applier.applied.index;
    this.#founds = entries[0]?.index === 1 && entries[0].type !== 0 && (entries[1]?.type ?? 0) === 0;
    this.wal = wal;
    this.#requestTimeoutMs = 5000 + 2 * electionMs;
    this.#soft = { role: "follower", leader: none, term: hardState?.term ?? 0 };
    this.#leaderlessSince = clock.monotonic();
    this.#leaders = new Waiters(clock);
    this.#proposals = new Proposals(this, this.#requestTimeoutMs);
    const ask = (context: Uint8Array) => this.runner.input({ type: "ReadIndex", context });
    this.reads = new Reads(clock, Math.floor(rand.next() * 2 ** 52), ask);
    this.history = new History({
      clock: config.eventClock ?? clock,
      rand,
      id: self,
      name: config.name,
      nameOf: (id) => applier.members.get(id)?.name || members.find((other) => other.id === id)?.name || idText(id),
      position: () => ({ term: this.runner.raft.term, index: lastIndex(this.runner.raft.log) }),
    });
    countEvents(this.history, config.metrics);
    this.hub = new WatchHub(applier.store);
    this.leases = new Leases(this);
    this.quota = new Quota(applier.store, config.quotaBytes, log);
    this.compactor = createCompactor(applier.store, clock, config.compactionBatch, () => this.runner.backlog > 0);
    const { peerURLs } = config;
    const peers = members.filter(({ id }) => id !== self);
    const handlers = this.#ofPeers();
    const transport = config.transport({ clusterId, self, peerURLs, peers, clock, log, handlers });
    this.transport = transport;
    this.#confChanges = new ConfChanges(this, members.find(({ id }) => id === self)?.isLearner ?? false);
    this.#snapshots = new Snapshots(config, data, {
      compact: (index) => this.runner.input({ type: "Compact", index }),
      transport,
      onSent: (id, index) => this.runner.input({ type: "SnapshotSent", id, index }),
      onFull: (error) => void diskIsFull(this, { reason: error.message }).catch(() => {}), // at the next try
      onFatal: (error) => this.#fatal("Cannot write the snapshot, exiting", error),
      onEvent: (event) => this.history.server(event),
    });
    const raft = createRaft({
      id: self,
      conf: applier.membership.conf,
      electionTicks: Math.max(2, Math.round(electionMs / heartbeatMs)),
      heartbeatTicks: 1,
      rand,
      hardState,
      start,
      entries,
      applied: applier.applied.index,
      preVote: config.preVote,
      checkQuorum: true,
      maxSizePerMessage: 1024 * 1024,
      maxInflightMessages: 512,
      maxInflightBytes: 8 * 1024 * 1024,
    });
    this.runner = new Runner({ raft, wal, clock, tickMs: heartbeatMs, ...this.#ofRaft() });
  }

  #ofPeers(): TransportHandlers {
    return {
      onMessage: (message) => this.runner.input({ type: "Message", message }),
      onUnreachable: (id, reason) => {
        if (this.#peersUp.get(id) !== false) this.history.server({ kind: "PeerLost", peer: id, reason });
        this.#peersUp.set(id, false);
        this.runner.input({ type: "Unreachable", id });
      },
      onConnected: (id) => {
        this.#peersUp.set(id, true);
        this.history.server({ kind: "PeerConnected", peer: id });
        this.#hasten();
        if (id === this.leader) this.#proposals.again();
      },
      onState: (message) => ({
        incoming: this.#snapshots.receive(message),
        done: () => this.runner.input({ type: "Message", message }),
      }),
      onCall: async (kind: FrameKind, request) => {
        if (kind === FrameKind.members)
          return pb.MemberListResponse.encode({ header: this.header(0), members: memberList(this) });
        if (kind === FrameKind.ping) return new Uint8Array(0);
        if (kind === FrameKind.hashKV)
          return pb.HashKVResponse.encode(await hashKV(this, pb.HashKVRequest.decode(request).revision));
        if (kind !== FrameKind.memberPromote) return this.leases.answer(kind, request);
        await promote(this, pb.MemberPromoteRequest.decode(request).ID);
        return new Uint8Array(0);
      },
      isRemoved: (id) => this.applier.membership.removed.has(id),
      onRemoved: () => this.#confChanges.onRemoved(),
    };
  }

  #ofRaft(): Omit<RunnerOptions, "raft" | "wal" | "clock" | "tickMs"> {
    const { metrics } = this.config;
    return {
      send: (messages) => this.#send(messages),
      apply: (entry) => {
        this.#snapshots.count(entry);
        if (entry.type !== 0) return this.#proposals.applyConfChange(entry, () => this.#confChanges.apply(entry));
        this.#proposals.apply(entry);
        return undefined;
      },
      install: (snapshot) => ({
        saved: this.wal.saveSnapshot({ ...snapshot, confState: snapshot.conf }),
        put: async () => {
          await this.#snapshots.install(snapshot);
          this.#confChanges.replaced();
          this.hub.replaced();
        },
      }),
      applied: (index) => this.#applied(index),
      onSoftState: (state) => this.#onSoftState(state),
      onDropped: ({ proposals, confChanges, reads }) => {
        for (const change of confChanges) this.#proposals.hold(change);
        for (const data of proposals) this.#proposals.hold({ type: 0, data });
        if (proposals.length > 0) this.history.burst("ProposalsDropped", proposals.length);
        if (reads.length > 0) this.reads.takeBack();
      },
      onReadState: (context, index) => {
        this.reads.answer(context, index);
        this.reads.applied(this.appliedIndex);
        this.reads.ask();
      },
      onFsync: (seconds) => {
        metrics.fsync.observe(seconds);
        if (seconds > slowSeconds) this.history.burst("SlowFsync", 1, seconds);
      },
      onApplied: (seconds) => {
        if (seconds <= slowSeconds) return;
        metrics.slowApplies.inc();
        this.history.burst("SlowApply", 1, seconds);
      },
      onEvents: (events) => {
        for (const event of events) this.history.record(event);
      },
      onFatal: (error) => this.#fatal("Cannot write to the WAL, exiting", error),
    };
  }

  start(): void {
    this.compactor.applied(); // one that a restart interrupted
    this.history.server({ kind: "Started", applied: this.appliedIndex });
    this.runner.start();
    this.transport.start();
    const { conf, members } = this.applier.membership;
    if (conf.voters.length <= 1 && (members.has(this.id) || this.#founds)) this.#hasten(); // nobody else votes
    this.#cancelSweep = this.config.clock.every(sweepMs, () => {
      const now = this.config.clock.monotonic();
      this.#proposals.expire(now);
      this.#proposals.again();
      this.reads.expire(now, "timeout");
      this.reads.ask();
      this.leases.expire();
      this.quota.warn();
    });
    void publish(this).then(() => {
      this.published = !this.closed;
    });
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.history.server({ kind: "Stopping" });
    await handOver(this);
    this.closed = true;
    this.history.close();
    this.#cancelSweep();
    this.#confChanges.close();
    this.compactor.close();
    this.#proposals.close();
    this.reads.expire(Number.POSITIVE_INFINITY, "stopped");
    this.runner.stop();
    this.transport.close();
    await this.#snapshots.close();
    await this.wal.close();
  }

  get isLearner(): boolean {
    return this.#confChanges.isLearner;
  }

  /** As far as this member knows, or none. */
  get leader(): bigint {
    return this.#soft.leader;
  }

  get isLeader(): boolean {
    return this.#soft.role === "leader";
  }

  get term(): number {
    return this.#soft.term;
  }

  /** Milliseconds without a leader; 0 with one. */
  get leaderlessMs(): number {
    return this.leader === none ? this.config.clock.monotonic() - this.#leaderlessSince : 0;
  }

  get pendingCount(): number {
    return this.#proposals.size;
  }

  /** Revision 0: without one. */
  header(revision: number): pb.ResponseHeader {
    return { clusterId: this.clusterId, memberId: this.id, revision, raftTerm: this.term };
  }

  /** Refuses what does not fit the quota, and raises the alarm that stops everybody until it is taken back. */
  async refuse(cost: number): Promise<never> {
    this.config.log.warn({ cost, quotaBytes: this.quota.bytes }, "Refused a write: it does not fit the quota");
    await this.raiseNoSpace().catch(() => {});
    throw etcdError("noSpace");
  }

  raiseNoSpace(): Promise<unknown> {
    return this.write({ alarm: { action: 1, memberID: this.id, alarm: Alarm.noSpace } });
  }

  /** Through raft; the reply is the response, once this member has applied it, or an error of etcd's. */
  submit<R>(request: Init<pb.InternalRaftRequest>, who?: Identity): Reply<R> {
    return this.#proposals.submit<R>(request, who);
  }

  write<R>(request: Init<pb.InternalRaftRequest>, who?: Identity): Promise<R> {
    return this.submit<R>(request, who).promise();
  }

  /** A change of members (`confChange`), or several through a joint configuration: resolves when it is applied here. */
  async reconfigure(change: Parameters<typeof proposalOf>[0]): Promise<void> {
    await this.#proposals.reconfigure(change);
  }

  /** Runs `read` when everything that was committed before this call is applied here. */
  read<R>(read: () => R): Reply<R> {
    const waiting = new Read(read, this.config.clock.monotonic() + this.#requestTimeoutMs);
    if (this.closed) waiting.reject(etcdError("stopped"));
    else this.reads.add(waiting);
    return waiting;
  }

  linearizable<R>(read: () => R): Promise<R> {
    return this.read(read).promise();
  }

  /** Resolves once a leader is known; throws "no leader" after `timeoutMs`. */
  waitForLeader(timeoutMs: number): Promise<void> {
    return this.#leaders.until(() => this.leader !== none, timeoutMs, "noLeader");
  }

  /** Resolves when `to` leads; throws a timeout when that does not happen within two election timeouts. */
  transferTo(to: bigint): Promise<void> {
    this.runner.input({ type: "TransferLeader", to });
    return this.#leaders.until(() => this.leader === to, 2 * this.config.electionMs, "timeout");
  }

  #send(all: Message[]): void {
    for (const message of all) if (message.type === "Snap") void this.#snapshots.send(message);
    const unsent = this.transport.send(all.filter(({ type }) => type !== "Snap"));
    for (const { type, entries, to } of unsent) {
      this.config.metrics.peerSendFailures.inc({ To: to.toString(16) });
      if (type === "Prop") for (const entry of entries) this.#proposals.hold(entry);
    }
  }

  #applied(index: number): void {
    this.appliedIndex = index;
    this.leases.applied(); // before a read that waits for it
    this.hub.publish();
    this.reads.applied(index);
    this.compactor.applied();
    this.#snapshots.applied();
  }

  #onSoftState(state: SoftState): void {
    const before = this.#soft;
    const { role, term, leader } = state;
    this.#soft = state;
    if (leader === none && before.leader !== none) this.#leaderlessSince = this.config.clock.monotonic();
    this.#leaders.wake();
    const { log, metrics } = this.config;
    if (role !== before.role || leader !== before.leader)
      log.info({ role, term, leader: idText(leader), member: idText(this.id) }, "Raft state changed");
    if (role !== "leader" && before.role === "leader") this.leases.demote();
    if (leader === before.leader) return;
    if (before.leader !== none) {
      const count = this.#proposals.leaderLost();
      if (count > 0) this.history.server({ kind: "ProposalsFailed", count });
    }
    this.reads.takeBack();
    if (leader === none) return;
    if (this.#lastLeader !== leader) metrics.leaderChanges.inc();
    this.#lastLeader = leader;
    this.#proposals.again();
    this.reads.ask();
  }

  #hasten(): void {
    if (!this.config.hasten || this.#hastened || this.leader !== none) return;
    this.#hastened = true;
    hasten(this);
  }

  #fatal(message: string, error: Error): void {
    this.config.log.error({ err: error }, message);
    this.config.onFatal(error);
  }
}

type SoftState = NonNullable<Ready["softState"]>;

/** Longer than this the leader's heartbeats and answers begin to be missed: etcd's bound for applying, for both. */
const slowSeconds = 0.1;
const sweepMs = 100;
