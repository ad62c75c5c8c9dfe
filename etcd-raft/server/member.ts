import { type Cancel, sleep } from "../../base/clock.ts";
import { GrpcError } from "../../net/grpc-error.ts";
import type { Reply } from "../../net/reply.ts";
import {
  InternalRaftRequest,
  MemberListResponse,
  MemberPromoteRequest,
  type PutResponse,
  type ResponseHeader,
} from "../../proto/generated/etcdserverpb.ts";
import { type Init, Writer } from "../../proto/wire.ts";
import type { Identity } from "../auth/auth-store.ts";
import { etcdError } from "../errors.ts";
import type { ConfState } from "../raft/conf.ts";
import { createRaft } from "../raft/raft.ts";
import { type Entry, none, type Ready } from "../raft/types.ts";
import type { Wal } from "../wal/wal.ts";
import { Alarm } from "./alarms.ts";
import type { Applier } from "./applier.ts";
import { idText } from "./cluster.ts";
import { memberList, promote } from "./cluster-service.ts";
import { Compactor } from "./compactor.ts";
import { ConfChanges } from "./conf-changes.ts";
import { FrameKind } from "./frames.ts";
import { History } from "./history.ts";
import { Leases } from "./leases.ts";
import { type MemberConfig, type MemberData, snapDir } from "./member-config.ts";
import { proposalOf } from "./membership.ts";
import { countEvents } from "./metrics.ts";
import { Pending, Waiter } from "./pending.ts";
import { PlainPut } from "./plain-put.ts";
import { ProposalBytes } from "./proposal-bytes.ts";
import { Quota } from "./quota.ts";
import { Read, Reads } from "./reads.ts";
import { Runner } from "./runner.ts";
import { Snapshots } from "./snapshots.ts";
import type { PeerTransport } from "./transport.ts";
import { WatchHub } from "./watch-hub.ts";

/**
 * One member of the cluster: raft and its log, the state machine, the peers, and the requests that wait for them. The
 * gRPC services (`*-service.ts`) are thin functions over this.
 */
export class Member {
  readonly config: MemberConfig;
  readonly applier: Applier;
  readonly hub: WatchHub;
  readonly leases: Leases;
  readonly compactor: Compactor;
  readonly quota: Quota;
  readonly runner: Runner;
  readonly transport: PeerTransport;
  /** What happened lately, and why. */
  readonly history: History;
  readonly clusterId: bigint;
  readonly id: bigint;
  readonly #confChanges: ConfChanges;
  readonly #snapshots: Snapshots;
  readonly #wal: Wal;
  readonly #pending: Pending;
  readonly #plainPut = new PlainPut();
  readonly #proposalBytes = new ProposalBytes();
  readonly #reads: Reads;
  /** Proposals that did not leave: no leader is known, or no connection to it. They go again once there is one. */
  readonly #held = new Set<Uint8Array>();
  readonly #requestTimeoutMs: number;
  #soft: NonNullable<Ready["softState"]>;
  #leaderlessSince: number;
  #leaderWaiters: (() => void)[] = [];
  readonly #peersUp = new Map<bigint, boolean>();
  #timers: Cancel[] = [];
  #closed = false;
  #applied = 0;
  #lastLeader = none;
  #keepsTime = false;
  published = false;

