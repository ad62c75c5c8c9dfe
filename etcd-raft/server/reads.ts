import { Reply } from "../../net/reply.ts";

/**
 * Linearizable reads: a read may run once this member has applied everything that was committed when it was asked for
 * (ReadIndex, raft thesis §6.4). One question to the leader is out at a time; reads that come meanwhile share the next.
 *
 * Pure: `step`s with the time passed in, and says which context to ask raft for.
 */
export class Read<R = unknown> extends Reply<R> {
  readonly deadline: number;
  readonly #read: () => R;

  constructor(read: () => R, deadline: number) {
    super();
    this.#read = read;
    this.deadline = deadline;
  }

  run(): void {
    let value: R;
    try {
      value = this.#read();
    } catch (error) {
      return this.reject(error);
    }
    this.resolve(value);
  }
}

export class Reads {
  #collecting: Read[] = [];
  #asked: { context: number; reads: Read[]; askedAt: number } | undefined;
  /** Read points known, waiting for the state machine. Ascending index. */
  #waiting: { index: number; reads: Read[] }[] = [];
  #lastContext: number;

  /** `seed`: contexts never repeat, not over restarts either: an answer to an earlier life must not count. */
  constructor(seed: number) {
    this.#lastContext = seed;
  }

  add(read: Read): void {
    this.#collecting.push(read);
  }

  /** The context to ask for now, if it is time to ask. A question stays out for `retryMs`, then is put anew. */
  ask(now: number, retryMs: number): Uint8Array | undefined {
    if (this.#asked) {
      if (now - this.#asked.askedAt < retryMs) return undefined;
      this.askAgain();
    }
    if (this.#collecting.length === 0) return undefined;
    const context = ++this.#lastContext;
    this.#asked = { context, reads: this.#collecting, askedAt: now };
    this.#collecting = [];
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(BigInt(context));
    return bytes;
  }

  /** Raft did not take the question, or the leader changed: the same reads, another context. */
  askAgain(): void {
    if (!this.#asked) return;
    this.#collecting = [...this.#asked.reads, ...this.#collecting];
    this.#asked = undefined;
  }

  answer(context: Uint8Array, index: number): void {
    const asked = this.#asked;
    if (!asked || Number(Buffer.from(context).readBigUInt64BE(0)) !== asked.context) return;
    this.#asked = undefined;
    this.#waiting.push({ index, reads: asked.reads });
  }

  /** Runs what may run with everything up to `index` applied. */
  applied(index: number): void {
    while (this.#waiting.length > 0 && this.#waiting[0]!.index <= index) {
      for (const read of this.#waiting.shift()!.reads) read.run();
    }
  }

  get idle(): boolean {
    return !this.#asked && this.#collecting.length === 0 && this.#waiting.length === 0;
  }

  /** Takes out the reads whose time is over. */
  takeExpired(now: number): Read[] {
    if (this.idle) return [];
    const expired: Read[] = [];
    const keep = (reads: Read[]) =>
      reads.filter((read) => {
        if (read.deadline > now) return true;
        expired.push(read);
        return false;
      });
    this.#collecting = keep(this.#collecting);
    if (this.#asked) this.#asked.reads = keep(this.#asked.reads);
    for (const point of this.#waiting) point.reads = keep(point.reads);
    return expired;
  }
}
