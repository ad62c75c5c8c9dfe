import { RingMap } from "../../base/ring-map.ts";
import { Reply } from "../../net/reply.ts";

/** Requests on their way through raft, by the id in their entry. Looked through now and then: no timer for each. */
export class Waiter extends Reply<unknown> {
  readonly deadline: number;
  idHigh = 0;
  readonly data: Uint8Array; // what was proposed: to propose again when raft has not taken it

  constructor(deadline: number, data: Uint8Array) {
    super();
    this.deadline = deadline;
    this.data = data;
  }
}

export class Pending {
  readonly #waiters = new RingMap<Waiter>(256); // by the low half of the id
  readonly #last = new DataView(new ArrayBuffer(8)); // the id that was given out last, 32 bits each

  /** Ids are unique over members and restarts: 16 bits of the member, 40 of the start time, counting on from there. */
  constructor(memberId: bigint, nowMs: number) {
    const first = (BigInt.asUintN(16, memberId) << 48n) | (BigInt.asUintN(40, BigInt(Math.floor(nowMs))) << 8n);
    this.#last.setBigUint64(0, first);
  }

  get size(): number {
    return this.#waiters.size;
  }

  nextId(): bigint {
    const low = (this.#last.getUint32(4) + 1) >>> 0;
    this.#last.setUint32(4, low);
    if (low === 0) this.#last.setUint32(0, this.#last.getUint32(0) + 1);
    return this.#last.getBigUint64(0);
  }

  /** It waits for the id that was given out last. */
  add(waiter: Waiter): void {
    waiter.idHigh = this.#last.getUint32(0);
    this.#waiters.add(this.#last.getUint32(4), waiter);
  }

  take(id: bigint): Waiter | undefined {
    return this.takeHalves(Number(id >> 32n), Number(id & 0xffffffffn));
  }

  /** Of an id in two unsigned halves. */
  takeHalves(high: number, low: number): Waiter | undefined {
    const waiter = this.#waiters.get(low);
    if (waiter?.idHigh !== high) return undefined;
    this.#waiters.delete(low);
    return waiter;
  }

  takeAll(except: (waiter: Waiter) => boolean = () => false): Waiter[] {
    const taken = this.#waiters.entries().filter(([, waiter]) => !except(waiter));
    for (const [low] of taken) this.#waiters.delete(low);
    return taken.map(([, waiter]) => waiter);
  }
}
