import type { Clock } from "../../base/clock.ts";
import type { Faults } from "../../base/faults.ts";
import { etcdError } from "../errors.ts";
import type { Message } from "../raft/types.ts";
import type { PeerTransport, PeerTransportOptions } from "./transport.ts";

/**
 * A way to the peers that is cut or slow while `faults` say so. What is blocked vanishes without a word, like packets on a
 * cut cable: connections stay, and nobody learns of it but by silence.
 */
export function faultyTransport(
  options: PeerTransportOptions,
  faults: Faults,
  namesOf: (id: bigint) => string[],
  make: (options: PeerTransportOptions) => PeerTransport,
): PeerTransport {
  const { clock, handlers } = options;
  const lines = new Map<string, DelayLine>();
  const pass = (id: bigint, direction: "in" | "out", act: () => void): void => {
    const key = `${direction} ${id}`;
    const line = lines.get(key);
    if (faults.size === 0 && !line?.busy) return act();
    const { blocked, delayMs } = faults.link(namesOf(id), direction);
    if (blocked) return;
    if (delayMs === 0 && !line?.busy) return act();
    const used = line ?? new DelayLine(clock);
    lines.set(key, used);
    used.push(delayMs, act);
  };
  /** A call has an answer: either way being blocked is enough. */
  const cut = (id: bigint) => blocked(id, "in") || blocked(id, "out");
  const blocked = (id: bigint, direction: "in" | "out") => faults.link(namesOf(id), direction).blocked;
  const inner = make({
    ...options,
    handlers: {
      ...handlers,
      onMessage: (message) => pass(message.from, "in", () => handlers.onMessage(message)),
      onState(message) {
        if (blocked(message.from, "in")) throw new Error("blocked by a fault");
        return handlers.onState(message);
      },
      onCall(kind, request, from) {
        if (cut(from)) return new Promise(() => {});
        return handlers.onCall(kind, request, from);
      },
    },
  });
  return {
    start: () => inner.start(),
    setPeer: (member) => inner.setPeer(member),
    removePeer: (id) => inner.removePeer(id),
    isConnected: (id) => inner.isConnected(id),
    connectedSince: (id) => inner.connectedSince(id),
    close: () => inner.close(),
    send(messages) {
      if (faults.size === 0 && lines.size === 0) return inner.send(messages);
      const stuck: Message[] = [];
      for (const message of messages) pass(message.to, "out", () => void stuck.push(...inner.send([message])));
      return stuck;
    },
    async call(to, kind, request, timeoutMs) {
      if (!cut(to)) return inner.call(to, kind, request, timeoutMs);
      await new Promise<void>((resolve) => void clock.after(timeoutMs, resolve));
      throw etcdError("timeout");
    },
    async sendState(message, chunks) {
      if (blocked(message.to, "out")) throw new Error("blocked by a fault");
      return inner.sendState(message, chunks);
    },
  };
}

/** Late, but in order, also when the delay becomes less. */
class DelayLine {
  readonly #clock: Clock;
  readonly #queue: { due: number; act: () => void }[] = [];
  #lastDue = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get busy(): boolean {
    return this.#queue.length > 0;
  }

  push(delayMs: number, act: () => void): void {
    const now = this.#clock.monotonic();
    this.#lastDue = Math.max(this.#lastDue, now + delayMs);
    this.#queue.push({ due: this.#lastDue, act });
    this.#clock.after(this.#lastDue - now, () => {
      while (this.#queue.length > 0 && this.#queue[0]!.due <= this.#clock.monotonic()) this.#queue.shift()!.act();
    });
  }
}
