import type http from "node:http";
import type { Duplex } from "node:stream";
import { type Cancel, type Clock, systemClock } from "../base/clock.ts";
import type { Faults, LinkState } from "../base/faults.ts";
import { type Rand, systemRand } from "../base/rand.ts";

/** One way of a link: what is pushed happens later, at its pace, in order, and not while it is held. */
export class FaultyLane {
  readonly #clock: Clock;
  readonly #rand: Rand;
  readonly #queue: { earliest: number; due: number; bytes: number; act: () => void }[] = [];
  #lastDue = 0;
  bytes = 0;
  #held = false;
  #cancel: Cancel = () => {};

  constructor(clock: Clock, rand: Rand = systemRand) {
    this.#clock = clock;
    this.#rand = rand;
  }

  get busy(): boolean {
    return this.#queue.length > 0;
  }

  push({ delayMs, jitterMs, bytesPerSecond }: LinkState, bytes: number, act: () => void): void {
    const earliest = this.#clock.monotonic() + delayMs + (jitterMs > 0 ? jitterMs * this.#rand.next() : 0);
    this.#lastDue = Math.max(this.#lastDue, earliest) + (bytes * 1000) / bytesPerSecond;
    this.#queue.push({ earliest, due: this.#lastDue, bytes, act });
    this.bytes += bytes;
    if (this.#queue.length === 1) this.#run();
  }

  /** The faults have changed. What waits only for its turn in a throttled lane goes at once when that is over. */
  update({ bytesPerSecond }: LinkState, held: boolean): void {
    this.#held = held;
    if (bytesPerSecond === Number.POSITIVE_INFINITY) {
      this.#lastDue = 0;
      for (const parcel of this.#queue) {
        this.#lastDue = Math.max(this.#lastDue, parcel.earliest);
        parcel.due = this.#lastDue;
      }
    }
    this.#run();
  }

  #run(): void {
    this.#cancel();
    const isDue = () => this.#queue[0]!.due <= this.#clock.monotonic() + 0.01; // fractions of a ms are rounded
    while (!this.#held && this.busy && isDue()) {
      const { bytes, act } = this.#queue.shift()!;
      this.bytes -= bytes;
      act();
    }
    const next = this.#queue[0];
    if (next === undefined || this.#held) return;
    this.#cancel = this.#clock.after(next.due - this.#clock.monotonic(), () => this.#run());
  }
}

/**
 * The bytes of one connection under faults: late, slow or kept back, never lost, as TCP has it over a cable that was cut
 * and mended. A connection that is made while one way is blocked is dead both ways: it could not have been made.
 */
export class FaultyLink {
  readonly #faults: Faults;
  readonly #names: readonly string[];
  readonly #lanes: Record<"in" | "out", FaultyLane>;
  #stillborn: boolean;
  readonly close: () => void;

  /** `names`: all that the other side is called. */
  constructor(faults: Faults, names: readonly string[], clock: Clock, rand?: Rand) {
    this.#faults = faults;
    this.#names = names;
    this.#lanes = { in: new FaultyLane(clock, rand), out: new FaultyLane(clock, rand) };
    this.#stillborn = this.#anyBlocked();
    this.close = faults.onChange(() => this.#update());
    if (faults.size > 0) this.#update();
  }

  /** Nothing has to wait: whoever asks first spares himself `pass`. */
  isFree(way: "in" | "out"): boolean {
    return this.#faults.size === 0 && !this.#lanes[way].busy;
  }

  /** `act`s are done in order, each when so many bytes would have passed. */
  pass(way: "in" | "out", bytes: number, act: () => void): void {
    if (this.isFree(way)) act();
    else this.#lanes[way].push(this.#faults.link(this.#names, way), bytes, act);
  }

  /** Bytes that are kept back. */
  waiting(way: "in" | "out"): number {
    return this.#lanes[way].bytes;
  }

  #anyBlocked(): boolean {
    return this.#faults.link(this.#names, "in").blocked || this.#faults.link(this.#names, "out").blocked;
  }

  #update(): void {
    this.#stillborn &&= this.#anyBlocked();
    for (const way of ["in", "out"] as const) {
      const state = this.#faults.link(this.#names, way);
      this.#lanes[way].update(state, this.#stillborn || state.blocked || state.stalled);
    }
  }
}

/**
 * What is written to the socket and read from it passes a link from now on, above TLS where it speaks that. It stays the
 * socket that it is: where streams meet what carries them (`push`, `_write`, `_final`) is one question more, and the rest
 * is as ever while no fault is set.
 */
export function underFaults<S extends Duplex>(socket: S, faults: Faults | undefined, names: readonly string[]): S {
  if (faults === undefined) return socket;
  const link = new FaultyLink(faults, names, systemClock);
  socket.once("close", link.close);
  const [push, write, final] = [socket.push.bind(socket), socket._write.bind(socket), socket._final.bind(socket)];
  const writev = socket._writev!.bind(socket);
  /** What was kept back and is not written yet; one is written at a time, as streams have it. */
  let [late, lateBytes, written] = [0, 0, Promise.resolve()];
  const isFree = () => late === 0 && link.isFree("out");
  const keepBack = (bytes: number, act: (done: Done) => void, done: Done) => {
    late++;
    lateBytes += bytes;
    const end = (error?: Error | null) => {
      late--;
      lateBytes -= bytes;
      done(error);
    };
    link.pass("out", bytes, () => {
      written = written.then(() => new Promise((resolve) => act((error) => resolve(end(error)))));
    });
  };
  socket.push = (chunk: Buffer | null, encoding) => {
    if (link.isFree("in")) return push(chunk, encoding);
    link.pass("in", chunk?.length ?? 0, () => void push(chunk, encoding));
    return link.waiting("in") < mostWaiting;
  };
  socket._write = (chunk: Buffer | string, encoding, done) => {
    if (isFree()) return write(chunk, encoding, done);
    const kept = copyOf(chunk, encoding); // whoever is told that it is done may use the room again
    const isFull = lateBytes >= mostWaiting;
    const fail = (error?: Error | null) => void (error && socket.destroy(error));
    keepBack(kept.length, (done) => write(kept, "buffer" as BufferEncoding, done), isFull ? done : fail);
    if (!isFull) done(); // as a kernel takes what it has room for: then all of it is late, and not one by one
  };
  socket._writev = (chunks, done) => {
    if (isFree()) return writev(chunks, done);
    const bytes = Buffer.concat(chunks.map(({ chunk, encoding }) => copyOf(chunk, encoding)));
    socket._write(bytes, "buffer" as BufferEncoding, done);
  };
  socket._final = (done) => (isFree() ? final(done) : keepBack(0, final, done));
  return socket;
}

type Done = (error?: Error | null) => void;

const copyOf = (chunk: Buffer | string, encoding: BufferEncoding) =>
  typeof chunk === "string" ? Buffer.from(chunk, encoding) : Buffer.from(chunk);

/** What the agent connects is under faults, by the address of the other side. */
export function faultyAgent<A extends http.Agent>(agent: A, faults: Faults | undefined): A {
  const connecting = agent as A & { createConnection(to: { host: string }, done: unknown): Duplex | null }; // no type has it
  const connect = connecting.createConnection.bind(agent);
  connecting.createConnection = (to, done) => {
    const socket = connect(to, done);
    return socket && underFaults(socket, faults, [to.host]);
  };
  return agent;
}

/** Bytes each way, after which whoever sends has to wait. */
const mostWaiting = 1024 * 1024;
