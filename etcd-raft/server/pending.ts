import { Reply } from "../../net/reply.ts";

/**
 * Requests on their way through raft, by the id in their entry. Deadlines are all equally far away, so the oldest is
 * always the first to expire: no timer for each.
 */
export class Waiter extends Reply<unknown> {
  readonly deadline: number;
  /** What was proposed: to propose again when raft has not taken it. */
  readonly data: Uint8Array;

  constructor(deadline: number, data: Uint8Array) {
    super();
    this.deadline = deadline;
    this.data = data;
  }
}

export class Pending {
  readonly #waiters = new Map<bigint, Waiter>();
  #nextId: bigint;

  /** Ids are unique over members and restarts: 16 bits of the member, 40 of the start time, counting on from there. */
  constructor(memberId: bigint, nowMs: number) {
    this.#nextId = (BigInt.asUintN(16, memberId) << 48n) | (BigInt.asUintN(40, BigInt(Math.floor(nowMs))) << 8n);
  }

  get size(): number {
    return this.#waiters.size;
  }

  nextId(): bigint {
    return ++this.#nextId;
  }

  add(id: bigint, waiter: Waiter): void {
    this.#waiters.set(id, waiter);
  }

  take(id: bigint): Waiter | undefined {
    const waiter = this.#waiters.get(id);
    if (waiter) this.#waiters.delete(id);
    return waiter;
  }

  /** Those whose time is over by `now`. */
  takeExpired(now: number): Waiter[] {
    const expired: Waiter[] = [];
    for (const [id, waiter] of this.#waiters) {
      if (waiter.deadline > now) break;
      this.#waiters.delete(id);
      expired.push(waiter);
    }
    return expired;
  }

  takeAll(except: (waiter: Waiter) => boolean = () => false): Waiter[] {
    const all: Waiter[] = [];
    for (const [id, waiter] of this.#waiters) {
      if (except(waiter)) continue;
      this.#waiters.delete(id);
      all.push(waiter);
    }
    return all;
  }
}
