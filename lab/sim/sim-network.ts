import type { Cancel, Clock } from "../../base/clock.ts";
import type { Rand } from "../../base/rand.ts";
import { etcdError } from "../../etcd-raft/errors.ts";
import type { Message, NodeId } from "../../etcd-raft/raft/types.ts";
import { decodeMessage, encodeMessage } from "../../etcd-raft/raft/wire.ts";
import type { FrameKind } from "../../etcd-raft/server/frames.ts";
import type { PeerTransport, PeerTransportOptions } from "../../etcd-raft/server/transport.ts";
import { Code, GrpcError } from "../../net/grpc-error.ts";
import type { Life } from "./life.ts";

/**
 * Between members: everything travels as bytes, late, out of order, twice or not at all. Links are one-way and can be cut
 * one by one. A connection breaks when the process at its other end dies (unless that cannot be heard), and is dialled again.
 *
 * A forwarded proposal is never doubled: the transport is TCP, which does not double, and raft has no way to tell two
 * proposals from one that came twice.
 */
export class SimNetwork {
  readonly clock: Clock;
  readonly #rand: Rand;
  readonly #ends = new Map<NodeId, SimTransport>();
  readonly cut = new Set<string>(); // "from->to"
  loss = 0;
  duplication = 0;
  delayMs = 1; // on average
  straggling = 0.005;
  onSend: (message: Message) => void = () => {}; // called as a message leaves

  constructor(clock: Clock, rand: Rand) {
    this.clock = clock;
    this.#rand = rand;
  }

  /** The network as one life of a member sees it. */
  transport(options: PeerTransportOptions, life: Life): PeerTransport {
    const end = new SimTransport(this, options, life);
    this.#ends.set(options.self, end);
    return end;
  }

  at(id: NodeId): SimTransport | undefined {
    const end = this.#ends.get(id);
    return end?.listens ? end : undefined;
  }

