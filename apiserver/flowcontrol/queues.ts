/**
 * The seats of one priority level and the queues before them (KEP-1040, "Queuing"). Pure: no clock, no promise.
 *
 * A request takes `width` seats. While there are enough and nobody waits, it runs. Otherwise its flow is dealt a hand of
 * queues ("shuffle sharding": two flows rarely have all in common) and it waits in the shortest of them. Seats that come
 * free go to the queue that has had least: start-time fair queuing, where a request costs its width.
 *
 * Differs: upstream charges seat-seconds as they turn out; here every request of a width costs the same.
 */
export interface Queuing {
  queues: number;
  handSize: number;
  queueLengthLimit: number;
}

export interface Waiter {
  readonly width: number;
}

export type Arrival = "run" | "wait" | "queue-full" | "concurrency-limit";

interface Queue<W> {
  waiting: W[];
  /** Virtual time at which its first waiter starts. */
  start: number;
}

export class FairQueues<W extends Waiter> {
  /** Seats by the level's shares. A request that is wider takes as many. */
  readonly nominal: number;
  /** Seats now: more when others lend theirs, less when it lends its own. */
  limit: number;
  readonly #queuing: Queuing | undefined;
  readonly #queues: Queue<W>[];
  #virtual = 0;
  #seats = 0;
  #executing = 0;
  #waiting = 0;
  #wanted = 0;

  /** Without `queuing` what finds no seat is refused. */
  constructor(nominal: number, queuing: Queuing | undefined) {
    this.nominal = nominal;
    this.limit = nominal;
    this.#queuing = queuing;
    this.#queues = Array.from({ length: queuing?.queues ?? 0 }, () => ({ waiting: [], start: 0 }));
  }

  get seats(): number {
    return this.#seats;
  }

  get executing(): number {
    return this.#executing;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** Seats taken and waited for. */
  get demand(): number {
    return this.#seats + this.#wanted;
  }

  arrive(waiter: W, flowHash: () => bigint): Arrival {
    if (this.#waiting === 0 && this.#fits(waiter)) {
      this.#run(waiter);
      return "run";
    }
    if (this.#queuing === undefined) return "concurrency-limit";
    const hand = deal(flowHash(), this.#queues.length, this.#queuing.handSize).map((i) => this.#queues[i]!);
    const queue = hand.reduce((best, other) => (other.waiting.length < best.waiting.length ? other : best));
    if (queue.waiting.length >= this.#queuing.queueLengthLimit) return "queue-full";
    if (queue.waiting.length === 0) queue.start = Math.max(queue.start, this.#virtual);
    queue.waiting.push(waiter);
    this.#waiting++;
    this.#wanted += this.#width(waiter);
    return "wait";
  }

  /** Gives up waiting; false when it does not wait. */
  abandon(waiter: W): boolean {
    for (const { waiting } of this.#queues) {
      const at = waiting.indexOf(waiter);
      if (at < 0) continue;
      waiting.splice(at, 1);
      this.#waiting--;
      this.#wanted -= this.#width(waiter);
      return true;
    }
    return false;
  }

  /** Gives back the seats of one that ran. */
  finished(waiter: W): void {
    this.#seats -= this.#width(waiter);
    this.#executing--;
  }

  /** The waiters whose turn it is, each once; they run from now. Call it after `finished` and `abandon`. */
  next(): W[] {
    const started: W[] = [];
    while (this.#waiting > 0) {
      let best: Queue<W> | undefined;
      for (const queue of this.#queues)
        if (queue.waiting.length > 0 && (best === undefined || queue.start < best.start)) best = queue;
      const waiter = best!.waiting[0]!;
      if (!this.#fits(waiter)) break; // nobody narrower overtakes: a wide one would wait for ever
      best!.waiting.shift();
      this.#waiting--;
      this.#wanted -= this.#width(waiter);
      this.#virtual = best!.start;
      best!.start += waiter.width;
      this.#run(waiter);
      started.push(waiter);
    }
    return started;
  }

  #run(waiter: W): void {
    this.#seats += this.#width(waiter);
    this.#executing++;
  }

  #fits(waiter: W): boolean {
    return this.#seats === 0 || this.#seats + this.#width(waiter) <= this.limit;
  }

  /** At least one: of a level without shares requests run one at a time. */
  #width({ width }: W): number {
    return Math.max(1, Math.min(width, this.nominal));
  }
}

/** `size` different numbers below `deck`, the same for the same hash. */
export function deal(hash: bigint, deck: number, size: number): number[] {
  const hand: number[] = [];
  let rest = hash;
  for (let left = deck; left > deck - Math.min(size, deck); left--) {
    let card = Number(rest % BigInt(left));
    rest /= BigInt(left);
    // `card` counts those that are still in the deck.
    for (const taken of [...hand].sort((a, b) => a - b)) if (taken <= card) card++;
    hand.push(card);
  }
  return hand;
}
