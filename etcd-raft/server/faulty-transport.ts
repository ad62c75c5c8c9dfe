import type { Faults } from "../../base/faults.ts";
import { FaultyLane } from "../../net/faulty-link.ts";
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
  const lanes = new Map<string, { id: bigint; direction: "in" | "out"; lane: FaultyLane }>();
  const pass = (message: Message, id: bigint, direction: "in" | "out", act: () => void): void => {
    const key = `${direction} ${id}`;
    if (faults.size === 0 && !lanes.get(key)?.lane.busy) return act();
    const state = faults.link(namesOf(id), direction);
    if (state.blocked) return;
    let known = lanes.get(key);
    if (known === undefined) {
      known = { id, direction, lane: new FaultyLane(clock) };
      lanes.set(key, known);
      known.lane.update(state, state.stalled);
    }
    known.lane.push(state, sizeOf(message), act);
  };
  faults.onChange(() => {
    for (const { id, direction, lane } of lanes.values()) {
      const state = faults.link(namesOf(id), direction);
      lane.update(state, state.stalled);
    }
  });
  /** A call has an answer: either way being blocked is enough. */
  const cut = (id: bigint) => blocked(id, "in") || blocked(id, "out");
  const blocked = (id: bigint, direction: "in" | "out") => {
    const { blocked, stalled } = faults.link(namesOf(id), direction);
    return blocked || stalled;
  };
  const inner = make({
    ...options,
    handlers: {
      ...handlers,
      onMessage: (message) => pass(message, message.from, "in", () => handlers.onMessage(message)),
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
    connectedSince: (id) => inner.connectedSince(id),
    close: () => inner.close(),
    send(messages) {
      const late = [...lanes.values()].some(({ direction, lane }) => direction === "out" && lane.busy);
      if (faults.size === 0 && !late) return inner.send(messages); // in one write a peer
      const stuck: Message[] = [];
      for (const message of messages) pass(message, message.to, "out", () => void stuck.push(...inner.send([message])));
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

/** About what it takes on the wire. */
function sizeOf({ entries, context }: Message): number {
  let bytes = 64 + context.length;
  for (const { data } of entries) bytes += 16 + data.length;
  return bytes;
}