  /** The process there is gone. Who is connected hears of it, if it can. */
  died(id: NodeId): void {
    this.#ends.delete(id);
    for (const [other, end] of this.#ends) this.hop(id, other, () => end.lost(id), false);
  }

  /** The connection between the two breaks; both may dial again. */
  break(one: NodeId, two: NodeId): void {
    this.#ends.get(one)?.lost(two);
    this.#ends.get(two)?.lost(one);
  }

  open(from: NodeId, to: NodeId): boolean {
    return !this.cut.has(link(from, to));
  }

  message(message: Message): void {
    const bytes = encodeMessage(message);
    const copies = message.type !== "Prop" && this.#rand.next() < this.duplication ? 2 : 1;
    for (let i = 0; i < copies; i++)
      this.hop(message.from, message.to, () => this.at(message.to)?.receive(decodeMessage(bytes)));
    this.onSend(message);
  }

  /** Something goes from one to the other, if it arrives. */
  hop(from: NodeId, to: NodeId, arrive: () => void, mayBeLost = true): void {
    if (mayBeLost && this.#rand.next() < this.loss) return;
    // Exponential: mostly quick, sometimes very late.
    let delay = -Math.log(1 - this.#rand.next()) * this.delayMs;
    if (mayBeLost && this.#rand.next() < this.straggling) delay += this.#rand.next() * 1500; // outlives leaders
    this.clock.after(delay, () => {
      if (this.open(from, to)) arrive();
    });
  }

  /** As `hop`, for what waits for it. Rejects after a while when it does not arrive. */
  passage(from: NodeId, to: NodeId): Promise<void> {
    return new Promise((resolve, reject) => {
      this.hop(from, to, resolve);
      this.clock.after(2000, () => reject(new Error("the other side does not read or answer")));
    });
  }
}

export class SimTransport implements PeerTransport {
  readonly #network: SimNetwork;
  readonly #options: PeerTransportOptions;
  readonly #life: Life;
  readonly #peers: Set<NodeId>;
  readonly #connected = new Map<NodeId, number>(); // since when
  readonly #redials = new Map<NodeId, Cancel>();
  readonly #calls = new Set<{ to: NodeId; fail(): void }>();
  listens = false;

  constructor(network: SimNetwork, options: PeerTransportOptions, life: Life) {
    this.#network = network;
    this.#options = options;
    this.#life = life;
    this.#peers = new Set(options.peers.map(({ id }) => id));
  }

  start(): void {
    this.listens = true;
    for (const id of this.#peers) this.#dial(id, 1);
  }

  setPeer({ id }: { id: NodeId }): void {
    if (id === this.#options.self || this.#peers.has(id)) return;
    this.#peers.add(id);
    if (this.listens) this.#dial(id, 1);
  }

  removePeer(id: NodeId): void {
    this.#peers.delete(id);
    this.lost(id);
    this.#redials.get(id)?.();
    this.#network.hop(this.#options.self, id, () => this.#network.at(id)?.lost(this.#options.self), false);
  }

  send(messages: readonly Message[]): Message[] {
    if (!this.#life.alive) return [];
    return messages.filter((message) => {
      if (!this.#connected.has(message.to)) return true;
      this.#network.message(message);
      return false;
    });
  }

  /** Who says something to us can be answered, also one that was added after all we know (its hello tells its addresses). */
  receive(message: Message): void {
    if (!this.#options.handlers.isRemoved(message.from)) this.setPeer({ id: message.from });
    this.#life.enter(() => this.#options.handlers.onMessage(message));
  }

  call(to: NodeId, kind: FrameKind, request: Uint8Array, timeoutMs: number): Promise<Buffer> {
    const { self, clock } = this.#options;
    const bytes = Buffer.from(request);
    return new Promise((resolve, reject) => {
      if (!this.#connected.has(to)) return reject(etcdError("timeoutConnectionLost"));
      const call = { to, fail: () => end(() => reject(etcdError("timeoutConnectionLost"))) };
      const end = (settle: () => void) => {
        if (!this.#calls.delete(call)) return;
        cancel();
        this.#life.enter(settle);
      };
      const cancel = clock.after(timeoutMs, () => end(() => reject(etcdError("timeout"))));
      this.#calls.add(call);
      this.#network.hop(self, to, () => {
        const there = this.#network.at(to);
        if (there === undefined) return;
        there.#life
          .run(() => there.#options.handlers.onCall(kind, bytes, self))
          .then(
            (answer) => this.#network.hop(to, self, () => end(() => resolve(Buffer.from(answer)))),
            (error: Error) => {
              const known = error instanceof GrpcError ? error : new GrpcError(Code.Unavailable, error.message);
              if (there.#life.alive) this.#network.hop(to, self, () => end(() => reject(known)));
            },
          );
      });
    });
  }

  async sendState(message: Message, chunks: Iterable<Buffer>): Promise<void> {
    const { self } = this.#options;
    const { to } = message;
    const network = this.#network;
    const bytes = encodeMessage(message);
    const file = [...chunks].map((chunk) => Buffer.from(chunk));
    await network.passage(self, to);
    const there = network.at(to);
    if (there === undefined) throw new Error("connection refused");
    const life = there.#life;
    const { incoming, done } = await life.run(() => there.#options.handlers.onState(decodeMessage(bytes)));
    const target = await life.run(() => incoming);
    try {
      for (const chunk of file) {
        await network.passage(self, to);
        if (!this.#life.alive) throw new Error("the sender is gone");
        await life.run(() => target.write(chunk));
      }
      await network.passage(self, to);
      await life.run(() => target.end());
    } catch (error) {
      await life.run(() => target.abort());
      throw error;
    }
    await life.run(done);
    await network.passage(to, self);
  }

  connectedSince(id: NodeId): number | undefined {
    return this.#connected.get(id);
  }

  /** As a member that was removed. */
  refuses(id: NodeId): boolean {
    return this.#options.handlers.isRemoved(id);
  }

  close(): void {
    this.listens = false;
    for (const cancel of this.#redials.values()) cancel();
  }

  lost(id: NodeId): void {
    if (!this.#connected.delete(id)) return;
    for (const call of [...this.#calls]) if (call.to === id) call.fail();
    if (this.#peers.has(id)) this.#dial(id, 0);
  }

  /** Refused at once when nobody listens there; when nothing comes back, after a second. */
  #dial(id: NodeId, attempt: number): void {
    const { self, handlers } = this.#options;
    const network = this.#network;
    const open = network.open(self, id) && network.open(id, self);
    const answerMs = open ? network.delayMs : 1000;
    const later = (ms: number, fn: () => void) => {
      const cancel = network.clock.after(ms, () => this.#life.enter(fn));
      this.#redials.set(id, cancel);
    };
    later(answerMs, () => {
      const there = open ? network.at(id) : undefined;
      if (there?.refuses(self)) return handlers.onRemoved();
      if (there) {
        this.#connected.set(id, this.#options.clock.monotonic());
        return handlers.onConnected(id);
      }
      handlers.onUnreachable(id, open ? "connection refused" : "dial timed out");
      later(Math.min(10 * 2 ** attempt, 500), () => this.#dial(id, attempt + 1));
    });
  }
}

export const link = (from: NodeId, to: NodeId): string => `${from}->${to}`;
