import type { Clock } from "../../base/clock.ts";
import type { Rand } from "../../base/rand.ts";
import type { Message, NodeId } from "../../etcd-raft/raft/types.ts";
import { decodeMessage, encodeMessage } from "../../etcd-raft/raft/wire.ts";

/**
 * Carries raft messages as bytes: late, out of order, twice or not at all. Links are one-way and can be cut one by one.
 *
 * A forwarded proposal is never doubled: the transport is TCP, which does not double, and raft has no way to tell two
 * proposals from one that came twice.
 */
export class SimNetwork {
  readonly #clock: Clock;
  readonly #rand: Rand;
  readonly #deliver: (message: Message) => void;
  readonly cut = new Set<string>(); // "from->to"
  loss = 0;
  duplication = 0;
  delayMs = 1; // on average
  straggling = 0.005;

  constructor(clock: Clock, rand: Rand, deliver: (message: Message) => void) {
    this.#clock = clock;
    this.#rand = rand;
    this.#deliver = deliver;
  }

  send(message: Message): void {
    if (this.#rand.next() < this.loss) return;
    const bytes = encodeMessage(message);
    const copies = message.type !== "Prop" && this.#rand.next() < this.duplication ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      // Exponential: mostly quick, sometimes very late.
      let delay = -Math.log(1 - this.#rand.next()) * this.delayMs;
      if (this.#rand.next() < this.straggling) delay += this.#rand.next() * 1500; // outlives leaders
      this.#clock.after(delay, () => {
        if (!this.cut.has(link(message.from, message.to))) this.#deliver(decodeMessage(bytes));
      });
    }
  }
}

export function link(from: NodeId, to: NodeId): string {
  return `${from}->${to}`;
}
