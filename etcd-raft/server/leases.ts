import { sleep } from "../../base/clock.ts";
import { Code, GrpcError } from "../../net/grpc-error.ts";
import * as pb from "../../proto/generated/etcdserverpb.ts";
import { etcdError } from "../errors.ts";
import { none } from "../raft/types.ts";
import { FrameKind } from "./frames.ts";
import type { Member } from "./member.ts";
import { Waiters } from "./waiters.ts";

/**
 * The part of leases that is not replicated: the leader knows how long each has to live. Keep-alives and questions that
 * reach another member go to the leader over the peer connection; expired leases are revoked through raft.
 */
export class Leases {
  readonly #member: Member;
  readonly #revoking = new Set<bigint>();
  renewed = 0; // for the metrics
  expired = 0;
  #budget = maxBurst; // how many may be revoked now: grows with the time
  #budgetAt = 0;
  #keepsTime = false;
  readonly #late: Waiters; // keep-alives that came too late: answered once the lease is gone

  constructor(member: Member) {
    this.#member = member;
    this.#late = new Waiters(member.config.clock);
  }

  /** The new TTL, 0 when there is no such lease (any more). Throws Unavailable when the leader cannot be asked. */
  renew(id: bigint): Promise<number> {
    const request = pb.LeaseKeepAliveRequest.encode({ ID: id });
    const ttlOf = (answer: Buffer) => pb.LeaseKeepAliveResponse.decode(answer).TTL;
    return this.#atLeader(() => this.#renewHere(id), FrameKind.leaseKeepAlive, request, ttlOf);
  }

