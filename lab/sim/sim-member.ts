import { createHash } from "node:crypto";
import type { Clock } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import type { Rand } from "../../base/rand.ts";
import { hashKV } from "../../etcd-raft/mvcc/hash.ts";
import type { Entry, NodeId } from "../../etcd-raft/raft/types.ts";
import type { InitialCluster } from "../../etcd-raft/server/cluster.ts";
import type { Member } from "../../etcd-raft/server/member.ts";
import type { ServerMetrics } from "../../etcd-raft/server/metrics.ts";
import { openMember } from "../../etcd-raft/server/open-member.ts";
import { Life } from "./life.ts";
import { type Services, servicesOf } from "./services.ts";
import type { SimDisk } from "./sim-disk.ts";
import type { SimNetwork } from "./sim-network.ts";

export interface SimMemberOptions {
  cluster: InitialCluster;
  joins(): InitialCluster | undefined; // of a member that is added to a running cluster: who is in it
  clock: Clock;
  rand: Rand;
  disk: SimDisk;
  network: SimNetwork;
  metrics: ServerMetrics;
  clockRate: number; // its monotonic clock goes so many times as slow
  preVote: boolean; // PreVote and CheckQuorum
  /** Breaks it when it has just read its data: for the tests of the checkers. */
  plant: ((who: SimMember) => void) | undefined;
  watch: {
    logs(who: string, message: string, fields: Record<string, unknown>): void;
    /** It serves again, with everything up to `index` in its state. */
    restarts(who: SimMember, index: number): void;
    installs(who: SimMember, index: number): void; // a received snapshot takes the place of its state
    leads(who: SimMember, term: number): void;
    applies(who: SimMember, entry: Entry): void;
    applied(who: SimMember, entry: Entry): void;
    removed(who: SimMember): void; // it has heard that it is in the cluster no more
    dies(who: SimMember, error: Error): void; // it met an error that the program does not survive
  };
}

/**
 * One member as it ships (`openMember`), over a simulated clock, disk and network. A crash may come between any two events;
 * what was under way is then never heard of again.
 */
export class SimMember {
  readonly id: NodeId;
  readonly name: string;
  readonly disk: SimDisk;
  readonly clockRate: number;
  member: Member | undefined; // undefined while it is down or still reads its data
  services: Services | undefined;
  life: Life | undefined;
  offset = 0; // of its wall clock, in milliseconds
  readonly #options: SimMemberOptions;

  constructor(options: SimMemberOptions) {
    this.id = options.cluster.self.id;
    this.name = new URL(options.cluster.self.peerURLs[0]!).hostname;
    this.disk = options.disk;
    this.clockRate = options.clockRate;
    this.#options = options;
  }

  get up(): boolean {
    return this.life !== undefined;
  }

  get isLeader(): boolean {
    return this.member?.isLeader ?? false;
  }

  start(): void {
    if (this.life !== undefined) return;
    const life: Life = new Life(this.#options.rand, (error) => this.#die(life, error));
    this.life = life;
    this.#boot(life).catch((error: Error) => this.#die(life, error));
  }

  crash(): void {
    const { life, member } = this;
    if (life === undefined) return;
    this.life = undefined;
    this.member = undefined;
    this.services = undefined;
    this.disk.crash();
    life.end();
    member?.runner.stop();
    this.#options.network.died(this.id);
  }

  stall(on: boolean): void {
    this.life?.stall(on);
  }

  /** What its state hashes to: keys and history, and all else that is replicated. */
  hash(): string {
    const { store, lessor } = this.member!.applier;
    const { members, alarms, confState } = this.member!.applier.state();
    const leases = lessor.list().map(({ id, ttl }) => `${id} ${ttl} ${lessor.keysOf(id)}`);
    members.sort((a, b) => (a.id < b.id ? -1 : 1));
    const rest = { members, alarms, confState, leases: leases.sort(), compacted: store.compactRevision };
    const text = JSON.stringify(rest, (_, value) => (typeof value === "bigint" ? `${value}` : (value as unknown)));
    return `${hashKV(store, 0)} ${createHash("sha1").update(text).digest("hex").slice(0, 10)}`;
  }

  async #boot(life: Life): Promise<void> {
    const { cluster, joins, clock, rand, disk, network, metrics, clockRate, preVote, plant, watch } = this.#options;
    const member = await openMember({
      dataDir: "/data",
      name: this.name,
      peerURLs: cluster.self.peerURLs,
      bootstrap: async () => {
        const running = joins();
        return running ? { ...running, joins: true } : { ...cluster, joins: false };
      },
      strictReconfigCheck: false,
      onRemoved: () => life.enter(() => watch.removed(this)),
      advertiseClientURLs: [`http://${this.name}:2379`],
      heartbeatMs: 20,
      electionMs,
      maxRequestBytes: 1_500_000,
      maxTxnOps: 128,
      snapshotCount: 25,
      snapshotCatchupEntries: rand.below(10),
      preVote,
      hasten: true,
      compactionBatch: 5,
      quotaBytes: 0,
      segmentBytes: 8192,
      transport: (options) => network.transport(options, life),
      clock: life.clock(clock, clockRate, () => this.offset),
      rand,
      disk: disk.view(life),
      log: this.#logger(life),
      metrics,
      onFatal: (error) => life.enter(() => this.#die(life, error)),
    });
    if (!life.alive) return;
    const { applier } = member;
    const { raft } = member.runner;
    // Appends are cut, and wait for each other, also when there is little to say.
    Object.assign(raft.config, {
      maxSizePerMessage: 2000,
      maxInflightMessages: 4,
      maxInflightBytes: 2048,
      packEntries: 3,
      checkQuorum: preVote,
    });
    this.member = member;
    this.services = servicesOf(member);
    plant?.(this);
    const applying = <R>(entry: Entry, work: () => R): R => {
      try {
        return work();
      } finally {
        watch.applied(this, entry);
      }
    };
    const apply = applier.apply.bind(applier);
    applier.apply = (entry, request) => {
      if (!life.alive) return undefined;
      watch.applies(this, entry);
      return applying(entry, () => apply(entry, request));
    };
    const applyPlainPut = applier.applyPlainPut.bind(applier);
    applier.applyPlainPut = (entry, put) => {
      if (!life.alive || !applyPlainPut(entry, put)) return false;
      watch.applies(this, entry);
      watch.applied(this, entry);
      return true;
    };
    const reconfigure = applier.reconfigure.bind(applier);
    applier.reconfigure = (entry) => {
      watch.applies(this, entry);
      return applying(entry, () => reconfigure(entry));
    };
    const replace = applier.replace.bind(applier);
    applier.replace = (other) => {
      if (!life.alive) return;
      replace(other);
      watch.installs(this, applier.applied.index);
    };
    watch.restarts(this, applier.applied.index);
    member.start();
  }

  #die(life: Life, error: Error): void {
    if (this.life !== life) return;
    this.crash();
    this.#options.watch.dies(this, error);
  }

  #logger(life: Life): Logger {
    const { watch } = this.#options;
    const log = (fields: Record<string, unknown>, message: string) => {
      if (!life.alive) return;
      watch.logs(this.name, message, fields);
      if (message === "Raft state changed" && fields["role"] === "leader") watch.leads(this, fields["term"] as number);
    };
    const logger: Logger = { debug: log, info: log, warn: log, error: log, child: () => logger };
    return logger;
  }
}

export const electionMs = 200;
