import { GrpcError } from "../../net/grpc-error.ts";
import type { Reply } from "../../net/reply.ts";
import { InternalRaftRequest, type PutResponse, type ResponseHeader } from "../../proto/generated/etcdserverpb.ts";
import { type Init, Writer } from "../../proto/wire.ts";
import type { Identity } from "../auth/auth-store.ts";
import { type EtcdError, etcdError } from "../errors.ts";
import type { ConfState } from "../raft/conf.ts";
import { type Entry, none, type ProposedConfChange } from "../raft/types.ts";
import type { Member } from "./member.ts";
import { labelOf, proposalOf } from "./membership.ts";
import { Pending, Waiter } from "./pending.ts";
import { PlainPut } from "./plain-put.ts";
import { ProposalBytes } from "./proposal-bytes.ts";

/**
 * Requests on their way through raft: given to it, held while it does not take them, and answered when this member has
 * applied them, or when nobody can say any more how they end.
 */
export class Proposals {
  readonly #member: Member;
  readonly #timeoutMs: number;
  readonly #pending: Pending;
  readonly #plainPut = new PlainPut();
  readonly #bytes = new ProposalBytes();
  /** They did not leave: no leader is known, or no connection to it, or another change of members is under way. */
  readonly #held = new Map<Uint8Array, ProposedConfChange>();
  #closed = false;

  constructor(member: Member, timeoutMs: number) {
    this.#member = member;
    this.#timeoutMs = timeoutMs;
    this.#pending = new Pending(member.id, member.config.clock.now());
  }

  get size(): number {
    return this.#pending.size;
  }

  /** The reply is the response, once it is applied here, or an error of etcd's. */
  submit<R>(request: Init<InternalRaftRequest>, who: Identity | undefined): Reply<R> {
    const { runner, config } = this.#member;
    const id = this.#pending.nextId();
    const header = who ? { ID: id, username: who.username, authRevision: who.revision } : { ID: id };
    const data = this.#bytes.copy(InternalRaftRequest.write({ header, ...request }, Writer.create()));
    const waiter = this.#waiter(data);
    if (this.#closed) waiter.reject(etcdError("stopped"));
    else if (data.length > config.maxRequestBytes) waiter.reject(etcdError("requestTooLarge"));
    else if (runner.backlog > maxBacklog) waiter.reject(etcdError("tooManyRequests"));
    else {
      this.#pending.add(waiter);
      runner.propose(data);
    }
    return waiter as Reply<unknown> as Reply<R>;
  }

  reconfigure(change: Parameters<typeof proposalOf>[0]): Promise<unknown> {
    const proposal = proposalOf(change, this.#pending.nextId());
    const waiter = this.#waiter(proposal.data);
    if (this.#closed) waiter.reject(etcdError("stopped"));
    else {
      this.#pending.add(waiter);
      this.hold(proposal);
      this.again();
    }
    return waiter.promise();
  }

  hold(proposal: ProposedConfChange): void {
    this.#held.set(proposal.data, proposal);
  }

  /** Proposes what is held, if there is somebody to take it. */
  again(): void {
    const { runner, leader } = this.#member;
    if (leader === none) return;
    for (const proposal of this.#held.values()) {
      if (proposal.type === 0) runner.propose(proposal.data);
      else runner.input({ type: "ProposeConfChange", change: proposal });
    }
    this.#held.clear();
  }

  /** An entry of type 0. */
  apply(entry: Entry): void {
    const { applier } = this.#member;
    const put = this.#plainPut;
    if (applier.applyPlainPut(entry, put)) {
      const waiter = this.#pending.takeHalves(put.idHigh, put.idLow);
      const header = waiter && this.#member.header(applier.store.revision);
      waiter?.resolve({ header, prevKv: undefined } satisfies PutResponse);
      return;
    }
    const request = applier.decode(entry);
    const waiter = request && this.#pending.take(request.header?.ID ?? request.ID);
    settle(waiter, () => {
      const response = applier.apply(entry, request);
      const header = (response as { header?: ResponseHeader } | undefined)?.header;
      if (waiter && header) Object.assign(header, this.#member.header(header.revision));
      return response;
    });
  }

  /** Returns the configuration that the entry made, if it did. */
  applyConfChange(entry: Entry, apply: () => ConfState): ConfState | undefined {
    return settle(this.#pending.take(labelOf(entry).id), apply);
  }

  /** What went to a leader that is gone may or may not be committed: the callers have to look. Returns how many. */
  leaderLost(): number {
    const lost = this.#pending.takeAll(({ data }) => this.#held.has(data));
    return this.#fail(lost, "timeoutLeaderFailure");
  }

  expire(now: number): void {
    const expired = this.#pending.takeAll(({ deadline }) => deadline > now);
    for (const { data } of expired) this.#held.delete(data);
    this.#fail(expired, "timeout");
  }

  close(): void {
    this.#closed = true;
    this.#fail(this.#pending.takeAll(), "stopped");
  }

  #waiter(data: Uint8Array): Waiter {
    return new Waiter(this.#member.config.clock.monotonic() + this.#timeoutMs, data);
  }

  #fail(waiters: Waiter[], error: EtcdError): number {
    this.#member.config.metrics.proposalsFailed.inc(waiters.length);
    for (const waiter of waiters) waiter.reject(etcdError(error));
    return waiters.length;
  }
}

/** Tells who waits how it ended, good or bad. */
function settle<R>(waiter: Waiter | undefined, outcome: () => R): R | undefined {
  try {
    const result = outcome();
    waiter?.resolve(result);
    return result;
  } catch (error) {
    if (!(error instanceof GrpcError)) throw error;
    waiter?.reject(error);
    return undefined;
  }
}

const maxBacklog = 5000; // etcd refuses when the state machine is as many entries behind what is committed
