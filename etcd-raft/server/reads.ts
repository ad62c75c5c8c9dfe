import type { Clock } from "../../base/clock.ts";
import { Reply } from "../../net/reply.ts";
import { type EtcdError, etcdError } from "../errors.ts";

/**
 * Linearizable reads: a read may run once this member has applied everything that was committed when it was asked for
 * (ReadIndex, raft thesis §6.4). One question to the leader is out at a time; reads that come meanwhile share the next.
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
  readonly #clock: Clock;
  readonly #askRaft: (context: Uint8Array) => void;
  #collecting: Read[] = [];
  #asked: { context: number; reads: Read[]; askedAt: number } | undefined;
  /** Read points known, waiting for the state machine. Ascending index. */
  #waiting: { index: number; reads: Read[] }[] = [];
  #lastContext: number;
  /** For the metrics: questions that had no answer in time and were put anew; reads that were refused for it. */
  slow = 0;
  failed = 0;

  /** `seed`: contexts never repeat, not over restarts either: an answer to an earlier life must not count. */
  constructor(clock: Clock, seed: number, askRaft: (context: Uint8Array) => void) {
    this.#clock = clock;
    this.#lastContext = seed;
    this.#askRaft = askRaft;
  }

  add(read: Read): void {
    this.#collecting.push(read);
    this.ask();
  }

  /** Asks if there is something to ask for and no question is out; one that is out for long is put anew. */
  ask(): void {
    const now = this.#clock.monotonic();
    if (this.#asked) {
      if (now - this.#asked.askedAt < retryMs) return;
      this.slow++;
      this.takeBack();
    }
    if (this.#collecting.length === 0) return;
    const context = ++this.#lastContext;
    this.#asked = { context, reads: this.#collecting, askedAt: now };
    this.#collecting = [];
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(BigInt(context));
    this.#askRaft(bytes);
  }

  /** Raft did not take the question, or the leader changed: the same reads are to have another context. */
  takeBack(): void {
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

  applied(index: number): void {
    while (this.#waiting.length > 0 && this.#waiting[0]!.index <= index) {
      for (const read of this.#waiting.shift()!.reads) read.run();
    }
  }

  /** Those whose time is over by `now` fail. */
  expire(now: number, error: EtcdError): void {
    const keep = (reads: Read[]) =>
      reads.filter((read) => {
        if (read.deadline > now) return true;
        read.reject(etcdError(error));
        this.failed++;
        return false;
      });
    this.#collecting = keep(this.#collecting);
    if (this.#asked) this.#asked.reads = keep(this.#asked.reads);
    for (const point of this.#waiting) point.reads = keep(point.reads);
  }
}

const retryMs = 500;
