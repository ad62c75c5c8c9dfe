import type { Rand } from "../../base/rand.ts";

/**
 * When requests are meant to be sent, independent of when answers come: a Poisson process, as many independent clients
 * make it. Latency is taken from these times, so a stall counts for every request that was due while it lasted
 * ("coordinated omission" would count it once). The same seed gives both stores the same arrivals.
 */
export class Schedule {
  readonly #rand: Rand;
  readonly #meanMs: number;
  /** The next intended time, in ms. */
  next: number;

  constructor(startMs: number, perSecond: number, rand: Rand) {
    this.#rand = rand;
    this.#meanMs = 1000 / perSecond;
    this.next = startMs;
    this.advance();
  }

  advance(): void {
    this.next += -Math.log(1 - this.#rand.next()) * this.#meanMs;
  }
}
