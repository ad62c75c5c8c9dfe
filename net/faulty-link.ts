import type { Cancel, Clock } from "../base/clock.ts";
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
    if (this.#stillborn) this.#update();
  }

  /** `act`s are done in order, each when its bytes would have passed. */
  pass(way: "in" | "out", bytes: Uint8Array | undefined, act: (bytes: Buffer) => void): void {
    const lane = this.#lanes[way];
    if (this.#faults.size === 0 && !lane.busy) return act(bytes as Buffer);
    const kept = Buffer.from(bytes ?? []); // whoever wrote may use the room again
    lane.push(this.#faults.link(this.#names, way), kept.length, () => act(kept));
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