  timeToLive(request: pb.LeaseTimeToLiveRequest): Promise<pb.LeaseTimeToLiveResponse> {
    const bytes = pb.LeaseTimeToLiveRequest.encode(request);
    const here = () => this.#timeToLiveHere(request);
    return this.#atLeader(here, FrameKind.leaseTimeToLive, bytes, (answer) =>
      pb.LeaseTimeToLiveResponse.decode(answer),
    );
  }

  /** Another member asks us as the leader. */
  async answer(kind: FrameKind, request: Buffer): Promise<Uint8Array> {
    if (!this.#member.isLeader) throw etcdError("leaderChanged");
    if (kind === FrameKind.leaseKeepAlive) {
      const { ID } = pb.LeaseKeepAliveRequest.decode(request);
      return pb.LeaseKeepAliveResponse.encode({ ID, TTL: await this.#renewHere(ID) });
    }
    if (kind === FrameKind.leaseTimeToLive)
      return pb.LeaseTimeToLiveResponse.encode(await this.#timeToLiveHere(pb.LeaseTimeToLiveRequest.decode(request)));
    throw new GrpcError(Code.Unimplemented, `peer call of kind ${kind}`);
  }

  /**
   * Revokes what has expired. Only once the others confirm that we still lead (ReadIndex): a member that was stopped for
   * a while takes itself for the leader until it hears otherwise.
   */
  expire(): void {
    const { isLeader, applier, config } = this.#member;
    if (!isLeader) return;
    const now = config.clock.monotonic();
    this.#budget = Math.min(maxBurst, this.#budget + ((now - this.#budgetAt) / 1000) * revocationsPerSecond);
    this.#budgetAt = now;
    this.#checkpoint(now);
    const limit = Math.min(maxRevoking - this.#revoking.size, Math.floor(this.#budget));
    const expired = limit > 0 ? applier.lessor.expired(now, limit, this.#revoking) : [];
    if (expired.length === 0) return;
    this.#budget -= expired.length;
    for (const id of expired) this.#revoking.add(id);
    const { term } = this.#member;
    this.#member
      .linearizable(() => undefined)
      .then(() => {
        if (!this.#member.isLeader || this.#member.term !== term) return undefined;
        this.expired += expired.length;
        return Promise.all(expired.map((ID) => this.#member.write({ leaseRevoke: { ID } })));
      })
      .then(
        () => true,
        () => false, // it is tried again at the next round
      )
      .then((done) => {
        for (const id of expired) this.#revoking.delete(id);
        if (done) this.expire(); // perhaps there are more
      });
  }

  /** Notes how long long leases have still to live: what another leader gives them too much is no more than that old. */
  #checkpoint(now: number): void {
    const checkpoints = this.#member.applier.lessor.checkpointsDue(now, maxCheckpoints);
    if (checkpoints.length > 0) this.#member.write({ leaseCheckpoint: { checkpoints } }).catch(() => {});
  }

  /**
   * The state machine moved on. A new leader's clock counts once everything of the terms before is applied: grants and what
   * was noted of them by the leader before. Late keep-alives whose lease is gone can be answered.
   */
  applied(): void {
    const { isLeader, term, config, applier } = this.#member;
    const { lessor } = applier;
    if (isLeader && !this.#keepsTime && applier.applied.term === term) {
      this.#keepsTime = true;
      lessor.promote(config.clock.monotonic(), config.electionMs);
    }
    this.#late.wake();
  }

  demote(): void {
    this.#keepsTime = false;
    this.#member.applier.lessor.demote();
  }

  async #renewHere(id: bigint): Promise<number> {
    const { runner, config, applier } = this.#member;
    // A new leader may still have to apply the revocation that the one before began, of a lease that looks alive here.
    if (runner.stalled || applier.applied.term !== this.#member.term) {
      await this.#stillLeading();
      runner.confirmed();
    }
    if (applier.lessor.isCheckpointed(id) && applier.lessor.timeToLive(id, config.clock.monotonic()))
      await this.#member.write({ leaseCheckpoint: { checkpoints: [{ ID: id, remainingTTL: 0 }] } });
    let ttl = applier.lessor.renew(id, config.clock.monotonic());
    if (ttl === "missing") {
      // Perhaps its grant is committed and not applied here yet.
      await this.#stillLeading();
      ttl = applier.lessor.renew(id, config.clock.monotonic());
    }
    if (ttl === "missing") return 0;
    if (ttl !== "expired") {
      this.renewed++;
      return ttl;
    }
    await this.#late.until(() => !applier.lessor.has(id), callTimeoutMs, "timeout");
    return 0;
  }

  async #timeToLiveHere({ ID, keys }: pb.LeaseTimeToLiveRequest): Promise<pb.LeaseTimeToLiveResponse> {
    const { config, applier } = this.#member;
    await this.#stillLeading();
    const lease = applier.lessor.timeToLive(ID, config.clock.monotonic());
    return {
      header: undefined,
      ID,
      TTL: lease ? lease.remaining : -1,
      grantedTTL: lease?.granted ?? 0,
      keys: lease && keys ? lease.keys.map((key) => Buffer.from(key, "latin1")) : [],
    };
  }

  async #stillLeading(): Promise<void> {
    await this.#member.linearizable(() => undefined);
    if (!this.#member.isLeader) throw etcdError("leaderChanged");
  }

  /** Here if we lead, else there; again while leaders change, within the time etcd gives it. */
  async #atLeader<R>(here: () => Promise<R>, kind: FrameKind, request: Uint8Array, decode: (answer: Buffer) => R) {
    const member = this.#member;
    const deadline = member.config.clock.monotonic() + callTimeoutMs;
    const left = () => deadline - member.config.clock.monotonic();
    for (;;) {
      await member.waitForLeader(left());
      try {
        if (member.isLeader) return await here();
        if (member.leader !== none) return decode(await member.transport.call(member.leader, kind, request, left()));
      } catch (error) {
        if (!(error instanceof GrpcError) || member.closed || left() <= retryMs) throw error;
        await sleep(member.config.clock, retryMs);
      }
    }
  }
}

const maxRevoking = 16; // as etcd: so many at once, and so many a second, in bursts of half a second
const revocationsPerSecond = 1000;
const maxBurst = revocationsPerSecond / 2;
const maxCheckpoints = 1000; // in one entry
const callTimeoutMs = 5000;
const retryMs = 50;