  constructor(config: MemberConfig, data: MemberData) {
    const { wal, applier, start, entries, hardState, clusterId, id: self, members, memory } = data;
    const { clock, rand, log, heartbeatMs, electionMs } = config;
    this.config = config;
    this.clusterId = clusterId;
    this.id = self;
    this.#founds = entries[0]?.index === 1 && entries[0].type !== 0 && (entries[1]?.type ?? 0) === 0;
    this.#wal = wal;
    this.#requestTimeoutMs = 5000 + 2 * electionMs;
    this.#pending = new Pending(self, clock.now());
    this.#reads = new Reads(Math.floor(rand.next() * 2 ** 52));
    this.#leaderlessSince = clock.monotonic();
    this.#soft = { role: "follower", leader: none, term: hardState?.term ?? 0 };
    this.applier = applier;
    this.history = new History({
      clock: config.eventClock ?? clock,
      rand,
      id: self,
      name: config.name,
      nameOf: (id) => applier.members.get(id)?.name || members.find((other) => other.id === id)?.name || idText(id),
      position: () => {
        const { term, lastIndex } = this.runner.status();
        return { term, index: lastIndex };
      },
    });
    countEvents(this.history, config.metrics);
    this.#applied = applier.applied.index;
    this.hub = new WatchHub(this.applier.store);
    this.leases = new Leases(this);
    this.quota = new Quota(this.applier.store, config.quotaBytes, log);
    this.compactor = new Compactor(this.applier.store, clock, config.compactionBatch, () => this.runner.backlog > 0);
    this.transport = config.transport({
      clusterId,
      self,
      peerURLs: config.peerURLs,
      peers: members.filter(({ id }) => id !== self),
      clock,
      log,
      handlers: {
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
          if (id === this.leader) this.#proposeHeld();
        },
        onState: (message) => ({
          incoming: this.#snapshots.receive(message),
          done: () => this.runner.input({ type: "Message", message }),
        }),
        onCall: (kind: FrameKind, request) => this.#answer(kind, request),
        isRemoved: (id) => applier.membership.removed.has(id),
        onRemoved: () => this.#confChanges.onRemoved(),
      },
    });
    this.#confChanges = new ConfChanges(
      {
        id: self,
        applier,
        transport: this.transport,
        history: this.history,
        clock,
        log,
        electionMs,
        propose: (change) => this.runner.input({ type: "ProposeConfChange", change }),
        onRemoved: config.onRemoved,
      },
      members.find(({ id }) => id === self)?.isLearner ?? false,
    );
    const position = members.findIndex(({ id }) => id === self);
    this.#snapshots = new Snapshots({
      dir: snapDir(config),
      disk: config.disk,
      clock,
      log,
      wal,
      applier,
      memory,
      count: config.snapshotCount,
      catchUp: config.snapshotCatchupEntries,
      phase: Math.max(0, position) / Math.max(1, members.length),
      compact: (index) => this.runner.input({ type: "Compact", index }),
      transport: this.transport,
      onSent: (id, index) => this.runner.input({ type: "SnapshotSent", id, index }),
      onFatal: (error) => {
        log.error({ err: error }, "Cannot write the snapshot, exiting");
        config.onFatal(error);
      },
      onEvent: (event) => this.history.server(event),
    });
    this.runner = new Runner({
      raft: createRaft({
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
      }),
      wal,
      clock,
      tickMs: heartbeatMs,
      send: (all) => {
        for (const message of all) if (message.type === "Snap") void this.#snapshots.send(message);
        const messages = all.filter(({ type }) => type !== "Snap");
        for (const { type, entries } of this.transport.send(messages)) {
          if (type !== "Prop") continue;
          for (const entry of entries) {
            if (entry.type === 0) this.#held.add(entry.data);
            else this.#confChanges.hold(entry);
          }
        }
      },
      apply: (entry) => {
        this.#snapshots.count(entry);
        if (entry.type !== 0) return this.#reconfigure(entry);
        this.#apply(entry);
        return undefined;
      },
      install: (snapshot) => ({
        saved: this.#wal.saveSnapshot({ ...snapshot, confState: snapshot.conf }),
        put: async () => {
          await this.#snapshots.install(snapshot);
          this.#confChanges.replaced();
          this.hub.replaced();
        },
      }),
      applied: (index) => this.#afterApply(index),
      onSoftState: (state) => this.#onSoftState(state),
      onDropped: ({ proposals, confChanges, reads }) => {
        for (const change of confChanges) this.#confChanges.hold(change);
        for (const data of proposals) this.#held.add(data);
        if (proposals.length > 0) this.history.burst("ProposalsDropped", proposals.length);
        if (reads.length > 0) this.#reads.askAgain();
      },
      onReadState: (context, index) => {
        this.#reads.answer(context, index);
        this.#reads.applied(this.#applied);
        this.#ask();
      },
      onFsync: (seconds) => {
        config.metrics.fsync.observe(seconds);
        if (seconds > slowFsyncSeconds) this.history.burst("SlowFsync", 1, seconds);
      },
      onApplied: (seconds) => {
        if (seconds <= slowApplySeconds) return;
        config.metrics.slowApplies.inc();
        this.history.burst("SlowApply", 1, seconds);
      },
      onEvents: (events) => {
        for (const event of events) this.history.record(event);
      },
      onFatal: (error) => {
        log.error({ err: error }, "Cannot write to the WAL, exiting");
        config.onFatal(error);
      },
    });
  }

  start(): void {
    this.compactor.applied(); // one that a restart interrupted
    const { clock } = this.config;
    this.history.server({ kind: "Started", applied: this.#applied });
    this.runner.start();
    this.transport.start();
    if (this.#alone) this.#hasten();
    this.#timers.push(
      clock.every(sweepMs, () => {
        this.#sweep();
        this.leases.expire();
        this.quota.warn();
      }),
    );
    void this.#publish();
  }

  /** Hands over a lead, ends what is running, and closes the log. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.history.server({ kind: "Stopping" });
    await this.handOver();
    this.#closed = true;
    this.history.close();
    for (const cancel of this.#timers) cancel();
    this.#confChanges.close();
    this.#failAll(this.#pending.takeAll(), () => etcdError("stopped"));
    for (const read of this.#reads.takeExpired(Number.POSITIVE_INFINITY)) read.reject(etcdError("stopped"));
    this.runner.stop();
    this.transport.close();
    await this.#snapshots.close();
    await this.#wal.close();
  }

  get isLearner(): boolean {
    return this.#confChanges.isLearner;
  }

  get leader(): bigint {
    return this.#soft.leader;
  }

  get isLeader(): boolean {
    return this.#soft.role === "leader";
  }

  get term(): number {
    return this.#soft.term;
  }

  /** The last entry that the state machine has taken in. */
  get appliedIndex(): number {
    return this.#applied;
  }

  get pendingCount(): number {
    return this.#pending.size;
  }

  /** Milliseconds without a leader; 0 with one. */
  get leaderlessMs(): number {
    return this.leader === none ? this.config.clock.monotonic() - this.#leaderlessSince : 0;
  }

  /** Revision 0: without one. */
  header(revision: number): ResponseHeader {
    return { clusterId: this.clusterId, memberId: this.id, revision, raftTerm: this.term };
  }

  /** Refuses what does not fit the quota, and raises the alarm that stops everybody until it is taken back. */
  async refuse(cost: number): Promise<never> {
    this.config.log.warn({ cost, quotaBytes: this.quota.bytes }, "Refused a write: it does not fit the quota");
    await this.write({ alarm: { action: 1, memberID: this.id, alarm: Alarm.noSpace } }).catch(() => {});
    throw etcdError("noSpace");
  }

  /** Through raft; the reply is the response, once this member has applied it, or an error of etcd's. */
  submit<R>(request: Init<InternalRaftRequest>, who?: Identity): Reply<R> {
    const id = this.#pending.nextId();
    const header = who ? { ID: id, username: who.username, authRevision: who.revision } : { ID: id };
    const data = this.#proposalBytes.copy(InternalRaftRequest.write({ header, ...request }, Writer.create()));
    const waiter = new Waiter(this.config.clock.monotonic() + this.#requestTimeoutMs, data);
    if (this.#closed) waiter.reject(etcdError("stopped"));
    else if (data.length > this.config.maxRequestBytes) waiter.reject(etcdError("requestTooLarge"));
    else if (this.runner.backlog > maxBacklog) waiter.reject(etcdError("tooManyRequests"));
    else {
      this.#pending.add(waiter);
      this.runner.propose(data);
    }
    return waiter as Reply<unknown> as Reply<R>;
  }

  write<R>(request: Init<InternalRaftRequest>, who?: Identity): Promise<R> {
    return this.submit<R>(request, who).promise();
  }

  /**
   * A change of members (`confChange`), or several through a joint configuration; resolves when it is applied here. Rejects
   * with etcd's errors.
   */
  reconfigure(change: Parameters<typeof proposalOf>[0]): Promise<void> {
    const proposal = proposalOf(change, this.#pending.nextId());
    const waiter = new Waiter(this.config.clock.monotonic() + this.#requestTimeoutMs, proposal.data);
    if (this.#closed) waiter.reject(etcdError("stopped"));
    else {
      this.#pending.add(waiter);
      this.#confChanges.hold(proposal);
      if (this.leader !== none) this.#confChanges.tryAgain();
    }
    return waiter.promise() as Promise<void>;
  }

  /** Runs `read` when everything that was committed before this call is applied here. */
  read<R>(read: () => R): Reply<R> {
    const waiting = new Read(read, this.config.clock.monotonic() + this.#requestTimeoutMs);
    if (this.#closed) waiting.reject(etcdError("stopped"));
    else {
      this.#reads.add(waiting);
      this.#ask();
    }
    return waiting;
  }

  linearizable<R>(read: () => R): Promise<R> {
    return this.read(read).promise();
  }

  /** Resolves once a leader is known; throws "no leader" after `timeoutMs`. */
  waitForLeader(timeoutMs: number): Promise<void> {
    if (this.leader !== none) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const cancel = this.config.clock.after(timeoutMs, () => {
        this.#leaderWaiters = this.#leaderWaiters.filter((waiter) => waiter !== done);
        reject(etcdError("noLeader"));
      });
      const done = () => {
        cancel();
        resolve();
      };
      this.#leaderWaiters.push(done);
    });
  }

  #apply(entry: Entry): void {
    const put = this.#plainPut;
    if (this.applier.applyPlainPut(entry, put)) {
      const waiter = this.#pending.takeHalves(put.idHigh, put.idLow);
      waiter?.resolve({ header: this.header(this.applier.store.revision), prevKv: undefined } satisfies PutResponse);
      return;
    }
    const request = this.applier.decode(entry);
    const waiter = request && this.#pending.take(request.header?.ID ?? request.ID);
    let response: unknown;
    try {
      response = this.applier.apply(entry, request);
    } catch (error) {
      if (!(error instanceof GrpcError)) throw error;
      waiter?.reject(error);
      return;
    }
    const header = (response as { header?: ResponseHeader } | undefined)?.header;
    if (waiter && header) {
      header.clusterId = this.clusterId;
      header.memberId = this.id;
      header.raftTerm = this.term;
    }
    waiter?.resolve(response);
  }

  #reconfigure(entry: Entry): ConfState | undefined {
    const { id, outcome } = this.#confChanges.apply(entry);
    const waiter = this.#pending.take(id);
    try {
      const conf = outcome();
      waiter?.resolve(undefined);
      return conf;
    } catch (error) {
      if (!(error instanceof GrpcError)) throw error;
      waiter?.reject(error);
      return undefined;
    }
  }

  /** Another member calls. */
  async #answer(kind: FrameKind, request: Buffer): Promise<Uint8Array> {
    if (kind === FrameKind.members)
      return MemberListResponse.encode({ header: this.header(0), members: memberList(this) });
    if (kind !== FrameKind.memberPromote) return this.leases.answer(kind, request);
    await promote(this, MemberPromoteRequest.decode(request).ID);
    return new Uint8Array(0);
  }

  #afterApply(index: number): void {
    this.#applied = index;
    this.#keepTime();
    this.hub.publish();
    this.#reads.applied(index);
    this.leases.applied();
    this.compactor.applied();
    this.#snapshots.applied();
  }

  /**
   * A new leader's clock counts for leases once everything of the terms before is applied: grants and what was noted of them
   * by the leader before.
   */
  #keepTime(): void {
    if (this.#keepsTime || !this.isLeader || this.applier.applied.term !== this.term) return;
    this.#keepsTime = true;
    this.applier.lessor.promote(this.config.clock.monotonic(), this.config.electionMs);
  }

  #ask(): void {
    const context = this.#reads.ask(this.config.clock.monotonic(), readRetryMs);
    if (context) this.runner.input({ type: "ReadIndex", context });
  }

  #onSoftState(state: NonNullable<Ready["softState"]>): void {
    const before = this.#soft;
    this.#soft = state;
    const { clock, log, metrics } = this.config;
    if (state.role !== before.role || state.leader !== before.leader) {
      const { role, term } = state;
      log.info({ role, term, leader: idText(state.leader), member: idText(this.id) }, "Raft state changed");
    }
    if (state.role !== "leader" && before.role === "leader") {
      this.applier.lessor.demote();
      this.#keepsTime = false;
    }
    if (state.leader === before.leader) return;
    if (state.leader === none) this.#leaderlessSince = clock.monotonic();
    // What went to a leader that is gone may or may not be committed: the caller has to look.
    if (before.leader !== none) {
      const sent = this.#pending.takeAll(({ data }) => this.#held.has(data) || this.#confChanges.holds(data));
      if (sent.length > 0) this.history.server({ kind: "ProposalsFailed", count: sent.length });
      this.#failAll(sent, () => etcdError("timeoutLeaderFailure"));
    }
    this.#reads.askAgain();
    if (state.leader === none) return;
    if (this.#lastLeader !== state.leader) metrics.leaderChanges.inc();
    this.#lastLeader = state.leader;
    this.#proposeHeld();
    for (const wake of this.#leaderWaiters.splice(0)) wake();
    this.#ask();
  }

  #proposeHeld(): void {
    for (const data of this.#held) this.runner.propose(data);
    this.#held.clear();
    this.#confChanges.tryAgain();
  }

  #sweep(): void {
    const now = this.config.clock.monotonic();
    const expired = this.#pending.takeExpired(now);
    for (const { data } of expired) {
      this.#held.delete(data);
      this.#confChanges.forget(data);
    }
    if (this.leader !== none) this.#confChanges.tryAgain();
    this.#failAll(expired, () => etcdError("timeout"));
    for (const read of this.#reads.takeExpired(now)) read.reject(etcdError("timeout"));
    this.#ask();
  }

  #failAll(waiters: { reject(error: GrpcError): void }[], error: () => GrpcError): void {
    this.config.metrics.proposalsFailed.inc(waiters.length);
    for (const waiter of waiters) waiter.reject(error());
  }

  /**
   * A fresh member need not wait a whole election timeout for a leader that cannot be there yet (etcd:
   * `--initial-election-tick-advance`): once it can talk to somebody, only the random part is left.
   */
  #hasten(): void {
    if (!this.config.hasten || this.#hastened || this.leader !== none) return;
    this.#hastened = true;
    const { electionMs, heartbeatMs } = this.config;
    for (let tick = 2; tick < Math.round(electionMs / heartbeatMs); tick++) this.runner.input({ type: "Tick" });
  }
  #hastened = false;

  /** Nobody else votes, as far as is known. */
  get #alone(): boolean {
    const { conf, members } = this.applier.membership;
    return conf.voters.length <= 1 && (members.has(this.id) || this.#founds);
  }
  readonly #founds: boolean; // a cluster of its own, whose first entry is not applied yet

  /** Tells the cluster our name and client URLs. Once that is committed the member is in service. */
  async #publish(): Promise<void> {
    const { name, advertiseClientURLs: clientURLs } = this.config;
    const attributes = { name, clientURLs };
    while (!this.#closed) {
      try {
        // In the form that every etcd knows: a 3.4 that goes on with this log ends at the newer ClusterMemberAttrSet.
        const v2 = { method: "PUT", path: `/0/members/${idText(this.id)}/attributes`, val: JSON.stringify(attributes) };
        await this.write({ v2 });
        this.published = true;
        this.config.log.info({ name, clientURLs: attributes.clientURLs }, "ready to serve client requests");
        return;
      } catch (error) {
        this.config.log.warn({ reason: (error as Error).message }, "Could not publish this member yet");
        await sleep(this.config.clock, republishMs);
      }
    }
  }

  /** To the follower that has most of the log; gives up after an election timeout. */
  async handOver(): Promise<void> {
    if (!this.isLeader || this.#alone) return;
    const { progress, conf } = this.runner.status();
    const candidates = progress
      .filter(({ id }) => id !== this.id && conf.voters.includes(id) && this.transport.isConnected(id))
      .sort((a, b) => b.matchIndex - a.matchIndex);
    const to = candidates[0]?.id;
    if (to === undefined) return;
    this.config.log.info({ to: idText(to) }, "Handing over the lead");
    await this.transferTo(to).catch(() => {});
  }

  /** Resolves when `to` leads; throws a timeout when that does not happen within the request timeout. */
  async transferTo(to: bigint): Promise<void> {
    this.runner.input({ type: "TransferLeader", to });
    const { clock, electionMs } = this.config;
    const deadline = clock.monotonic() + 2 * electionMs;
    while (this.leader !== to) {
      if (clock.monotonic() > deadline) throw etcdError("timeout");
      await sleep(clock, 10);
    }
  }
}

/** Longer than this the leader's heartbeats and answers begin to be missed: etcd's bound for applying, for both. */
const slowFsyncSeconds = 0.1;
const slowApplySeconds = 0.1;
const sweepMs = 100;
const readRetryMs = 500;
/** etcd refuses when the state machine is as many entries behind what is committed. */
const maxBacklog = 5000;
const republishMs = 100;
